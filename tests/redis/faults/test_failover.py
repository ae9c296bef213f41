"""A server of a Sentinel's group or of a Cluster goes away in the middle of traffic.

Another one takes over. No request fails, waits long, or gets what was purged, and Redis is in use
again when the others have noticed and one has taken over, plus two seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.connections.nodes import Nodes
from cachemw.errors import StoreUnavailable
from cachemw.testing import RedisCluster, RedisSentinel, RedisServer
from cachemw.testing import redis_protocol as resp
from tests.support.traffic import AsgiTraffic, Traffic, options
from tests.support.waiting import until

from .bounds import CLIENTS, WAITED_AT_MOST, assert_bounded, assert_harmless, baseline

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
    kind: type[Traffic], url: str, fault: Callable[[], object], back: float, **redis: str
) -> tuple[Traffic, str]:
    """Let a fault befall traffic; give it when Redis is in use again, and how a purge meanwhile went."""
    bare = baseline(kind)
    traffic = kind(options(url, redis=redis), CLIENTS)
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
    # Guards: `locate_if_due` before each attempt to join (the old address for ever), the queue for purges
    # (what is changed meanwhile comes back from the replica).
    before = sentinel.master
    _, status = ill_traffic(kind, sentinel.url, before.kill, SENTINEL_BACK)
    assert status == "queued"
    assert sentinel.master is not before


@pytest.mark.thorough
def test_a_master_hangs_and_is_replaced(sentinel: RedisSentinel) -> None:
    # Guard: a node for each address; connections to the one that hangs would go on timing out.
    before = sentinel.master
    ill_traffic(AsgiTraffic, sentinel.url, before.hang, SENTINEL_BACK)
    before.resume()


@pytest.mark.thorough
def test_a_master_is_replaced_in_an_orderly_way(
    sentinel: RedisSentinel, kind: type[Traffic]
) -> None:
    ill_traffic(kind, sentinel.url, sentinel.fail_over, SENTINEL_BACK)


@pytest.mark.thorough
def test_nobody_misses_the_sentinels_while_the_master_is_well(sentinel: RedisSentinel) -> None:
    # Guard: requests never ask a Sentinel, and a look that fails is no reason to leave the master.
    def end_sentinels() -> None:
        for each in sentinel.sentinels:
            each.kill()

    traffic, status = ill_traffic(AsgiTraffic, sentinel.url, end_sentinels, SENTINEL_BACK)
    assert status == "confirmed"
    assert all(each.closed for each in traffic.asked)


@pytest.mark.thorough
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


def test_a_sentinel_is_not_believed_when_its_master_says_that_it_is_none(
    sentinel: RedisSentinel,
) -> None:
    # Guard: `_is_master`. As where a Sentinel has not heard of a failover yet.
    replica = sentinel.servers[1]
    for each in sentinel.sentinels:
        each.command("SENTINEL", "MONITOR", "outdated", "127.0.0.1", replica.port, 2)
    outdated = sentinel.url.replace("/main", "/outdated")
    nodes = Nodes(RedisConfig(url=outdated, deadline="2s"))
    with pytest.raises(StoreUnavailable, match="'outdated'"):
        nodes.locate()


# -- Cluster ---------------------------------------------------------------------------------------


def test_the_node_with_the_log_is_killed_and_its_replica_takes_over(
    cluster: RedisCluster, kind: type[Traffic]
) -> None:
    # Guards: `locate_if_due` before each attempt to join, the queue for purges.
    before = cluster.owner(LOG)
    _, status = ill_traffic(kind, cluster.url, before.kill, CLUSTER_BACK)
    assert status == "queued"
    assert cluster.owner(LOG) is not before


def another_node(cluster: RedisCluster) -> RedisServer:
    """Return a master that does not have the log."""
    return next(each for each in cluster.servers[:3] if each is not cluster.owner(LOG))


@pytest.mark.thorough
@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.hang], ids=["killed", "hung"])
def test_another_node_goes_away_and_costs_what_it_had(
    cluster: RedisCluster, fault: Callable[[RedisServer], object]
) -> None:
    # Guard: a breaker for each node. One for all would never open, for the others answer: each
    # request for the third that is gone would wait out the deadline.
    node = another_node(cluster)
    bare = baseline(AsgiTraffic)
    traffic = AsgiTraffic(options(cluster.url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        began = time.monotonic()
        fault(node)
        traffic.await_more(50)
        traffic.change()
        # Guard: `locate_if_due` in `_follow`; the log is well, and nothing else asks who has the slots now.
        until(lambda: traffic.closed and settled(traffic))
        ill = traffic.since(began)
        assert traffic.change() == "confirmed"
        traffic.await_more(100)
    assert len([each for each in ill if each.seconds > 0.04]) <= WAITED_AT_MOST
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)
    if node.running:
        node.resume()


@pytest.mark.thorough
def test_a_node_is_replaced_in_an_orderly_way(cluster: RedisCluster, kind: type[Traffic]) -> None:
    # Guard: `Nodes.learn_from_error` takes MOVED for news and not for an illness.
    def fail_over() -> None:
        cluster.fail_over(another_node(cluster))

    traffic, _ = ill_traffic(kind, cluster.url, fail_over, CLUSTER_BACK, deadline="5s")
    assert all(each.closed for each in traffic.asked)


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_slots_that_move_are_misses_for_a_moment(cluster: RedisCluster) -> None:
    # Guards: `Nodes.learn_from_error` takes ASK and MOVED for no illness; `Topology.moved` believes MOVED at
    # once, and `locate_if_due` learns of the others. A slot that is on its way has no answer but ASK for
    # keys that are not there yet.
    bare = baseline(AsgiTraffic)
    giver, taker = (each for each in cluster.servers[:3] if each is not cluster.owner(LOG))
    # A deadline that no busy machine misses: it is shown that what is heard here is no illness.
    traffic = AsgiTraffic(options(cluster.url, redis={"deadline": "5s"}), CLIENTS)
    with traffic.flowing(), Move(cluster, giver, taker) as move:
        traffic.await_shared()
        began = time.monotonic()
        move.begin()
        until(lambda: counted(traffic, "set") > 0)
        move.end()
        traffic.change()
        until(lambda: settled(traffic))
        ill = traffic.since(began)
    assert all(each.closed for each in traffic.asked)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


class Move:
    """Some hundred slots on their way from one node to another."""

    def __init__(self, cluster: RedisCluster, giver: RedisServer, taker: RedisServer) -> None:
        self._slots = cluster.slots_of(giver)[:300]
        self._names = [node.command("CLUSTER", "MYID") for node in (giver, taker)]
        self._taker = taker
        self._links = [node.connect() for node in (giver, taker)]

    def __enter__(self) -> Move:
        return self

    def __exit__(self, *error: object) -> None:
        for link in self._links:
            link.close()

    def begin(self) -> None:
        for slot in self._slots:
            self._tell(1, "CLUSTER", "SETSLOT", slot, "IMPORTING", self._names[0])
            self._tell(0, "CLUSTER", "SETSLOT", slot, "MIGRATING", self._names[1])

    def end(self) -> None:
        for slot in self._slots:
            while keys := self._tell(0, "CLUSTER", "GETKEYSINSLOT", slot, 100):
                there = "127.0.0.1", self._taker.port, "", 0, 5000
                self._tell(0, "MIGRATE", *there, "KEYS", *keys)
            for link in (1, 0):
                self._tell(link, "CLUSTER", "SETSLOT", slot, "NODE", self._names[1])

    def _tell(self, link: int, *command: Any) -> Any:
        return resp.call(self._links[link], *command)


def counted(traffic: Traffic, operation: str) -> int:
    assert traffic.cache is not None
    return traffic.cache.stats().events.get("store_error", {}).get(operation, 0)


def settled(traffic: Traffic) -> bool:
    """Say whether nothing more goes wrong."""
    before = counted(traffic, "get")
    traffic.await_more(200)
    return counted(traffic, "get") == before
