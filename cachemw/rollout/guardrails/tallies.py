"""From the counters of processes to the tallies that guardrails judge.

A process's counters start at zero with the process and only grow. So what happened between two looks is
the sum, over all processes, of how much each has grown. A process that ended adds nothing, and takes
nothing away either.

Three tables say which arm of the comparison a request is in, by its outcome: `TREATED`, `CONTROL` and
`NEITHER`. Every `Outcome` is in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.measures import Tally

__all__ = [
    "CONTROL",
    "NEITHER",
    "TREATED",
    "Counts",
    "Increase",
    "IncreaseTracker",
    "Process",
    "fullest",
    "tally_of",
]

# The same outcomes as in `Stats.hit_rate`.
_HITS = tuple(each.label for each in Outcome if each.outcome in ("hit", "stale"))
_ELIGIBLE = (*_HITS, *(each.label for each in Outcome if each.outcome == "miss"))

# The holdout is drawn from all requests that the cache may answer. The treated are those of them that
# were not drawn, however they were answered: leaving some out would compare unlike requests.
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
        Outcome.ERROR_BYPASS,  # an internal error bypassed the cache; that may be the harm itself
        Outcome.PERSONAL,  # no stored entry may answer it, but it could have been drawn too
    }
)
"""Outcomes of requests that the cache was allowed to answer."""
CONTROL = frozenset({Outcome.CONTROL_HIT, Outcome.CONTROL_MISS})
"""Outcomes of requests that were held out."""
NEITHER = frozenset(
    {
        Outcome.OFF,  # these five are decided before the draw
        Outcome.PASS,
        Outcome.SHADOW_HIT,
        Outcome.SHADOW_MISS,
        Outcome.SHADOW_MISMATCH,
        Outcome.REFRESH,  # no client waits for a refresh
        Outcome.UNSATISFIED,  # a 504 that the client asked for (only-if-cached) is nobody's failure
    }
)
"""Outcomes that say nothing about what the cache does to clients."""

# STALE_IF_ERROR is served from memory, but its client first waited for the application to fail. Its
# duration is that of a miss.
_MISSED = TREATED - {Outcome.HIT_MEMORY, Outcome.STALE_MEMORY}
_SAVING = frozenset(outcome for outcome in TREATED if not outcome.calls_origin)
_REFRESHES = (Outcome.REFRESH.label,)
_CONTROL_MISSED = frozenset({Outcome.CONTROL_MISS})
_MOST_GONE = 1000
"""Most processes that were not seen at the last look and are still remembered (I4). When Redis has lost
its data, processes report again, and what they had counted before must not count as new."""


class Counts(Protocol):
    """Counts of one process, by route and outcome label. `telemetry.stats.Stats` has this form."""

    @property
    def requests(self) -> Mapping[str, Mapping[str, int]]:
        """Requests."""

    @property
    def failures(self) -> Mapping[str, Mapping[str, int]]:
        """Requests that failed."""

    @property
    def durations(self) -> Mapping[str, Mapping[str, Any]]:
        """Histograms of durations, of which only `buckets` is read."""

    @property
    def refused(self) -> Mapping[str, Mapping[str, int]]:
        """Responses that were not stored, by route and reason."""

    @property
    def differences(self) -> Mapping[str, Mapping[str, int]]:
        """Differences of responses in shadow, by route and place."""

    @property
    def forecasts(self) -> Mapping[str, Mapping[str, int]]:
        """Forecasts of routes in shadow, by route and `outcomes.ForecastName`."""

    @property
    def gauges(self) -> Mapping[str, float]:
        """Present values, by gauge name."""


class Process(Protocol):
    """One process as it last reported. `telemetry.fleet.ProcessStats` has this form."""

    @property
    def id(self) -> str:
        """Its unique name."""

    @property
    def live(self) -> bool:
        """Whether it reported within the last seconds."""

    @property
    def component(self) -> str:
        """The component it belongs to, by its configuration."""

    @property
    def stats(self) -> Counts:
        """Its counts since it started."""


_Table = dict[str, dict[str, int]]
_Times = dict[str, dict[str, tuple[int, ...]]]


class Increase(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of all processes between two looks."""

    requests: _Table
    failures: _Table
    times: _Times
    """Counts by bucket, by route and outcome label."""
    buckets: int
    """The number of buckets of each histogram."""
    refused: _Table
    differences: _Table
    forecasts: _Table


class IncreaseTracker:
    """The counts of every process at the last look, from which the increase is worked out."""

    def __init__(self, buckets: int) -> None:
        """Expect histograms of so many buckets; others, of another release, are left out."""
        self._buckets = buckets
        self._before: dict[str, Counts] | None = None

    def since_last(self, processes: Iterable[Process]) -> Increase | None:
        """Return what all processes have counted since the last look, or None at the first one."""
        now = {process.id: process.stats for process in processes}
        before, self._before = self._before, self._remembered(now)
        if before is None:
            return None
        increase = Increase(
            requests={},
            failures={},
            times={},
            buckets=self._buckets,
            refused={},
            differences={},
            forecasts={},
        )
        for name, counts in now.items():
            had = before.get(name)
            _add(increase.requests, counts.requests, had.requests if had else {})
            _add(increase.failures, counts.failures, had.failures if had else {})
            _add_times(increase, counts.durations, had.durations if had else {})
            _add(increase.refused, counts.refused, had.refused if had else {})
            _add(increase.differences, counts.differences, had.differences if had else {})
            _add(increase.forecasts, counts.forecasts, had.forecasts if had else {})
        return increase

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


def tally_of(increase: Increase, routes: Collection[str], memory: float | None) -> Tally:
    """Return the tally of some routes; `memory` is what `fullest` returns."""

    def labels(outcomes: Collection[Outcome]) -> list[str]:
        return [outcome.label for outcome in outcomes]

    def count(table: _Table, labels: Collection[str]) -> int:
        return sum(table.get(route, {}).get(label, 0) for route in routes for label in labels)

    def times(outcomes: Collection[Outcome]) -> tuple[int, ...]:
        by_route = [increase.times.get(route, {}) for route in routes]
        wanted = labels(outcomes)
        histograms = (had[each] for had in by_route for each in wanted if each in had)
        return _sum(increase.buckets, histograms)

    return Tally(
        control=count(increase.requests, labels(CONTROL)),
        control_failed=count(increase.failures, labels(CONTROL)),
        control_times=times(CONTROL),
        control_missed_times=times(_CONTROL_MISSED),
        treated=count(increase.requests, labels(TREATED)),
        treated_failed=count(increase.failures, labels(TREATED)),
        treated_times=times(TREATED),
        missed_times=times(_MISSED),
        hits=count(increase.requests, _HITS),
        eligible=count(increase.requests, _ELIGIBLE),
        saved=count(increase.requests, labels(_SAVING)) - count(increase.requests, _REFRESHES),
        memory=memory,
    )


def fullest(processes: Iterable[Process]) -> float | None:
    """Return the memory of the fullest process as a share of its plan, or None if none has a plan."""
    shares = [
        taken / planned
        for process in processes
        if process.live
        and (taken := process.stats.gauges.get("memory_bytes")) is not None
        and (planned := process.stats.gauges.get("memory_planned"))
    ]
    return max(shares, default=None)
