"""Which pairs of a write and a way are tried out, and what is said of what came of them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import pytest

from .bench import Bench, Outcome

__all__ = ["chosen", "fail_if_wrong", "try_all"]

SHOWN = 40
"""The faults that a message shows whole; the others are counted."""


def chosen(described: Mapping[str, Any], every: int, *, known: bool) -> Iterable[tuple[str, str]]:
    """Return pairs of a write and a way: one of so many.

    `known`: also one of each write, and of each way, that once left old answers. Nothing is random: a
    run that fails fails again.
    """

    def is_chosen(write: str, way: str) -> bool:
        # By a checksum: every so many of a list would meet the same few ways again and again.
        return zlib.crc32(f"{write} {way}".encode()) % every == 0

    writes, ways = described["writes"], described["ways"]
    found = {
        (write, way): None
        for write in writes
        for way in writes[write]["ways"]
        if is_chosen(write, way)
    }
    if known:
        for name, of in writes.items():
            if of["known"]:
                way = of["known"] if of["known"] in of["ways"] else of["ways"][0]
                found[name, way] = None
        common = next(iter(writes))
        found |= {(common, way): None for way, is_known in ways.items() if is_known}
    return list(found)


def try_all(bench: Bench, pairs: Iterable[tuple[str, str]]) -> list[Outcome]:
    """Try pairs of a write and a way out, one after the other."""
    return [bench.try_out(write, way) for write, way in pairs]


def fail_if_wrong(outcomes: Iterable[Outcome]) -> None:
    """Fail where an old answer is served, or where a write changes nothing and so tries nothing."""
    # First what could not be tried: it would be lost among many old answers.
    by_kind = sorted(outcomes, key=lambda outcome: bool(outcome.changed and not outcome.error))
    wrong = [line for outcome in by_kind for line in outcome.lines()]
    if not wrong:
        return
    counts = {
        "read": Counter(read for outcome in outcomes for read in outcome.stale),
        "write": Counter(outcome.write for outcome in outcomes if outcome.stale),
        "way": Counter(outcome.way for outcome in outcomes if outcome.stale),
    }
    summary = [f"by {name}: {dict(count.most_common())}" for name, count in counts.items()]
    lines = [f"{len(wrong)} faults", *summary, *islice(wrong, SHOWN)]
    pytest.fail("\n".join(lines), pytrace=False)
