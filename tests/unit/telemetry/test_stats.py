from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.events import BOUNDS, EVENTS
from cachemw.telemetry.stats import Histogram, Stats
from tests.support.examples import examples

counts = st.integers(0, 2**40)
names = st.sampled_from(["products", "orders", "catalog"])
labels = st.sampled_from([outcome.label for outcome in Outcome])
histograms = st.builds(
    Histogram,
    st.lists(counts, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1).map(tuple),
    counts,
)
statistics = st.builds(
    Stats,
    processes=st.integers(0, 100),
    requests=st.dictionaries(names, st.dictionaries(labels, counts)),
    durations=st.dictionaries(names, st.dictionaries(labels, histograms, max_size=2), max_size=2),
    events=st.dictionaries(
        st.sampled_from(list(EVENTS)), st.dictionaries(st.sampled_from(["", "a"]), counts)
    ),
    refused=st.dictionaries(names, st.dictionaries(st.sampled_from(["private", "a"]), counts)),
    differences=st.dictionaries(names, st.dictionaries(st.sampled_from(["$.a", "$.b"]), counts)),
    forecasts=st.dictionaries(
        names, st.dictionaries(st.sampled_from(["requests", "hits"]), counts)
    ),
    gauges=st.dictionaries(
        st.sampled_from(["memory_bytes", "breaker", "log_connected", "log_age"]),
        counts.map(float),
    ),
)
few = settings(max_examples=examples(50), deadline=None)


def requests(**by_label: int) -> Stats:
    return Stats(processes=1, requests={"products": by_label})


@few
@given(statistics, statistics, statistics)
def test_merging_is_associative(a: Stats, b: Stats, c: Stats) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@few
@given(statistics, statistics)
def test_merging_is_commutative(a: Stats, b: Stats) -> None:
    assert a.merge(b) == b.merge(a)


@few
@given(statistics)
def test_merging_with_nothing_changes_nothing(a: Stats) -> None:
    assert a.merge(Stats()) == a == Stats().merge(a)


@few
@given(statistics, statistics)
def test_totals_of_a_merge_are_the_sums(a: Stats, b: Stats) -> None:
    both = a.merge(b)
    assert both.total == a.total + b.total
    assert both.origin_calls == a.origin_calls + b.origin_calls
    assert both.origin_calls_saved == a.origin_calls_saved + b.origin_calls_saved


@few
@given(statistics)
def test_msgpack_and_json_give_back_the_same(a: Stats) -> None:
    assert Stats.decode(a.encode()) == a
    assert msgspec.json.decode(msgspec.json.encode(a), type=Stats) == a
    assert json.loads(json.dumps(a.as_dict()))["summary"]["requests"] == a.total


def test_what_is_known_of_routes_adds_up_by_reason_and_by_place() -> None:
    one = Stats(
        refused={"orders": {"private": 1}}, differences={"orders": {"$.total": 2, "$.id": 1}}
    )
    other = Stats(
        refused={"orders": {"private": 4}, "products": {"status": 1}},
        differences={"orders": {"$.total": 5}},
    )
    both = one.merge(other)
    assert both.refused == {"orders": {"private": 5}, "products": {"status": 1}}
    assert both.differences == {"orders": {"$.total": 7, "$.id": 1}}
    assert both.route("orders").refused == {"orders": {"private": 5}}
    assert both.route("products").differences == {}
    assert both.route("orders").differences == both.differences


def test_forecasts_add_up_by_route() -> None:
    one = Stats(forecasts={"a": {"hits": 1}})
    both = one.merge(Stats(forecasts={"a": {"hits": 4}, "b": {"hits": 1}})).merge(one)
    assert both.route("a").forecasts == {"a": {"hits": 6}}
    assert both.route("b").forecasts == {"b": {"hits": 1}}


NEW = ("refused", "differences", "forecasts")


def test_a_release_that_does_not_know_reasons_and_places_is_read_and_reads_us() -> None:
    ours = Stats(
        processes=1,
        requests={"orders": {"miss": 2}},
        refused={"orders": {"private": 2}},
        differences={"orders": {"$.total": 2}},
    )
    document = msgspec.msgpack.decode(ours.encode())
    older = {name: value for name, value in document.items() if name not in NEW}
    assert len(older) == len(document) - len(NEW)
    read = Stats.decode(msgspec.msgpack.encode(older))
    assert (read.requests, read.refused, read.differences) == (ours.requests, {}, {})
    newer = msgspec.msgpack.encode({**document, "of_tomorrow": {"orders": 1}})
    assert Stats.decode(newer) == ours


@few
@given(st.binary(max_size=200))
def test_other_bytes_are_a_value_error_or_statistics(data: bytes) -> None:
    try:
        assert isinstance(Stats.decode(data), Stats)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("left", "right", "merged"),
    [
        ({"memory_bytes": 3.0}, {"memory_bytes": 4.0}, {"memory_bytes": 7.0}),
        ({"waiters": 1.0}, {"queue": 2.0}, {"waiters": 1.0, "queue": 2.0}),
        ({"breaker": 0.0}, {"breaker": 2.0}, {"breaker": 2.0}),
        ({"log_connected": 1.0}, {"log_connected": 0.0}, {"log_connected": 0.0}),
        ({"log_age": 0.5}, {"log_age": 31.0}, {"log_age": 31.0}),
        ({"flags_revision": 4.0}, {"flags_revision": 3.0}, {"flags_revision": 3.0}),
        (
            {"log_partition_limit": 5.0},
            {"log_partition_limit": 30.0},
            {"log_partition_limit": 30.0},
        ),
    ],
)
def test_sizes_add_up_and_of_states_the_worst_is_kept(
    left: dict[str, float], right: dict[str, float], merged: dict[str, float]
) -> None:
    assert Stats(gauges=left).merge(Stats(gauges=right)).gauges == merged


@pytest.mark.parametrize(
    ("stats", "rate", "saved"),
    [
        (Stats(), None, 0),
        (requests(**{"pass": 5, "off": 2, "error_bypass": 1}), None, 0),
        (requests(hit_memory=6, hit_shared=1, hit_coalesced=1, miss=2), 0.8, 8),
        (requests(hit_memory=3, stale_memory=3, refresh=1, miss=2), 0.75, 5),
        (requests(stale_if_error=1, miss=1), 0.5, 0),
        (requests(hit_memory=1, hit_for_miss=3), 0.25, 1),
        (requests(refresh=4, hit_memory=1), 1.0, -3),
    ],
)
def test_hit_rate_and_calls_saved(stats: Stats, rate: float | None, saved: int) -> None:
    assert stats.hit_rate == rate
    assert stats.origin_calls_saved == saved


def test_refreshes_are_no_requests_of_clients() -> None:
    stats = requests(hit_memory=2, refresh=5)
    assert stats.total == 2
    assert stats.by_tier == {"memory": 2}
    assert stats.by_outcome == {"hit": 2, "refresh": 5}


def test_a_label_of_another_release_is_carried_and_not_counted() -> None:
    stats = requests(hit_memory=1, hit_in_orbit=7).merge(requests(hit_in_orbit=1))
    assert stats.requests["products"]["hit_in_orbit"] == 8
    assert stats.total == 1


def test_latency_is_of_all_outcomes_of_a_family_on_all_routes() -> None:
    of = {
        name: Histogram((count, *[0] * len(BOUNDS)), count)
        for name, count in (("hit_memory", 1), ("hit_shared", 2), ("miss", 4), ("in_orbit", 8))
    }
    stats = Stats(durations={"products": of, "orders": {"hit_memory": of["hit_memory"]}})
    hits, both = stats.latency("hit"), stats.latency("hit", "miss")
    assert hits is not None
    assert (hits.count, hits.total_ns) == (4, 4)
    assert both is not None
    assert both.count == 8
    assert stats.latency("stale") is None


def test_histograms_of_other_buckets_do_not_merge() -> None:
    with pytest.raises(ValueError):
        Histogram((1, 2), 3).merge(Histogram((1, 2, 3), 4))


@pytest.mark.parametrize(
    ("filled", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({0: 10}, 0.5, 0.000005),
        ({6: 100}, 0.95, 0.000975),
        ({0: 90, 16: 10}, 0.95, 0.009),
        ({48: 1}, 0.5, 30.0),
    ],
)
def test_quantiles_are_interpolated_in_their_bucket(
    filled: dict[int, int], share: float, seconds: float | None
) -> None:
    buckets = tuple(filled.get(index, 0) for index in range(len(BOUNDS) + 1))
    assert Histogram(buckets, 0).quantile(share) == pytest.approx(seconds)


def test_the_table_is_readable() -> None:
    stats = Stats(
        processes=1,
        requests={"products": {"hit_memory": 3, "miss": 1}, "orders": {"pass": 2}},
        durations={"products": {"hit_memory": Histogram((4, *[0] * len(BOUNDS)), 40)}},
        events={"not_stored": {"private": 2}, "stored": {"": 1}},
        refused={"orders": {"private": 2}},
        differences={"products": {"header x-currency": 3}},
        gauges={"memory_bytes": 2048.0, "log_age": 0.25},
    )
    assert [" ".join(line.split()) for line in str(stats).splitlines()] == [
        "route requests hit rate memory shared flight origin saved p95",
        "orders 2 - 0 0 0 2 0 -",
        "products 4 75.0% 3 0 0 1 3 0.0095 ms",
        "all 6 75.0% 3 0 0 3 3 0.0095 ms",
        "events: not_stored.private=2 stored=1",
        "not stored: orders.private=2",
        "wrong in shadow: products.header x-currency=3",
        "now: memory_bytes=2048 log_age=0.25",
    ]
