"""The consistency promises, model-checked: several processes, one real server, whatever may happen.

The default run takes two examples, `tox run -e thorough` 25, or as many as `CACHEMW_MODEL_EXAMPLES` says.
Each is a few dozen moves and takes some 3 seconds.

Guards that were taken out, and the move that found it, most within 10 examples, the follower's not
in every 25:

- a judgement that looks at no tag, or at no soft purge: `write_and_purge_and_get`;
- the position noted when the answer is complete: `purge_while_an_answer_is_made`;
- memory trusted for ever without a log: `purge_behind_the_back_of_one`;
- a purge confirmed without waiting for the others: `write_and_purge_and_get`, after `lag`;
- a follower that reads on from the end of the log when it is back: `purge_behind_the_back_of_one`;
- requests with cookies or Authorization taken for anybody's, or one identity for all: `get`.

An epoch that is ignored is found by nothing here: a new life of the log begins with a purge of
everything, which is a second guard.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from cachemw.engine.model.entry import Entry, Verdict
from cachemw.engine.request import keying
from cachemw.invalidation.floors import Floors
from cachemw.testing import ChaosProxy, RedisServer

from .fleet import SIZE
from .machine import Machine
from .promises import Violation

EXAMPLES = int(os.environ.get("CACHEMW_MODEL_EXAMPLES", "25"))
FEW = 2
"""Examples of the default run."""
ENOUGH = 40
"""Examples in which these guards are surely found missing: it takes 5 to 20 s, so some 5 of them."""
STEPS = 30


@pytest.fixture
def machine() -> Iterator[type[Machine]]:
    at_once = ("--repl-diskless-sync-delay", "0")
    with RedisServer(options=at_once) as server, RedisServer(options=at_once) as other:
        yield from machine_over(server, other)


def machine_over(server: RedisServer, other: RedisServer) -> Iterator[type[Machine]]:
    proxies = [ChaosProxy(server.url) for _ in range(SIZE)]

    class Here(Machine):
        pass

    Here.server, Here.other, Here.proxies, Here.found = server, other, proxies, []
    yield Here
    for proxy in proxies:
        proxy.close()


def bounded(examples: int) -> Any:
    # Not shrunk: servers and threads never do the same thing twice, and the events tell the story.
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


@pytest.mark.timeout(60 + 15 * EXAMPLES)
@pytest.mark.parametrize(
    "examples", [FEW, pytest.param(EXAMPLES, marks=pytest.mark.thorough)], ids=["few", "many"]
)
def test_no_order_of_events_breaks_a_promise(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(machine, settings=bounded(examples))


def judging_no_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(floors: Floors, entry: Entry) -> Verdict:
        known = entry.position.epoch == floors.epoch and entry.position.id >= floors.horizon
        return Verdict.VALID if known else Verdict.DEAD

    monkeypatch.setattr(Floors, "judge", judge)


def knowing_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    classified = keying._by_whole_request

    def anybody(*args: Any) -> Any:
        asked = classified(*args)
        if isinstance(asked, keying.CacheableRequest):
            asked.cookies_sent = asked.authorization_sent = False
        return asked

    monkeypatch.setattr(keying, "_by_whole_request", anybody)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("take_out", "invariant"), [(judging_no_tag, "I5"), (knowing_nobody, "I1")]
)
def test_the_machine_finds_a_guard_that_is_missing(
    machine: type[Machine],
    monkeypatch: pytest.MonkeyPatch,
    take_out: Callable[[pytest.MonkeyPatch], None],
    invariant: str,
) -> None:
    take_out(monkeypatch)
    # A group, or another order, where it does not happen a second time the same way: what was found counts.
    with pytest.raises((Violation, ExceptionGroup, Flaky)):
        run_state_machine_as_test(machine, settings=bounded(ENOUGH))
    assert machine.found[0].startswith(invariant)
