"""Export the counters through observable instruments: read at collection, free until then.

Only the OpenTelemetry API is needed. It has no observable histogram and the SDK no public hook to
hand it ready-made ones, so durations are exported as what they are, counters per bucket with their
bound in `le`, beside their sum and count.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.events import BOUNDS, EXPORTED_BOUNDS, FAMILIES, EventName
from cachemw.telemetry.spans import (
    HTTP_ROUTE,
    OUTCOME,
    SCOPE,
    TIER,
    mark_server_span,
    span_lookup,
    span_origin,
    span_store,
)
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = [
    "MAX_ROUTES",
    "Instrumentation",
    "instrument",
    "mark_server_span",
    "span_lookup",
    "span_origin",
    "span_store",
]

MAX_ROUTES: Final = 150
"""Routes with series of their own: twelve outcomes each stay under the SDK's limit of 2,000."""

OTHER_ROUTES: Final = "(other)"
DETAIL: Final = "cachemw.outcome.detail"
ROUTE: Final = "cachemw.route"

_LOG = logging.getLogger("cachemw.telemetry")

Callback = Callable[[CallbackOptions], Iterable[Observation]]
Labels = tuple[tuple[str, str], ...]
Series = tuple[Labels, str]

# The last bucket of BOUNDS that is within an exported bound, and that bound.
_BUCKETS: Final = (
    *((BOUNDS.index(bound), f"{bound:g}") for bound in EXPORTED_BOUNDS),
    (len(BOUNDS), "+Inf"),
)

# event -> (instrument, unit, the attribute that carries the event's second word, description)
_EVENTS: Final[dict[EventName, tuple[str, str, str, str]]] = {
    "stored": ("entries.stored", "{entry}", "", "Responses stored."),
    "not_stored": (
        "entries.not_stored",
        "{response}",
        "cachemw.reason",
        "Responses that policy or HTTP forbade to store.",
    ),
    "entry_rejected": (
        "entries.rejected",
        "{entry}",
        "cachemw.reason",
        "Stored bytes that were not a trustworthy entry.",
    ),
    "store_error": (
        "store.errors",
        "{error}",
        "cachemw.operation",
        "Operations that the shared store failed or did not answer in time.",
    ),
    "dropped_stores": ("store.dropped", "{entry}", "", "Writes dropped from a full queue."),
    "shadow_mismatch": (
        "shadow.mismatches",
        "{answer}",
        "cachemw.kind",
        "Answers of the application that differ from what would have been served.",
    ),
    "bad_tags": ("tags.bad", "{tag}", "", "Tags in response fields that cannot be tags."),
    "variants_dropped": (
        "memory.variants.dropped",
        "{entry}",
        "",
        "Variants dropped because their URL has too many.",
    ),
    "evicted": ("memory.evictions", "{entry}", "", "Entries evicted from memory for room."),
    "memory_refused": (
        "memory.refused",
        "{entry}",
        "cachemw.reason",
        "Entries that memory did not take, for their size.",
    ),
    "memory_pressure": (
        "memory.pressure.begun",
        "{time}",
        "cachemw.level",
        "Times that memory came under pressure.",
    ),
    "purge": ("purges", "{purge}", "cachemw.kind", "Purges asked of this process."),
    "endpoint_refused": (
        "endpoint.refused",
        "{request}",
        "cachemw.reason",
        "Orders by HTTP that were refused.",
    ),
    "breaker_opened": ("breaker.opened", "{time}", "", "Times the circuit breaker opened."),
    "flight_timeouts": ("flight.timeouts", "{request}", "", "Waits for a leader that timed out."),
    "lease_timeouts": (
        "lease.timeouts",
        "{request}",
        "",
        "Waits for another process that timed out.",
    ),
    "log_losses": (
        "log.losses",
        "{time}",
        "",
        "Times that the log had lost records which were applied here.",
    ),
    "log_records": ("log.records", "{record}", "", "Invalidation records applied."),
    "log_lines_dropped": ("log_lines.dropped", "{line}", "", "Log lines over the rate limit."),
}

# gauge -> (instrument, unit, whether it adds up over instances, description)
_GAUGES: Final[dict[str, tuple[str, str, bool, str]]] = {
    "memory_bytes": ("memory.usage", "By", True, "Bytes that entries in memory take."),
    "memory_entries": ("memory.entries", "{entry}", True, "Entries in memory."),
    "memory_max": ("memory.limit", "By", True, "Bytes that entries in memory may take."),
    "memory_planned": ("memory.planned", "By", True, "Bytes that they are expected to take."),
    "memory_pressure": ("memory.pressure", "1", False, "0 none, 1 warning, 2 alert."),
    "breaker": ("breaker.state", "1", False, "0 closed, 1 half-open, 2 open."),
    "log_connected": ("log.connected", "1", False, "1 while the invalidation log is followed."),
    "log_age": ("log.age", "s", False, "Time since the invalidation log last proved alive."),
    "log_partition_limit": (
        "log.partition_limit",
        "s",
        False,
        "The limit of log.age, beyond which nothing from before is served.",
    ),
    "waiters": ("flight.waiters", "{request}", True, "Requests waiting for a leader."),
    "queue": ("store.queue", "{entry}", True, "Stores waiting for the shared tier."),
    "flags_revision": ("flags.revision", "1", False, "The revision of the live flags that count."),
}


@dataclass(eq=False, slots=True)
class _Source:
    """One cache's counters, and the labels of its routes."""

    counters: Counters
    gauges: Gauges
    labels: dict[str, Labels]

    def read(self) -> Stats:
        return self.counters.snapshot(self.gauges)


@dataclass(eq=False, slots=True)
class _Exporter:
    """The instruments of one meter provider, over every cache registered with it."""

    sources: list[_Source] = field(default_factory=list)
    registered: bool = False

    def read(self) -> Stats:
        """Merge all sources, since a callback may not give one set of attributes twice."""
        return reduce(Stats.merge, (source.read() for source in self.sources.copy()), Stats())

    def labels(self, route: str) -> Labels:
        for source in self.sources.copy():
            if route in source.labels:
                return source.labels[route]
        return ((ROUTE, OTHER_ROUTES),)

    def requests(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._by_label(self.read().requests)

    def failures(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._by_label(self.read().failures)

    def _by_label(self, counts: Mapping[str, Mapping[str, int]]) -> Iterator[Observation]:
        totals: dict[Series, float] = defaultdict(int)
        for route, by_label in counts.items():
            for label, count in by_label.items():
                totals[self.labels(route), label] += count
        for (labels, label), total in totals.items():
            outcome = Outcome[label.upper()]
            attributes = {OUTCOME: outcome.outcome, DETAIL: label, TIER: outcome.tier}
            yield Observation(total, {**dict(labels), **attributes})

    def buckets(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield cumulative counts, not by route: that would be 126 series for each."""
        for family, histogram in _families(self.read()).items():
            up_to = tuple(accumulate(histogram.buckets))
            for index, bound in _BUCKETS:
                yield Observation(up_to[index], {OUTCOME: family, "le": bound})

    def sums(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._durations(lambda histogram: histogram.seconds)

    def counts(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._durations(lambda histogram: histogram.count)

    def _durations(self, value: Callable[[Histogram], float]) -> Iterator[Observation]:
        totals: dict[Series, float] = defaultdict(int)
        for route, by_label in self.read().durations.items():
            for label, histogram in by_label.items():
                totals[self.labels(route), Outcome[label.upper()].outcome] += value(histogram)
        for (labels, family), total in totals.items():
            yield Observation(total, {**dict(labels), OUTCOME: family})

    def event(self, name: EventName, attribute: str) -> Callback:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            reasons = self.read().events.get(name, {})
            if not attribute:
                # An explicit zero, so that a first increase is an increase.
                yield Observation(sum(reasons.values()))
                return
            for reason, count in reasons.items():
                yield Observation(count, {attribute: reason})

        return observe

    def gauge(self, name: str) -> Callback:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            readings = (Stats(gauges=source.gauges.read()) for source in self.sources.copy())
            gauges = reduce(Stats.merge, readings, Stats()).gauges
            if name in gauges:
                yield Observation(gauges[name])

        return observe

    def register(self, meter: Meter) -> None:
        """Make every instrument once."""
        timed: tuple[tuple[str, Callback, str, str], ...] = (
            ("requests", self.requests, "{request}", "Requests by route, outcome and tier."),
            ("requests.failed", self.failures, "{request}", "Those answered with a failure."),
            ("request.duration.bucket", self.buckets, "{request}", "Requests that took up to le."),
            ("request.duration.sum", self.sums, "s", "Time that requests took."),
            ("request.duration.count", self.counts, "{request}", "Requests that were timed."),
        )
        for name, callback, unit, about in timed:
            meter.create_observable_counter(f"{SCOPE}.{name}", [callback], unit, about)
        for event, (name, unit, attribute, about) in _EVENTS.items():
            callback = self.event(event, attribute)
            meter.create_observable_counter(f"{SCOPE}.{name}", [callback], unit, about)
        for gauge, (name, unit, additive, about) in _GAUGES.items():
            create = (
                meter.create_observable_up_down_counter
                if additive
                else meter.create_observable_gauge
            )
            create(f"{SCOPE}.{name}", [self.gauge(gauge)], unit, about)


def _families(stats: Stats) -> dict[str, Histogram]:
    found = {family: stats.latency(family) for family in FAMILIES}
    return {family: histogram for family, histogram in found.items() if histogram is not None}


class Instrumentation:
    """A registered cache; `close` takes it out again, as when its process part is shut down."""

    def __init__(self, exporter: _Exporter | None, source: _Source) -> None:
        self._exporter = exporter
        self._source = source

    def close(self) -> None:
        """Stop exporting; closing twice is harmless."""
        if self._exporter and self._source in self._exporter.sources:
            self._exporter.sources.remove(self._source)


# Instruments live as long as their provider and cannot be taken back: one set for each provider.
_lock = threading.Lock()
_global: Final = _Exporter()
_exporters: WeakKeyDictionary[MeterProvider, _Exporter] = WeakKeyDictionary()


def instrument(
    counters: Counters,
    gauges: Gauges,
    meter_provider: MeterProvider | None = None,
    *,
    templates: Mapping[str, str] | None = None,
    max_routes: int = MAX_ROUTES,
) -> Instrumentation:
    """Export counters and gauges; with None through the global provider, now or once it is set.

    `templates` maps route names to the values of `http.route`. The same counters registered again
    are exported once; several caches on one provider are added up. What OpenTelemetry raises is
    logged and the cache goes on without it.
    """
    names = counters.route_names[:-1][:max_routes]
    labels = {name: _labels(name, (templates or {}).get(name, "")) for name in names}
    labels[counters.route_names[-1]] = ((ROUTE, counters.route_names[-1]),)
    source = _Source(counters, gauges, labels)
    try:
        with _lock:
            exporter = _exporter_of(meter_provider)
            exporter.sources = [s for s in exporter.sources if s.counters is not counters]
            exporter.sources.append(source)
    except Exception:
        _LOG.warning("event=otel_failed", exc_info=True)
        return Instrumentation(None, source)
    return Instrumentation(exporter, source)


def _labels(name: str, template: str) -> Labels:
    route = (ROUTE, name)
    return ((HTTP_ROUTE, template), route) if template else (route,)


def _exporter_of(provider: MeterProvider | None) -> _Exporter:
    # The global provider may be asked for by name or as None, and before or after it is set.
    if provider is None or provider is metrics.get_meter_provider():
        exporter, provider = _global, metrics.get_meter_provider()
    else:
        exporter = _exporters.setdefault(provider, _Exporter())
    if not exporter.registered:
        exporter.register(provider.get_meter(SCOPE))
        exporter.registered = True
    return exporter
