"""Export of the counters as OpenTelemetry metrics.

All instruments are *observable*: OpenTelemetry calls back when it collects, and only then are the counters
read. Counting itself costs the same with and without OpenTelemetry. Only its API is needed.

**Histograms.** OpenTelemetry has no observable histogram, and the SDK has no public way to give it a
finished one. So durations are exported as Prometheus writes them: cumulative counters per bucket, with
the upper bound in `le`, beside sum and count.

**One set of instruments per meter provider.** Instruments cannot be removed, and a callback may yield a
set of attributes only once. So every provider has one `_Exporter`, which merges all caches that are
registered with it.
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

from cachemw.engine.model.outcomes import EventName, Outcome
from cachemw.process.fork import notice_fork
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.events import BOUNDS, EVENTS, EXPORTED_BOUNDS, FAMILIES, GAUGES, LEARNED
from cachemw.telemetry.spans import HTTP_ROUTE, OUTCOME, SCOPE, TIER
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = ["MAX_ROUTES", "Instrumentation", "instrument"]

MAX_ROUTES: Final = 150
"""Routes with series of their own. At about twelve outcomes each they stay below 2,000 series, where the
SDK begins to fold series into one (I4)."""

OTHER_ROUTES: Final = "(other)"
"""The name that all further routes share."""
DETAIL: Final = "cachemw.outcome.detail"
ROUTE: Final = "cachemw.route"
KIND: Final = "cachemw.learning.kind"

_LOG = logging.getLogger("cachemw.telemetry")

Callback = Callable[[CallbackOptions], Iterable[Observation]]
Labels = tuple[tuple[str, str], ...]
Series = tuple[Labels, str]
Learned = Mapping[str, Mapping[str, float]]
"""Kind -> figure -> value."""

# For each exported bound: the index of its bucket in BOUNDS, and the bound as text.
_BUCKETS: Final = (
    *((BOUNDS.index(bound), f"{bound:g}") for bound in EXPORTED_BOUNDS),
    (len(BOUNDS), "+Inf"),
)


@dataclass(eq=False, slots=True)
class _Source:
    """The counters of one cache, and the attributes of its routes."""

    counters: Counters
    gauges: Gauges
    labels: dict[str, Labels]
    learned: Callable[[], Learned] = dict

    def read(self) -> Stats:
        """Return a snapshot, of this process alone."""
        notice_fork()
        return self.counters.snapshot(self.gauges)


@dataclass(eq=False, slots=True)
class _Exporter:
    """The instruments of one meter provider, for all caches registered with it."""

    sources: dict[int, _Source] = field(default_factory=dict)
    """By the identity of their counters. A single operation adds or removes one, so that a cache can leave
    while garbage is collected, whatever that interrupts."""
    registered: bool = False

    def read(self) -> Stats:
        """Return all sources merged: a callback must not yield the same attributes twice."""
        return reduce(Stats.merge, (source.read() for source in self._present()), Stats())

    def _present(self) -> list[_Source]:
        return list(self.sources.values())

    def labels(self, route: str) -> Labels:
        """Return the attributes of a route."""
        for source in self._present():
            if route in source.labels:
                return source.labels[route]
        return ((ROUTE, OTHER_ROUTES),)

    def requests(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield requests by route and outcome."""
        return self._by_label(self.read().requests)

    def failures(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield failed requests by route and outcome."""
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
        """Yield cumulative counts by family, not by route: that would be 126 more series per route."""
        for family, histogram in _families(self.read()).items():
            up_to = tuple(accumulate(histogram.buckets))
            for index, bound in _BUCKETS:
                yield Observation(up_to[index], {OUTCOME: family, "le": bound})

    def sums(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield the time that requests took."""
        return self._durations(lambda histogram: histogram.seconds)

    def counts(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yield the number of timed requests."""
        return self._durations(lambda histogram: histogram.count)

    def _durations(self, value: Callable[[Histogram], float]) -> Iterator[Observation]:
        totals: dict[Series, float] = defaultdict(int)
        for route, by_label in self.read().durations.items():
            for label, histogram in by_label.items():
                totals[self.labels(route), Outcome[label.upper()].outcome] += value(histogram)
        for (labels, family), total in totals.items():
            yield Observation(total, {**dict(labels), OUTCOME: family})

    def event(self, name: EventName, attribute: str) -> Callback:
        """Return the callback of an event."""

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            reasons = self.read().events.get(name, {})
            if not attribute:
                # Also when it is zero: otherwise the first event is a new series and not an increase.
                yield Observation(sum(reasons.values()))
                return
            for reason, count in reasons.items():
                yield Observation(count, {attribute: reason})

        return observe

    def gauge(self, name: str) -> Callback:
        """Return the callback of a gauge."""

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            readings = (Stats(gauges=source.gauges.read()) for source in self._present())
            gauges = reduce(Stats.merge, readings, Stats()).gauges
            if name in gauges:
                yield Observation(gauges[name])

        return observe

    def learned(self, figure: str) -> Callback:
        """Return the callback of a figure that is learned for each kind."""

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            readings = (
                Stats(learned={kind: dict(known) for kind, known in source.learned().items()})
                for source in self._present()
            )
            for kind, known in reduce(Stats.merge, readings, Stats()).learned.items():
                if figure in known:
                    yield Observation(known[figure], {KIND: kind})

        return observe

    def register(self, meter: Meter) -> None:
        """Create all instruments, once."""
        timed: tuple[tuple[str, Callback, str, str], ...] = (
            ("requests", self.requests, "{request}", "Requests by route, outcome and tier."),
            ("requests.failed", self.failures, "{request}", "Requests that failed."),
            ("request.duration.bucket", self.buckets, "{request}", "Requests that took up to le."),
            ("request.duration.sum", self.sums, "s", "Time that requests took."),
            ("request.duration.count", self.counts, "{request}", "Requests that were timed."),
        )
        for name, callback, unit, about in timed:
            meter.create_observable_counter(f"{SCOPE}.{name}", [callback], unit, about)
        for event, row in EVENTS.items():
            callback = self.event(event, row.attribute)
            meter.create_observable_counter(
                f"{SCOPE}.{row.metric}", [callback], row.unit, row.description
            )
        for name, gauge in GAUGES.items():
            create = (
                meter.create_observable_up_down_counter
                if gauge.merge == "sum"
                else meter.create_observable_gauge
            )
            create(f"{SCOPE}.{gauge.metric}", [self.gauge(name)], gauge.unit, gauge.description)
        for name, figure in LEARNED.items():
            meter.create_observable_gauge(
                f"{SCOPE}.{figure.metric}", [self.learned(name)], figure.unit, figure.description
            )


def _families(stats: Stats) -> dict[str, Histogram]:
    histograms = {family: stats.latency(family) for family in FAMILIES}
    return {family: histogram for family, histogram in histograms.items() if histogram is not None}


class Instrumentation:
    """One registered cache. `close` removes it again."""

    def __init__(self, exporter: _Exporter | None, source: _Source) -> None:
        self._exporter = exporter
        self._source = source

    def close(self) -> None:
        """Stop exporting this cache. Takes no lock. Closing twice is harmless."""
        key = id(self._source.counters)
        if self._exporter and self._exporter.sources.get(key) is self._source:
            self._exporter.sources.pop(key, None)


# Instruments live as long as their provider and cannot be removed: one set for each provider.
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
    learned: Callable[[], Learned] = dict,
) -> Instrumentation:
    """Export counters and gauges through a meter provider.

    Without a provider the global one is used, also if it is set later. `templates` maps route names to
    values of `http.route`, and `learned` reads what is learned of kinds. Counters that are registered
    twice are exported once, and several caches on one provider are added up. If OpenTelemetry raises,
    the error is logged and nothing is exported (I3).
    """
    names = counters.route_names[:-1][:max_routes]
    labels = {name: _labels(name, (templates or {}).get(name, "")) for name in names}
    labels[counters.route_names[-1]] = ((ROUTE, counters.route_names[-1]),)
    source = _Source(counters, gauges, labels, learned)
    try:
        with _lock:
            exporter = _exporter_of(meter_provider)
            exporter.sources.pop(id(counters), None)  # the last one registered comes last
            exporter.sources[id(counters)] = source
    except Exception:
        _LOG.warning("event=otel_failed", exc_info=True)
        return Instrumentation(None, source)
    return Instrumentation(exporter, source)


def _labels(name: str, template: str) -> Labels:
    route = (ROUTE, name)
    return ((HTTP_ROUTE, template), route) if template else (route,)


def _exporter_of(provider: MeterProvider | None) -> _Exporter:
    # The global provider may be passed as None or itself, before or after the application sets it.
    if provider is None or provider is metrics.get_meter_provider():
        exporter, provider = _global, metrics.get_meter_provider()
    else:
        exporter = _exporters.setdefault(provider, _Exporter())
    if not exporter.registered:
        exporter.register(provider.get_meter(SCOPE))
        exporter.registered = True
    return exporter
