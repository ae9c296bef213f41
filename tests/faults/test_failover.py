"""A server of a Sentinel's group or of a Cluster goes away in the middle of traffic.

Another one takes over. No request fails, waits long, or gets what was purged, and Redis is in use
again when the others have noticed and one has taken over, plus two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from cachemw.testing import RedisCluster, RedisSentinel, RedisServer

from .bounds import CLIENTS, assert_bounded, assert_harmless, baseline
from .kit import AsgiTraffic, Traffic, options, until

LOG = "cachemw:{faults}:log"
SENTINEL_BACK = 6.0
"""Seconds: down-after (1 s), the Sentinels' agreement and election, and ours to hear of it."""
CLUSTER_BACK = 4.0
"""Seconds: node-timeout (1 s), the replicas' election, and ours to hear of it."""


@pytest.fixture
def sentinel() -> Iterator[RedisSentinel]:
    with RedisSentinel() as group:
        yield group


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


def ill_traffic(
    kind: type[Traffic], url: str, fault: Callable[[], object], back: float
) -> tuple[Traffic, str]:
    """Let a fault befall traffic; give it when Redis is in use again, and how a purge meanwhile went."""
    bare = baseline(kind)
    traffic = kind(options(url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        traffic.change()
        fault()
        began = time.monotonic()
        traffic.await_more(20)
        status = traffic.change()
        traffic.await_shared(limit=back)
        ill = traffic.since(began)
        until(lambda: traffic.change() == "confirmed")
        traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)
    return traffic, status


# -- Sentinel --------------------------------------------------------------------------------------


def test_a_master_is_killed_and_a_replica_takes_over(
    sentinel: RedisSentinel, kind: type[Traffic]
) -> None:
    # Guards: `keep_up` before each attempt to join (the old address for ever), the queue for purges
    # (what is changed meanwhile comes back from the replica).
    before = sentinel.master
    _, status = ill_traffic(kind, sentinel.url, before.kill, SENTINEL_BACK)
    assert status == "queued"
    assert sentinel.master is not before


def test_a_master_hangs_and_is_replaced(sentinel: RedisSentinel) -> None:
    # Guard: `_is_master` and the retired node: connections to the one that hangs would go on timing out.
    before = sentinel.master
    ill_traffic(AsgiTraffic, sentinel.url, before.hang, SENTINEL_BACK)
    before.resume()


def test_a_master_is_replaced_in_an_orderly_way(
    sentinel: RedisSentinel, kind: type[Traffic]
) -> None:
    ill_traffic(kind, sentinel.url, sentinel.fail_over, SENTINEL_BACK)


def test_nobody_misses_the_sentinels_while_the_master_is_well(sentinel: RedisSentinel) -> None:
    # Guard: requests never ask a Sentinel, and a look that fails is no reason to leave the master.
    def end_sentinels() -> None:
        for each in sentinel.sentinels:
            each.kill()

    traffic, status = ill_traffic(AsgiTraffic, sentinel.url, end_sentinels, SENTINEL_BACK)
    assert status == "confirmed"
    assert all(each.closed for each in traffic.asked)


def test_sentinels_that_know_no_such_master_cost_nothing_but_the_shared_tier(
    sentinel: RedisSentinel,
) -> None:
    bare = baseline(AsgiTraffic)
    traffic = AsgiTraffic(options(sentinel.url.replace("/main", "/other")), CLIENTS)
    with traffic.flowing():
        traffic.await_more(100)
        assert traffic.change() == "queued"
        ill = traffic.await_more(200)
    assert not any(each.shared for each in traffic.asked)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


# -- Cluster ---------------------------------------------------------------------------------------


def test_the_node_with_the_log_is_killed_and_its_replica_takes_over(
    cluster: RedisCluster, kind: type[Traffic]
) -> None:
    # Guards: `keep_up` before each attempt to join, the queue for purges.
    before = cluster.owner(LOG)
    _, status = ill_traffic(kind, cluster.url, before.kill, CLUSTER_BACK)
    assert status == "queued"
    assert cluster.owner(LOG) is not before


def another_node(cluster: RedisCluster) -> RedisServer:
    """Return a master that does not have the log."""
    return next(each for each in cluster.servers[:3] if each is not cluster.owner(LOG))


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.hang], ids=["killed", "hung"])
def test_another_node_goes_away_and_costs_what_it_had(
    cluster: RedisCluster, fault: Callable[[RedisServer], object]
) -> None:
    # Guard: a breaker for each node. One for all would never open, for the others answer: each
    # request for the third that is gone would wait out the deadline.
    node = another_node(cluster)
    ill_traffic(AsgiTraffic, cluster.url, lambda: fault(node), CLUSTER_BACK)
    if node.running:
        node.resume()


def test_a_node_is_replaced_in_an_orderly_way(cluster: RedisCluster, kind: type[Traffic]) -> None:
    # Guard: `Nodes.heard` takes MOVED for news and not for an illness.
    traffic, _ = ill_traffic(
        kind, cluster.url, lambda: cluster.fail_over(another_node(cluster)), CLUSTER_BACK
    )
    assert all(each.closed for each in traffic.asked)


def test_a_cluster_that_has_lost_slots_is_left_alone(cluster: RedisCluster) -> None:
    # CLUSTERDOWN: with a master and its replica gone, all nodes refuse everything.
    bare = baseline(AsgiTraffic)
    node = another_node(cluster)
    traffic = AsgiTraffic(options(cluster.url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        cluster.replica_of(node).kill()
        node.kill()
        began = time.monotonic()
        until(lambda: not traffic.cache.log.live)  # type: ignore[union-attr]
        assert traffic.change() == "queued"
        traffic.await_more(200)
        ill = traffic.since(began)
        node.start()
        traffic.await_shared(limit=20.0)
        traffic.change()
        traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)
