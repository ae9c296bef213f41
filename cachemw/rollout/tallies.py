"""From what processes have counted to what guardrails weigh.

Counts only grow, process by process, and begin at zero when one starts. So what happened between two
looks is the sum of what each process has grown by; a process that ended takes nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from cachemw.engine.outcomes import Outcome
from cachemw.rollout.guardrails import Tally

__all__ = ["CONTROL", "TREATED", "Counts", "Grown", "Growth", "Process", "fullest", "tally_of"]

_MEMORY = (Outcome.HIT_MEMORY, Outcome.STALE_MEMORY)
"""What this process's memory answered. STALE_IF_ERROR is none of them: its client has waited for the
application first."""
_HITS = (*_MEMORY, Outcome.HIT_SHARED, Outcome.HIT_COALESCED, Outcome.STALE_SHARED)
_MISSES = (Outcome.MISS, Outcome.HIT_FOR_MISS, Outcome.REVALIDATED)
TREATED = tuple(
    outcome.label
    for outcome in (
        *_HITS,
        *_MISSES,
        Outcome.STALE_IF_ERROR,
        Outcome.ERROR_BYPASS,
        Outcome.PERSONAL,
    )
)
"""Requests that chance might have held out, and did not. Those that never come to the drawing (no
route, off, in shadow, not cacheable) are in neither arm, nor is a 504 that the client asked for."""
CONTROL = (Outcome.CONTROL_HIT.label, Outcome.CONTROL_MISS.label)

_MISSED = tuple(label for label in TREATED if label not in {o.label for o in _MEMORY})
_CONTROL_MISSED = (Outcome.CONTROL_MISS.label,)
_SERVED = tuple(outcome.label for outcome in (*_HITS, Outcome.STALE_IF_ERROR))
_ELIGIBLE = (*_SERVED, *(outcome.label for outcome in _MISSES))


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


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted between two looks."""

    requests: _Table
    failures: _Table
    times: _Times
    """Counts by bucket."""


class Growth:
    """Remembers what each process had counted at the last look."""

    def __init__(self) -> None:
        self._before: dict[str, Counts] | None = None

    def since_last(self, processes: Iterable[Process]) -> Grown | None:
        """Give what the fleet has counted since the last look; None at the first one."""
        now = {process.id: process.stats for process in processes}
        before, self._before = self._before, {**(self._before or {}), **now}
        if before is None:
            return None
        grown = Grown(requests={}, failures={}, times={})
        for name, counts in now.items():
            had = before.get(name)
            _add(grown.requests, counts.requests, had.requests if had else {})
            _add(grown.failures, counts.failures, had.failures if had else {})
            _add_times(grown.times, counts.durations, had.durations if had else {})
        return grown


def _add(total: _Table, now: Mapping[str, Mapping[str, int]], had: Mapping[str, Any]) -> None:
    for route, by_label in now.items():
        before = had.get(route, {})
        into = total.setdefault(route, {})
        for label, count in by_label.items():
            into[label] = into.get(label, 0) + max(0, count - before.get(label, 0))


def _add_times(
    total: _Times, now: Mapping[str, Mapping[str, Any]], had: Mapping[str, Mapping[str, Any]]
) -> None:
    for route, by_label in now.items():
        into = total.setdefault(route, {})
        for label, histogram in by_label.items():
            before = had.get(route, {}).get(label)
            grown = _less(histogram.buckets, before.buckets if before else ())
            into[label] = _sum([into[label], grown]) if label in into else grown


def _less(now: Sequence[int], had: Sequence[int]) -> tuple[int, ...]:
    if len(had) != len(now):
        return tuple(now)
    return tuple(max(0, a - b) for a, b in zip(now, had, strict=True))


def _sum(histograms: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Add up histograms; another release's, with other buckets, do not count."""
    if not histograms:
        return ()
    width = len(histograms[0])
    return tuple(map(sum, zip(*(h for h in histograms if len(h) == width), strict=True)))


def tally_of(grown: Grown, routes: Collection[str], memory: float | None) -> Tally:
    """Give what guardrails weigh of some routes; `memory` as `fullest` gives it."""

    def count(table: _Table, labels: Iterable[str]) -> int:
        return sum(table.get(route, {}).get(label, 0) for route in routes for label in labels)

    def times(labels: Iterable[str]) -> tuple[int, ...]:
        by_route = (grown.times.get(route, {}) for route in routes)
        return _sum([found[label] for found in by_route for label in labels if label in found])

    return Tally(
        control=count(grown.requests, CONTROL),
        control_failed=count(grown.failures, CONTROL),
        control_times=times(CONTROL),
        control_missed_times=times(_CONTROL_MISSED),
        treated=count(grown.requests, TREATED),
        treated_failed=count(grown.failures, TREATED),
        treated_times=times(TREATED),
        missed_times=times(_MISSED),
        hits=count(grown.requests, _SERVED),
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
