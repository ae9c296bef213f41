from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider as ApiMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import UNLISTED, Counters
from cachemw.telemetry.events import EVENTS
from cachemw.telemetry.otel import instrument
from cachemw.telemetry.stats import Gauges

Series = dict[tuple[tuple[str, Any], ...], float]


class Meters:
    """A provider and what it would export."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def collect(self) -> dict[str, Series]:
        data = self.reader.get_metrics_data()
        found: dict[str, Series] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    series = found.setdefault(metric.name, {})
                    for point in metric.data.data_points:
                        labels = tuple(sorted((point.attributes or {}).items()))
                        assert labels not in series
                        series[labels] = point.value  # type: ignore[union-attr]
        return found


def labels(**attributes: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name.replace("__", "."), value) for name, value in attributes.items()))


@pytest.fixture
def meters() -> Iterator[Meters]:
    made = Meters()
    yield made
    made.provider.shutdown()


@pytest.fixture
def counters() -> Counters:
    return Counters(["products", "orders"])


def test_requests_are_exported_by_route_outcome_and_tier(
    meters: Meters, counters: Counters
) -> None:
    instrument(counters, Gauges(), meters.provider, templates={"products": "/products/{id}"})
    counters.count(0, Outcome.HIT_MEMORY)
    counters.count(0, Outcome.HIT_MEMORY)
    counters.count(1, Outcome.MISS)
    counters.count(UNLISTED, Outcome.PASS)
    assert meters.collect()["cachemw.requests"] == {
        labels(
            http__route="/products/{id}",
            cachemw__route="products",
            cachemw__outcome="hit",
            cachemw__outcome__detail="hit_memory",
            cachemw__tier="memory",
        ): 2,
        labels(
            cachemw__route="orders",
            cachemw__outcome="miss",
            cachemw__outcome__detail="miss",
            cachemw__tier="origin",
        ): 1,
        labels(
            cachemw__route="(unlisted)",
            cachemw__outcome="pass",
            cachemw__outcome__detail="pass",
            cachemw__tier="origin",
        ): 1,
    }


def test_failures_are_exported_beside_the_requests(meters: Meters, counters: Counters) -> None:
    instrument(counters, Gauges(), meters.provider)
    counters.count(0, Outcome.MISS)
    counters.fail(0, Outcome.MISS)
    counters.fail(UNLISTED, Outcome.PASS)
    assert list(meters.collect()["cachemw.requests.failed"].values()) == [1, 1]


def test_counts_go_on_from_collection_to_collection(meters: Meters, counters: Counters) -> None:
    instrument(counters, Gauges(), meters.provider)
    seen = []
    for _ in range(3):
        counters.event("stored")
        seen.append(meters.collect()["cachemw.entries.stored"])
    assert seen == [{(): 1}, {(): 2}, {(): 3}]


def test_durations_are_cumulative_buckets_with_sum_and_count(
    meters: Meters, counters: Counters
) -> None:
    instrument(counters, Gauges(), meters.provider)
    for seconds in (0.00002, 0.0011, 0.002, 0.0026, 60.0):
        counters.record(0, Outcome.MISS, seconds)
    found = meters.collect()
    buckets = found["cachemw.request.duration.bucket"]
    by_bound = {dict(key)["le"]: value for key, value in buckets.items()}
    assert " ".join(by_bound) == (
        "1e-05 2.5e-05 5e-05 0.0001 0.00025 0.0005 0.001 0.0025 0.005"
        " 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 30 +Inf"
    ), "dashboards ask for these"
    bounds = ("1e-05", "2.5e-05", "0.001", "0.0025", "0.005", "30", "+Inf")
    assert [by_bound[le] for le in bounds] == [0, 1, 1, 3, 4, 4, 5]
    key = labels(cachemw__route="products", cachemw__outcome="miss")
    assert found["cachemw.request.duration.count"] == {key: 5}
    assert found["cachemw.request.duration.sum"][key] == pytest.approx(60.00572)


def test_durations_are_exported_by_family_and_not_by_outcome(
    meters: Meters, counters: Counters
) -> None:
    """Fails where series are made by label: then what was counted before would be told anew."""
    instrument(counters, Gauges(), meters.provider)
    for outcome in (Outcome.HIT_MEMORY, Outcome.HIT_SHARED, Outcome.MISS):
        counters.record(0, outcome, 0.5)
    found = meters.collect()
    hit = labels(cachemw__route="products", cachemw__outcome="hit")
    miss = labels(cachemw__route="products", cachemw__outcome="miss")
    assert found["cachemw.request.duration.count"] == {hit: 2, miss: 1}
    assert found["cachemw.request.duration.sum"] == {hit: 1.0, miss: 0.5}
    longest = {
        dict(key)["cachemw.outcome"]: count
        for key, count in found["cachemw.request.duration.bucket"].items()
        if dict(key)["le"] == "+Inf"
    }
    assert longest == {"hit": 2, "miss": 1}


def test_every_event_has_an_instrument_and_its_reason_as_label(
    meters: Meters, counters: Counters
) -> None:
    instrument(counters, Gauges(), meters.provider)
    for name, row in EVENTS.items():
        counters.event(name, "why" if row.label else "")
    found = meters.collect()
    exported = {
        name: set(series)
        for name, series in found.items()
        if name not in ("cachemw.requests",) and "duration" not in name
    }
    assert len(exported) == len(EVENTS)
    assert exported["cachemw.entries.rejected"] == {labels(cachemw__reason="why")}
    assert exported["cachemw.store.errors"] == {labels(cachemw__operation="why")}
    assert exported["cachemw.purges"] == {labels(cachemw__kind="why")}
    assert exported["cachemw.memory.evictions"] == {()}


def test_gauges_are_read_at_collection_and_a_failing_one_is_left_out(
    meters: Meters, counters: Counters
) -> None:
    def broken() -> float:
        raise RuntimeError("no value")

    used = [100]
    gauges = Gauges(
        memory_bytes=lambda: used[0],
        log_age=lambda: 1.5,
        queue=broken,
        flags_revision=lambda: 7,
    )
    instrument(counters, gauges, meters.provider)
    assert meters.collect()["cachemw.memory.usage"] == {(): 100}
    used[0] = 60
    found = meters.collect()
    assert found["cachemw.memory.usage"] == {(): 60}
    assert found["cachemw.log.age"] == {(): 1.5}
    assert found["cachemw.flags.revision"] == {(): 7}
    assert "cachemw.log.queue" not in found


def test_registering_twice_exports_once(
    meters: Meters, counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(counters, Gauges(), meters.provider)
    instrument(counters, Gauges(), meters.provider)
    counters.event("stored")
    assert meters.collect()["cachemw.entries.stored"] == {(): 1}
    assert caplog.records == []  # the SDK warns about instruments made twice


def test_two_caches_on_one_provider_add_up_until_one_is_closed(
    meters: Meters, counters: Counters
) -> None:
    other = Counters(["products"])
    instrument(counters, Gauges(memory_bytes=lambda: 1), meters.provider)
    second = instrument(other, Gauges(memory_bytes=lambda: 2), meters.provider)
    counters.count(0, Outcome.MISS)
    other.count(0, Outcome.MISS)
    found = meters.collect()
    assert list(found["cachemw.requests"].values()) == [2]
    assert found["cachemw.memory.usage"] == {(): 3}
    second.close()
    second.close()
    assert meters.collect()["cachemw.memory.usage"] == {(): 1}


def test_routes_over_the_cap_share_their_series(meters: Meters) -> None:
    counters = Counters([f"route{number}" for number in range(1000)])
    instrument(counters, Gauges(), meters.provider, max_routes=3)
    for index in range(1000):
        counters.record(index, Outcome.MISS, 0.01)
    found = meters.collect()
    by_route = {dict(key)["cachemw.route"]: n for key, n in found["cachemw.requests"].items()}
    assert by_route == {"route0": 1, "route1": 1, "route2": 1, "(other)": 997}
    assert sum(found["cachemw.request.duration.count"].values()) == 1000


def test_a_provider_that_fails_is_logged_and_nothing_more(
    counters: Counters, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ApiMeterProvider):
        def get_meter(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no meters today")

    instrument(counters, Gauges(), Broken()).close()
    assert [record.getMessage() for record in caplog.records] == ["event=otel_failed"]


def test_the_global_provider_may_be_set_later_and_is_used_once() -> None:
    """In a process of its own: the global provider can be set only once."""
    program = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from cachemw.telemetry import Counters, Gauges
from cachemw.telemetry.otel import instrument
counters = Counters(["products"])
instrument(counters, Gauges())
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
instrument(counters, Gauges())
instrument(counters, Gauges(), metrics.get_meter_provider())
counters.event("stored")
found = [
    point.value
    for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    if metric.name == "cachemw.entries.stored"
    for point in metric.data.data_points
]
assert found == [1], found
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_without_an_sdk_registering_does_no_harm(counters: Counters) -> None:
    instrument(counters, Gauges(), metrics.NoOpMeterProvider()).close()


def test_what_is_learned_is_exported_by_kind(meters: Meters, counters: Counters) -> None:
    known = {"product": {"lifetime": 12.5, "stale": 0.02}, "page": {"lifetime": 60.0}}
    instrument(counters, Gauges(), meters.provider, learned=lambda: known)
    other = Counters(["products"])
    instrument(other, Gauges(), meters.provider, learned=lambda: {"page": {"lifetime": 60.0}})
    found = meters.collect()
    assert found["cachemw.learning.lifetime"] == {
        labels(cachemw__learning__kind="product"): 12.5,
        labels(cachemw__learning__kind="page"): 60.0,
    }
    assert found["cachemw.learning.stale"] == {labels(cachemw__learning__kind="product"): 0.02}
