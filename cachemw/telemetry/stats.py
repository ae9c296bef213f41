"""Statistics as values: frozen, mergeable in any order, and the same in msgpack and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.events import BOUNDS

__all__ = ["Gauges", "Histogram", "Stats"]

_BY_LABEL: Final = {outcome.label: outcome for outcome in Outcome}
_V = TypeVar("_V")


def _unknown() -> float | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """Callbacks that read present values; None, or an exception, leaves the value out."""

    memory_bytes: Callable[[], float | None] = _unknown
    memory_entries: Callable[[], float | None] = _unknown
    memory_max: Callable[[], float | None] = _unknown
    memory_planned: Callable[[], float | None] = _unknown
    """What the memory tier is expected to take; left out where nothing was planned."""
    memory_pressure: Callable[[], float | None] = _unknown
    """0 none, 1 warning, 2 alert."""
    breaker: Callable[[], float | None] = _unknown
    """0 closed, 1 half-open, 2 open."""
    log_connected: Callable[[], float | None] = _unknown
    """1 while this process follows the invalidation log, else 0."""
    log_age: Callable[[], float | None] = _unknown
    """Seconds since the log last proved itself alive."""
    log_partition_limit: Callable[[], float | None] = _unknown
    """Seconds after which a process that is cut off serves nothing from before: when `log_age` is
    above it, only what was made since is served (I5)."""
    waiters: Callable[[], float | None] = _unknown
    queue: Callable[[], float | None] = _unknown
    """Stores waiting to be written to the shared tier."""
    flags_revision: Callable[[], float | None] = _unknown
    """The revision of the live flags that count: the least over all processes has reached everybody."""

    def read(self) -> dict[str, float]:
        """Return the values that can be read now, by gauge name."""
        values: dict[str, float] = {}
        for field in fields(self):
            value = read_gauge(getattr(self, field.name))
            if value is not None:
                values[field.name] = value
        return values


def read_gauge(callback: Callable[[], float | None]) -> float | None:
    """Call it; a gauge that fails is a gap in a graph and nothing more."""
    try:
        value = callback()
    except Exception:
        return None
    return None if value is None else value + 0  # a bool reads as a number


# Across processes: sizes add up; of states and ages the worst is what one wants to see.
_GAUGE_MERGE: Final[dict[str, Callable[[float, float], float]]] = {
    "memory_pressure": max,
    "breaker": max,
    "log_connected": min,
    "log_age": max,
    "log_partition_limit": max,
    "flags_revision": min,
}


def _add(left: float, right: float) -> float:
    return left + right


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """Durations in the buckets of BOUNDS."""

    buckets: tuple[int, ...]
    """Counts, not cumulative; the last one is of durations over the last bound."""
    total_ns: int
    """The sum in whole nanoseconds: integers add up alike in any order."""

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return sum(self.buckets)

    @property
    def seconds(self) -> float:
        """Their sum in seconds."""
        return self.total_ns / 1e9

    def merge(self, other: Histogram) -> Histogram:
        """Return both together; raises ValueError when the buckets are not the same."""
        buckets = zip(self.buckets, other.buckets, strict=True)
        return Histogram(tuple(a + b for a, b in buckets), self.total_ns + other.total_ns)

    def quantile(self, share: float) -> float | None:
        """Estimate, in seconds, by interpolating in the bucket; None without observations.

        What is over the last bound is reported as the last bound.
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
    """What one or more processes counted since they started."""

    processes: int = 0
    requests: dict[str, dict[str, int]] = {}
    """Route name -> outcome label -> count."""
    failures: dict[str, dict[str, int]] = {}
    """Route name -> outcome label -> how many of these were answered with 500 or above, or not at all
    since the application raised."""
    durations: dict[str, dict[str, Histogram]] = {}
    """Route name -> outcome label -> histogram."""
    events: dict[str, dict[str, int]] = {}
    """Event -> reason, or an empty string -> count."""
    refused: dict[str, dict[str, int]] = {}
    """Route name -> why answers were not stored, as one word -> count."""
    differences: dict[str, dict[str, int]] = {}
    """Route name -> where an answer in shadow would have been wrong, never a value -> count."""
    gauges: dict[str, float] = {}

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
            gauges={
                name: _merge_value(self.gauges, other.gauges, name, _GAUGE_MERGE.get(name, _add))
                for name in {**self.gauges, **other.gauges}
            },
        )

    def route(self, name: str) -> Stats:
        """Return what is counted by route of this one, without events and gauges."""
        return Stats(
            processes=self.processes,
            requests={name: self.requests[name]} if name in self.requests else {},
            failures={name: self.failures[name]} if name in self.failures else {},
            durations={name: self.durations[name]} if name in self.durations else {},
            refused={name: self.refused[name]} if name in self.refused else {},
            differences={name: self.differences[name]} if name in self.differences else {},
        )

    def _counts(self) -> Iterator[tuple[Outcome, int]]:
        # A label of a newer release has no meaning here; it is kept, merged, and left out of sums.
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
        """Clients' requests by the tier that answered, over all routes."""
        return _sums((o.tier, n) for o, n in self._counts() if o is not Outcome.REFRESH)

    @property
    def total(self) -> int:
        """Requests that clients made."""
        return sum(n for outcome, n in self._counts() if outcome is not Outcome.REFRESH)

    @property
    def failed(self) -> int:
        """Requests that clients made and that were answered with a failure."""
        refresh = Outcome.REFRESH.label
        return sum(
            count
            for by_label in self.failures.values()
            for label, count in by_label.items()
            if label != refresh
        )

    @property
    def origin_calls(self) -> int:
        """Calls of the application, background refreshes included."""
        return sum(n for outcome, n in self._counts() if outcome.calls_origin)

    @property
    def origin_calls_saved(self) -> int:
        """Requests less origin calls: negative when prefetching costs more than it saves."""
        return self.total - self.origin_calls

    @property
    def hit_rate(self) -> float | None:
        """Hits and stale answers among eligible requests (those and misses); None without any."""
        families = self.by_outcome
        served = families.get("hit", 0) + families.get("stale", 0)
        eligible = served + families.get("miss", 0)
        return served / eligible if eligible else None

    def latency(self, *families: str) -> Histogram | None:
        """Merge all routes' histograms of these outcome families; None without observations."""
        merged: Histogram | None = None
        for by_label in self.durations.values():
            for label, found in by_label.items():
                if label in _BY_LABEL and _BY_LABEL[label].outcome in families:
                    merged = merged.merge(found) if merged else found
        return merged

    def as_dict(self) -> dict[str, Any]:
        """Return plain data with the derived rates beside the counts."""
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
        """Read what `encode` wrote; raises `msgspec.DecodeError`, a ValueError, otherwise."""
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
