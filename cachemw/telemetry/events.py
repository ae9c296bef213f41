"""Tables of events, gauges and duration buckets.

`EVENTS` and `GAUGES` have one row each for everything that is counted or measured besides requests. The
counters, the merging of statistics and the OpenTelemetry instruments all read these rows, so that a new
event needs one row here, its name in `engine.model.outcomes.EventName`, and a row in docs/telemetry.md.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from cachemw.engine.model.outcomes import EventName, Family

__all__ = [
    "BOUNDS",
    "EVENTS",
    "EXPORTED_BOUNDS",
    "FAMILIES",
    "GAUGES",
    "LEARNED",
    "Event",
    "GaugeRow",
    "Merge",
]

FAMILIES: Final[tuple[Family, ...]] = (
    "hit",
    "stale",
    "miss",
    "pass",
    "off",
    "refresh",
    "control",
    "shadow",
)

# Guardrails judge whether the 95th percentile is a fifth higher. So where applications answer (1 ms to
# 10 s) a bucket is about a quarter wide: the ten steps per decade of Renard's R10 series (ISO 3), which
# contains 1, 2.5 and 5.
# fmt: off
BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
    0.001, 0.00125, 0.0016, 0.002, 0.0025, 0.00315, 0.004, 0.005, 0.0063, 0.008,
    0.01, 0.0125, 0.016, 0.02, 0.025, 0.0315, 0.04, 0.05, 0.063, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8,
    1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0,
    10.0, 30.0,
)
"""Inclusive upper bounds of the duration buckets in seconds. One more bucket holds what is longer."""

# 1-2.5-5 steps, like the buckets of the HTTP semantic conventions, continued down to the ten
# microseconds of a memory hit. Each further bucket would be one more series per family.
EXPORTED_BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)
"""The bounds of BOUNDS that are exported to OpenTelemetry."""
# fmt: on


class Event(NamedTuple):
    """One kind of event."""

    metric: str
    """The OpenTelemetry instrument, after `cachemw.`."""
    unit: str
    description: str
    label: str = ""
    """The meaning of the event's reason, as the attribute `cachemw.LABEL`; empty if it has no reason."""

    @property
    def attribute(self) -> str:
        """The OpenTelemetry attribute that carries the reason; empty if it has none."""
        return f"cachemw.{self.label}" if self.label else ""


EVENTS: Final[dict[EventName, Event]] = {
    "stored": Event("entries.stored", "{entry}", "Responses stored."),
    "not_stored": Event(
        "entries.not_stored",
        "{response}",
        "Responses that the configuration or HTTP did not allow to store.",
        "reason",
    ),
    "entry_rejected": Event(
        "entries.rejected",
        "{entry}",
        "Stored entries that were damaged or not authentic.",
        "reason",
    ),
    "store_error": Event(
        "store.errors",
        "{error}",
        "Operations of Redis that failed or took too long.",
        "operation",
    ),
    "dropped_stores": Event("store.dropped", "{entry}", "Writes dropped from a full queue."),
    "evicted": Event("memory.evictions", "{entry}", "Entries evicted from memory to make room."),
    "memory_refused": Event(
        "memory.refused", "{entry}", "Entries that memory did not take.", "reason"
    ),
    "memory_pressure": Event(
        "memory.pressure.begun", "{time}", "Times that memory pressure began.", "level"
    ),
    "purge": Event("purges", "{purge}", "Purges requested in this process.", "kind"),
    "endpoint_refused": Event(
        "endpoint.refused",
        "{request}",
        "Requests to the purge endpoint that were refused.",
        "reason",
    ),
    "breaker_opened": Event("breaker.opened", "{time}", "Times the circuit breaker opened."),
    "flight_timeouts": Event(
        "flight.timeouts", "{request}", "Waits for another request of this process that timed out."
    ),
    "lease_timeouts": Event(
        "lease.timeouts", "{request}", "Waits for another process that timed out."
    ),
    "log_records": Event("log.records", "{record}", "Invalidation records applied."),
    "log_losses": Event(
        "log.losses",
        "{time}",
        "Times that the invalidation log had lost records that were applied here.",
    ),
    "log_lines_dropped": Event("log_lines.dropped", "{line}", "Log lines over the rate limit."),
    "variants_dropped": Event(
        "memory.variants.dropped", "{entry}", "Variants dropped because their URL has too many."
    ),
    "bad_tags": Event("tags.bad", "{tag}", "Tags in response headers that are not valid tags."),
    "shadow_mismatch": Event(
        "shadow.mismatches",
        "{answer}",
        "Responses in shadow that differ from what the cache would have served.",
        "kind",
    ),
    "outer_identity": Event(
        "outer_identity",
        "{request}",
        "Requests that bypass because outer middleware has put a session or a user into them.",
        "found",
    ),
    "second_cache_hit": Event(
        "second_cache.hits",
        "{hit}",
        "Values from Django's own cache that recorded responses were made from.",
        "alias",
    ),
    "second_cache_unknown": Event(
        "second_cache.unknown",
        "{hit}",
        "Values from Django's own cache of which nobody knows from which rows they were made.",
        "alias",
    ),
    "second_cache_error": Event(
        "second_cache.errors",
        "{error}",
        "Calls of Django's own cache after which its tags could not be stored or read.",
        "alias",
    ),
}
"""Event -> its row. The order is that of statistics."""

Merge = Literal["sum", "max", "min"]


class GaugeRow(NamedTuple):
    """One gauge of `stats.Gauges`."""

    metric: str
    """The OpenTelemetry instrument, after `cachemw.`."""
    unit: str
    description: str
    merge: Merge
    """How values of several processes become one: sizes add up (an up-down counter); of states, ages and
    revisions the worst one counts (a gauge)."""


GAUGES: Final[dict[str, GaugeRow]] = {
    "memory_bytes": GaugeRow("memory.usage", "By", "Bytes that entries in memory take.", "sum"),
    "memory_entries": GaugeRow("memory.entries", "{entry}", "Entries in memory.", "sum"),
    "memory_max": GaugeRow("memory.limit", "By", "Bytes that entries in memory may take.", "sum"),
    "memory_planned": GaugeRow(
        "memory.planned", "By", "Bytes that entries in memory are expected to take.", "sum"
    ),
    "memory_pressure": GaugeRow("memory.pressure", "1", "0 none, 1 warning, 2 alert.", "max"),
    "breaker": GaugeRow("breaker.state", "1", "0 closed, 1 half-open, 2 open.", "max"),
    "log_connected": GaugeRow(
        "log.connected", "1", "1 while the invalidation log is followed.", "min"
    ),
    "log_age": GaugeRow(
        "log.age", "s", "Time since the invalidation log last proved alive.", "max"
    ),
    "log_partition_limit": GaugeRow(
        "log.partition_limit",
        "s",
        "The limit of log.age. Above it, only entries stored since then are served.",
        "max",
    ),
    "waiters": GaugeRow(
        "flight.waiters", "{request}", "Requests waiting for another request's response.", "sum"
    ),
    "queue": GaugeRow("log.queue", "{purge}", "Purges waiting to be sent to Redis.", "sum"),
    "flags_revision": GaugeRow(
        "flags.revision", "1", "The revision of the live flags in use.", "min"
    ),
}
"""Gauge -> its row, in the order of `stats.Gauges`."""


class LearnedRow(NamedTuple):
    """One figure of what is learned of a kind: a gauge with the attribute `cachemw.learning.kind`."""

    metric: str
    """The OpenTelemetry instrument, after `cachemw.`."""
    unit: str
    description: str


LEARNED: Final[dict[str, LearnedRow]] = {
    "lifetime": LearnedRow("learning.lifetime", "s", "The usual learned lifetime."),
    "stale": LearnedRow("learning.stale", "1", "The measured share of stale answers."),
    "reached": LearnedRow(
        "learning.reached", "1", "The share of answers that can keep the target."
    ),
    "saved": LearnedRow(
        "learning.saved", "1", "The share of calls saved beside the initial lifetime."
    ),
    "announced": LearnedRow(
        "learning.announced", "1", "The share of changes that purges announce."
    ),
}
"""The figures of `Stats.learned` that are exported."""
