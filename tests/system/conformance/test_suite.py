"""The public suite, run against both front doors and, for comparison, nginx and Varnish.

What it gave last is pinned in `expected.json`; `CACHEMW_CONFORMANCE_PIN=1` pins what it gives now and
rewrites the tables of `docs/conformance.md`. The suite measures in seconds of real time, so that a
machine under load can spoil a test: what differs from the pins runs again before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import page, pins, reasons
from .judge import Case, Result, Verdict, judged
from .servers import DOORS, PEERS, Command, found, served
from .suite import Suite, SuiteMissing, find

pytestmark = pytest.mark.timeout(900)

PINNING = bool(os.environ.get("CACHEMW_CONFORMANCE_PIN"))
ANSWERED = "freshness-max-age"
"""What any cache passes: without it, the suite has not met one."""


@pytest.fixture(scope="module")
def suite() -> Suite:
    try:
        return find()
    except SuiteMissing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def cases(suite: Suite) -> dict[str, Case]:
    return suite.cases()


@pytest.fixture(scope="module")
def origin(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with suite.origin(tmp_path_factory.mktemp("origin")) as port:
        yield port


class Bench:
    """Runs the suite against one cache after the other."""

    def __init__(self, suite: Suite, cases: dict[str, Case], origin: int, home: Path) -> None:
        self._suite = suite
        self._cases = cases
        self._origin = origin
        self._home = home

    def run(self, cache: str, command: Command) -> tuple[dict[str, Verdict], dict[str, Result]]:
        with served(command, self._home / cache, self._origin) as base:
            results = self._suite.results(base)
            doubtful = pins.differing(pins.read(), cache, judged(self._cases, results))
            results |= self._suite.again(base, doubtful)
        return judged(self._cases, results), results


@pytest.fixture
def bench(suite: Suite, cases: dict[str, Case], origin: int, tmp_path: Path) -> Bench:
    return Bench(suite, cases, origin, tmp_path)


@pytest.mark.parametrize("door", DOORS)
def test_a_front_door_conforms_as_pinned(door: str, bench: Bench, cases: dict[str, Case]) -> None:
    verdicts, results = bench.run(door, DOORS[door])
    if PINNING:
        pins.write(pins.updated(pins.read(), cases, door, verdicts))
    changed = pins.changes(pins.read(), door, verdicts, results)
    assert not changed, "\n".join([f"{door}; pin anew if this is right:", *changed])
    failing = reasons.unexplained(pins.read(), reasons.read(), door, verdicts)
    assert not failing, f"required, failed by {door}, and no reason in reasons.toml: {failing}"


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_is_measured_beside_them(peer: str, bench: Bench, cases: dict[str, Case]) -> None:
    program, command = PEERS[peer]
    if not found(program):
        pytest.skip(f"{program} is not installed: nothing to compare with")
    verdicts, _ = bench.run(peer, command)
    assert verdicts[ANSWERED].passes
    if PINNING:
        pins.write(pins.updated(pins.read(), cases, peer, verdicts))


def test_the_page_and_the_reasons_follow(suite: Suite) -> None:
    if PINNING:
        text = page.DOCUMENT.read_text(encoding="utf-8")
        text = page.rewritten(text, pins.read(), reasons.read())
        page.DOCUMENT.write_text(text, encoding="utf-8")
    idle = reasons.idle(pins.read(), reasons.read())
    assert not idle, f"these pass by now, take them out of reasons.toml: {idle}"
