"""From what processes have counted to what guardrails weigh.

Counts only grow, process by process, and begin at zero when one starts. So what happened between two
looks is the sum of what each process has grown by; a process that ended takes nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.guardrails import Tally

__all__ = [
    "CONTROL",
    "NEITHER",
    "TREATED",
    "Counts",
    "Grown",
    "Growth",
    "Process",
    "fullest",
    "tally_of",
]

# As `Stats.hit_rate` counts them.
_HITS = tuple(each.label for each in Outcome if each.outcome in ("hit", "stale"))
_ELIGIBLE = (*_HITS, *(each.label for each in Outcome if each.outcome == "miss"))

# Which arm a request is in. Chance holds out any that the cache may answer, so these are the others:
TREATED = frozenset(
    {
        Outcome.HIT_MEMORY,
        Outcome.HIT_SHARED,
        Outcome.HIT_COALESCED,
        Outcome.STALE_MEMORY,
        Outcome.STALE_SHARED,
        Outcome.STALE_IF_ERROR,
        Outcome.MISS,
        Outcome.HIT_FOR_MISS,
        Outcome.REVALIDATED,
        Outcome.ERROR_BYPASS,  # the cache stood aside because it was ill, which may be the harm itself
        Outcome.PERSONAL,  # nothing that is stored would do, and it could have been held out all the same
    }
)
"""What became of the requests that the cache was allowed to answer."""
CONTROL = frozenset({Outcome.CONTROL_HIT, Outcome.CONTROL_MISS})
"""What became of those that chance held out."""
NEITHER = frozenset(
    {
        Outcome.OFF,  # these five never come to the drawing
        Outcome.PASS,
        Outcome.SHADOW_HIT,
        Outcome.SHADOW_MISS,
        Outcome.SHADOW_MISMATCH,
        Outcome.REFRESH,  # no client waits for it
        Outcome.UNSATISFIED,  # a 504 that the client asked for, which is no failure of anybody's
    }
)
"""What tells nothing of what the cache does to clients."""

# STALE_IF_ERROR came out of memory, and its client has waited for the application to fail first: by the
# time that it took it is a miss.
_MISSED = TREATED - {Outcome.HIT_MEMORY, Outcome.STALE_MEMORY}
_CONTROL_MISSED = frozenset({Outcome.CONTROL_MISS})
_MOST_GONE = 1000
"""Processes that are remembered, those that ended with them: a Redis that has lost everybody is told again
by those that are still there, and what they had counted before is not new."""


class Counts(Protocol):
    """What one process, or the fleet, has counted: by route and outcome label."""

    @property
    def requests(self) -> Mapping[str, Mapping[str, int]]:
        """How requests were answered."""

    @property
    def failures(self) -> Mapping[str, Mapping[str, int]]:
        """Which of them failed."""

    @property
    def durations(self) -> Mapping[str, Mapping[str, Any]]:
        """Histograms, of which only `buckets` is read."""

    @property
    def refused(self) -> Mapping[str, Mapping[str, int]]:
        """Why answers were not stored: by route and reason."""

    @property
    def differences(self) -> Mapping[str, Mapping[str, int]]:
        """Where answers in shadow would have been wrong: by route and place."""

    @property
    def gauges(self) -> Mapping[str, float]:
        """Present values, by name."""


class Process(Protocol):
    """One process as it last reported."""

    @property
    def id(self) -> str:
        """Its name in the fleet."""

    @property
    def live(self) -> bool:
        """Whether it was heard from just now."""

    @property
    def component(self) -> str:
        """What it is a part of."""

    @property
    def stats(self) -> Counts:
        """What it has counted since it began."""


_Table = dict[str, dict[str, int]]
_Times = dict[str, dict[str, tuple[int, ...]]]


class Increase(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted between two looks."""

    requests: _Table
    failures: _Table
    times: _Times
    """Counts by bucket."""
    buckets: int
    """How many there are of these."""
    refused: _Table
    differences: _Table


class IncreaseTracker:
    """Remembers what each process had counted at the last look."""

    def __init__(self, buckets: int) -> None:
        """Histograms of another release, with other than so many buckets, are left out."""
        self._buckets = buckets
        self._before: dict[str, Counts] | None = None

    def since_last(self, processes: Iterable[Process]) -> Increase | None:
        """Give what the fleet has counted since the last look; None at the first one."""
        now = {process.id: process.stats for process in processes}
        before, self._before = self._before, self._remembered(now)
        if before is None:
            return None
        grown = Increase(
            requests={},
            failures={},
            times={},
            buckets=self._buckets,
            refused={},
            differences={},
        )
        for name, counts in now.items():
            had = before.get(name)
            _add(grown.requests, counts.requests, had.requests if had else {})
            _add(grown.failures, counts.failures, had.failures if had else {})
            _add_times(grown, counts.durations, had.durations if had else {})
            _add(grown.refused, counts.refused, had.refused if had else {})
            _add(grown.differences, counts.differences, had.differences if had else {})
        return grown

    def _remembered(self, now: dict[str, Counts]) -> dict[str, Counts]:
        gone = [(name, c) for name, c in (self._before or {}).items() if name not in now]
        return {**dict(gone[-_MOST_GONE:]), **now}


def _add(total: _Table, now: Mapping[str, Mapping[str, int]], had: Mapping[str, Any]) -> None:
    for route, by_label in now.items():
        before = had.get(route, {})
        into = total.setdefault(route, {})
        for label, count in by_label.items():
            into[label] = into.get(label, 0) + max(0, count - before.get(label, 0))


def _add_times(
    total: Increase, now: Mapping[str, Mapping[str, Any]], had: Mapping[str, Mapping[str, Any]]
) -> None:
    none = (0,) * total.buckets
    for route, by_label in now.items():
        into = total.times.setdefault(route, {})
        for label, histogram in by_label.items():
            before = had.get(route, {}).get(label)
            if len(histogram.buckets) == total.buckets:
                grown = _less(histogram.buckets, before.buckets if before else none)
                into[label] = _sum(total.buckets, [into.get(label, none), grown])


def _less(now: Sequence[int], had: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(0, a - b) for a, b in zip(now, had, strict=True))


def _sum(buckets: int, histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip((0,) * buckets, *histograms, strict=True)))


def tally_of(grown: Increase, routes: Collection[str], memory: float | None) -> Tally:
    """Give what guardrails weigh of some routes; `memory` is as `fullest` gives it."""

    def labels(outcomes: Collection[Outcome]) -> list[str]:
        return [outcome.label for outcome in outcomes]

    def count(table: _Table, labels: Collection[str]) -> int:
        return sum(table.get(route, {}).get(label, 0) for route in routes for label in labels)

    def times(outcomes: Collection[Outcome]) -> tuple[int, ...]:
        by_route = [grown.times.get(route, {}) for route in routes]
        wanted = labels(outcomes)
        found = (had[each] for had in by_route for each in wanted if each in had)
        return _sum(grown.buckets, found)

    return Tally(
        control=count(grown.requests, labels(CONTROL)),
        control_failed=count(grown.failures, labels(CONTROL)),
        control_times=times(CONTROL),
        control_missed_times=times(_CONTROL_MISSED),
        treated=count(grown.requests, labels(TREATED)),
        treated_failed=count(grown.failures, labels(TREATED)),
        treated_times=times(TREATED),
        missed_times=times(_MISSED),
        hits=count(grown.requests, _HITS),
        eligible=count(grown.requests, _ELIGIBLE),
        memory=memory,
    )


def fullest(processes: Iterable[Process]) -> float | None:
    """Give what the fullest process takes, as a share of what was planned; None: nothing was planned."""
    shares = [
        taken / planned
        for process in processes
        if process.live
        and (taken := process.stats.gauges.get("memory_bytes")) is not None
        and (planned := process.stats.gauges.get("memory_planned"))
    ]
    return max(shares, default=None)
