"""Statistics as values, and the gauges of a process.

`Stats` is what one process, or several together, have counted. It is frozen and can be merged in any
order with the same result, so processes, log files and dashboards can add statistics up as they like.
Its fields are a stored format: msgpack in Redis (`fleet`), JSON in `cachemw stats --json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.events import BOUNDS, GAUGES, Merge

__all__ = ["Gauges", "Histogram", "Stats"]

_BY_LABEL: Final = {outcome.label: outcome for outcome in Outcome}
_V = TypeVar("_V")


def _unknown() -> float | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Callbacks that read present values; None or an exception leaves a value out.

    `events.GAUGES` has a row for each one.
    """

    memory_bytes: Callable[[], float | None] = _unknown
    memory_entries: Callable[[], float | None] = _unknown
    memory_max: Callable[[], float | None] = _unknown
    memory_planned: Callable[[], float | None] = _unknown
    """Bytes that the memory tier is expected to take; left out if nothing was planned."""
    memory_pressure: Callable[[], float | None] = _unknown
    """0 none, 1 warning, 2 alert."""
    breaker: Callable[[], float | None] = _unknown
    """0 closed, 1 half-open, 2 open."""
    log_connected: Callable[[], float | None] = _unknown
    """1 while this process follows the invalidation log, otherwise 0."""
    log_age: Callable[[], float | None] = _unknown
    """Seconds since the log last proved that it works."""
    log_partition_limit: Callable[[], float | None] = _unknown
    """The limit of `log_age`. Above it, a process serves only entries that were stored since then, because
    it may have missed purges (I5)."""
    waiters: Callable[[], float | None] = _unknown
    """Requests waiting for the response of another request."""
    queue: Callable[[], float | None] = _unknown
    """Entries waiting to be written to Redis."""
    flags_revision: Callable[[], float | None] = _unknown
    """The revision of the live flags in use. The lowest one of all processes has reached all of them."""

    def read(self) -> dict[str, float]:
        """Return the values that can be read now, by gauge name."""
        values: dict[str, float] = {}
        for field in fields(self):
            value = read_gauge(getattr(self, field.name))
            if value is not None:
                values[field.name] = value
        return values


def read_gauge(callback: Callable[[], float | None]) -> float | None:
    """Return the value of a gauge, or None if its callback fails: a gap in a graph harms nobody."""
    try:
        value = callback()
    except Exception:
        return None
    return None if value is None else value + 0  # a bool reads as a number


def _add(left: float, right: float) -> float:
    return left + right


def _better_known(left: dict[str, float], right: dict[str, float]) -> dict[str, float]:
    """Return what rests on more refreshes; any order of merging gives the same."""
    return max(
        left, right, key=lambda figures: (figures.get("refreshes", 0.0), *sorted(figures.items()))
    )


_MERGE: Final[dict[Merge, Callable[[float, float], float]]] = {"sum": _add, "max": max, "min": min}


def _gauge_merge(name: str) -> Callable[[float, float], float]:
    """Return how a gauge is merged; one that only a later release knows is added up."""
    return _MERGE[GAUGES[name].merge] if name in GAUGES else _add


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """Durations in the buckets of BOUNDS."""

    buckets: tuple[int, ...]
    """Counts per bucket, not cumulative; the last bucket holds durations above the last bound."""
    total_ns: int
    """The sum in whole nanoseconds. Sums of integers do not depend on their order; sums of floats do."""

    @property
    def count(self) -> int:
        """The number of durations."""
        return sum(self.buckets)

    @property
    def seconds(self) -> float:
        """The sum of the durations in seconds."""
        return self.total_ns / 1e9

    def merge(self, other: Histogram) -> Histogram:
        """Return the sum of both; raise ValueError if the numbers of buckets differ."""
        buckets = zip(self.buckets, other.buckets, strict=True)
        return Histogram(tuple(a + b for a, b in buckets), self.total_ns + other.total_ns)

    def quantile(self, share: float) -> float | None:
        """Return an estimate in seconds, interpolated in its bucket; None without durations.

        A quantile above the last bound is reported as the last bound.
        """
        wanted = share * self.count
        below = 0
        for index, count in enumerate(self.buckets[: len(BOUNDS)]):
            if count and below + count >= wanted:
                lower = BOUNDS[index - 1] if index else 0.0
                return lower + (BOUNDS[index] - lower) * (wanted - below) / count
            below += count
        return BOUNDS[-1] if self.count else None


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one or more processes since they started."""

    processes: int = 0
    requests: dict[str, dict[str, int]] = {}
    """Route name -> outcome label -> count."""
    failures: dict[str, dict[str, int]] = {}
    """Route name -> outcome label -> requests that failed: the status was 500 or above, or the application
    raised."""
    durations: dict[str, dict[str, Histogram]] = {}
    """Route name -> outcome label -> histogram."""
    events: dict[str, dict[str, int]] = {}
    """Event -> reason, or an empty string without one -> count."""
    refused: dict[str, dict[str, int]] = {}
    """Route name -> reason why responses were not stored -> count."""
    differences: dict[str, dict[str, int]] = {}
    """Route name -> place where a response in shadow would have been wrong, never a value -> count."""
    forecasts: dict[str, dict[str, int]] = {}
    """Route name -> what it would do, switched on (`outcomes.ForecastName`) -> requests in shadow."""
    gauges: dict[str, float] = {}
    learned: dict[str, dict[str, float]] = {}
    """Kind -> what is learned of it -> value. The processes share it, so one of them speaks for all."""

    def merge(self, other: Stats) -> Stats:
        """Return the statistics of both together."""
        return Stats(
            processes=self.processes + other.processes,
            requests=_merge_nested(self.requests, other.requests, int.__add__),
            failures=_merge_nested(self.failures, other.failures, int.__add__),
            durations=_merge_nested(self.durations, other.durations, Histogram.merge),
            events=_merge_nested(self.events, other.events, int.__add__),
            refused=_merge_nested(self.refused, other.refused, int.__add__),
            differences=_merge_nested(self.differences, other.differences, int.__add__),
            forecasts=_merge_nested(self.forecasts, other.forecasts, int.__add__),
            gauges={
                name: _merge_value(self.gauges, other.gauges, name, _gauge_merge(name))
                for name in {**self.gauges, **other.gauges}
            },
            learned={
                name: _merge_value(self.learned, other.learned, name, _better_known)
                for name in {**self.learned, **other.learned}
            },
        )

    def route(self, name: str) -> Stats:
        """Return what was counted on one route. Events and gauges belong to no route and are left out."""
        return Stats(
            processes=self.processes,
            requests={name: self.requests[name]} if name in self.requests else {},
            failures={name: self.failures[name]} if name in self.failures else {},
            durations={name: self.durations[name]} if name in self.durations else {},
            refused={name: self.refused[name]} if name in self.refused else {},
            differences={name: self.differences[name]} if name in self.differences else {},
            forecasts={name: self.forecasts[name]} if name in self.forecasts else {},
        )

    def _counts(self) -> Iterator[tuple[Outcome, int]]:
        # The label of a later release has no family here. It is kept and merged, but left out of sums.
        for outcomes in self.requests.values():
            for label, count in outcomes.items():
                if label in _BY_LABEL:
                    yield _BY_LABEL[label], count

    @property
    def by_label(self) -> dict[str, int]:
        """Counts by outcome label, over all routes."""
        return _sums((outcome.label, count) for outcome, count in self._counts())

    @property
    def by_outcome(self) -> dict[str, int]:
        """Counts by outcome family, over all routes."""
        return _sums((outcome.outcome, count) for outcome, count in self._counts())

    @property
    def by_tier(self) -> dict[str, int]:
        """Requests of clients by the tier that answered, over all routes."""
        return _sums((o.tier, n) for o, n in self._counts() if o is not Outcome.REFRESH)

    @property
    def total(self) -> int:
        """Requests of clients."""
        return sum(n for outcome, n in self._counts() if outcome is not Outcome.REFRESH)

    @property
    def failed(self) -> int:
        """Requests of clients that failed."""
        refresh = Outcome.REFRESH.label
        return sum(
            count
            for by_label in self.failures.values()
            for label, count in by_label.items()
            if label != refresh
        )

    @property
    def origin_calls(self) -> int:
        """Calls of the application, including background refreshes."""
        return sum(n for outcome, n in self._counts() if outcome.calls_origin)

    @property
    def origin_calls_saved(self) -> int:
        """Requests minus calls of the application. Negative if refreshes cost more than hits save."""
        return self.total - self.origin_calls

    @property
    def hit_rate(self) -> float | None:
        """Hits and stale responses as a share of hits, stale responses and misses; None without any."""
        families = self.by_outcome
        served = families.get("hit", 0) + families.get("stale", 0)
        eligible = served + families.get("miss", 0)
        return served / eligible if eligible else None

    def latency(self, *families: str) -> Histogram | None:
        """Return the merged histogram of these outcome families, over all routes; None without durations."""
        merged: Histogram | None = None
        for by_label in self.durations.values():
            for label, histogram in by_label.items():
                if label in _BY_LABEL and _BY_LABEL[label].outcome in families:
                    merged = merged.merge(histogram) if merged else histogram
        return merged

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: the counts, and under `summary` the derived rates."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain["summary"] = {
            "requests": self.total,
            "failed": self.failed,
            "hit_rate": self.hit_rate,
            "origin_calls": self.origin_calls,
            "origin_calls_saved": self.origin_calls_saved,
            "by_outcome": self.by_outcome,
            "by_tier": self.by_tier,
        }
        return plain

    def encode(self) -> bytes:
        """Return msgpack."""
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> Stats:
        """Return the statistics that `encode` wrote; raise `msgspec.DecodeError`, a ValueError."""
        return msgspec.msgpack.decode(data, type=Stats)

    def __str__(self) -> str:
        rows = [_table_row(name, self.route(name)) for name in sorted(self.requests)]
        rows.append(_table_row("all", self))
        lines = [_format_row(_COLUMNS), *map(_format_row, rows)]
        for title, pairs in (
            ("events", _flatten(self.events)),
            ("not stored", _flatten(self.refused)),
            ("wrong in shadow", _flatten(self.differences)),
            ("now", self.gauges.items()),
        ):
            if text := "  ".join(f"{name}={_number(value)}" for name, value in pairs):
                lines.append(f"{title}: {text}")
        return "\n".join(lines)


_COLUMNS = ("route", "requests", "hit rate", "memory", "shared", "flight", "origin", "saved", "p95")


def _table_row(name: str, stats: Stats) -> tuple[str, ...]:
    rate = stats.hit_rate
    latency = stats.latency("hit", "stale", "miss", "pass", "off", "control", "shadow")
    p95 = latency.quantile(0.95) if latency else None
    tiers = stats.by_tier
    return (
        name,
        str(stats.total),
        "-" if rate is None else f"{rate:.1%}",
        *(str(tiers.get(tier, 0)) for tier in ("memory", "shared", "flight", "origin")),
        str(stats.origin_calls_saved),
        "-" if p95 is None else f"{p95 * 1e3:.3g} ms",
    )


def _format_row(row: tuple[str, ...]) -> str:
    return f"{row[0]:<24.24}" + "".join(f"{cell:>10}" for cell in row[1:])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3g}"


def _flatten(events: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int]]:
    return [
        (f"{name}.{reason}" if reason else name, count)
        for name, reasons in sorted(events.items())
        for reason, count in sorted(reasons.items())
    ]


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name, count in pairs:
        totals[name] = totals.get(name, 0) + count
    return totals


def _merge_value(
    left: Mapping[str, _V], right: Mapping[str, _V], name: str, join: Callable[[_V, _V], _V]
) -> _V:
    if name in left and name in right:
        return join(left[name], right[name])
    return left[name] if name in left else right[name]


def _merge_nested(
    left: Mapping[str, Mapping[str, _V]],
    right: Mapping[str, Mapping[str, _V]],
    join: Callable[[_V, _V], _V],
) -> dict[str, dict[str, _V]]:
    merged: dict[str, dict[str, _V]] = {}
    for outer in {**left, **right}:
        a, b = left.get(outer, {}), right.get(outer, {})
        merged[outer] = {inner: _merge_value(a, b, inner, join) for inner in {**a, **b}}
    return merged
