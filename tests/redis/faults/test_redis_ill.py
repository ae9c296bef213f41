"""Redis falls ill in the middle of traffic: no request fails, waits long, or gets what was purged.

The bounds of I3: at most 75 ms are added to a request while the breaker is closed and about nothing
once it is open, against the same traffic without a cache, measured in the same test.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from cachemw import Cache
from cachemw.testing import RedisServer
from cachemw.testing import redis_protocol as resp
from tests.support.traffic import Traffic, options
from tests.support.waiting import until

from .bounds import BACK, CLIENTS, WAITED_AT_MOST, assert_bounded, assert_harmless, baseline

BUSY = 3.0
"""Seconds more for two hundred threads of one process, which take turns."""
SETTLED = 8.0
"""Seconds until purges count as confirmed after the log was lost, and the heartbeats of all."""


@dataclass(frozen=True)
class Fault:
    """What happens to the server, and how it is undone."""

    inflict: Callable[[RedisServer], object]
    heal: Callable[[RedisServer], object]


# -- out of reach ----------------------------------------------------------------------------------


class Locked:
    """A server that asks for a password that nobody knows, over one connection that is let in."""

    def __init__(self) -> None:
        self._control: Any = None

    def inflict(self, server: RedisServer) -> None:
        self._control = server.connect()
        resp.call(self._control, "CONFIG", "SET", "requirepass", "nobody knows")
        resp.call(self._control, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def heal(self, server: RedisServer) -> None:
        resp.call(self._control, "CONFIG", "SET", "requirepass", "")
        self._control.close()


def locked() -> Fault:
    door = Locked()
    return Fault(door.inflict, door.heal)


OUTAGES: dict[str, Callable[[], Fault]] = {
    "killed": lambda: Fault(RedisServer.kill, RedisServer.start),
    "hung": lambda: Fault(RedisServer.hang, RedisServer.resume),
    "locked": locked,
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_in_mid_traffic_is_not_noticed(
    own_redis_server: RedisServer, kind: type[Traffic], outage: str
) -> None:
    # Guards, each of which must stay: the deadlines and `Retry(NoBackoff(), 0)` of `Node` (hung:
    # seconds a request), the breaker (hung: 50 ms for ever), StoreUnavailable for every RedisError
    # (killed, locked: errors), the purge queue (hung: the old answers come back from Redis).
    fault = OUTAGES[outage]()
    bare = baseline(kind)
    traffic = kind(options(own_redis_server.url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        fault.inflict(own_redis_server)
        began = time.monotonic()
        traffic.await_more(50)
        assert traffic.change() == "queued"
        traffic.await_more(400)
        ill = traffic.since(began)
        fault.heal(own_redis_server)
        traffic.await_shared(limit=BACK)
        assert traffic.change() != "queued"
        traffic.await_more(200)
    assert not all(each.closed for each in ill)
    # Five failures open the breaker; each client may have had one request more on its way.
    assert len([each for each in ill if each.seconds > 0.04]) <= WAITED_AT_MOST
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


def test_redis_may_be_down_when_the_application_starts(
    own_redis_server: RedisServer, kind: type[Traffic]
) -> None:
    # Guard: nothing connects before the follower has; it alone asks whether Redis is there.
    bare = baseline(kind)
    own_redis_server.kill()
    traffic = kind(options(own_redis_server.url), CLIENTS)
    with traffic.flowing():
        traffic.await_more(50)
        assert traffic.change() == "queued"
        ill = traffic.await_more(300)
        own_redis_server.start()
        traffic.await_shared(limit=BACK)
        traffic.change()
        traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


def test_a_wrong_password_costs_nothing_but_the_shared_tier(
    own_redis_server: RedisServer, kind: type[Traffic]
) -> None:
    bare = baseline(kind)
    url = own_redis_server.url.replace("://", "://:wrong@")
    traffic = kind(options(url), CLIENTS)
    with traffic.flowing():
        traffic.await_more(50)
        traffic.change()
        ill = traffic.await_more(300)
    assert not any(each.shared for each in traffic.asked)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


def test_a_slow_redis_is_left_alone(own_redis_server: RedisServer, kind: type[Traffic]) -> None:
    # Guard: timeouts count as failures to the breaker.
    bare = baseline(kind)
    traffic = kind(options(own_redis_server.url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        own_redis_server.slow(0.5)
        began = time.monotonic()
        traffic.await_more(50)
        traffic.change()
        traffic.await_more(300)
        ill = traffic.since(began)
        own_redis_server.normal()
        traffic.await_shared(limit=BACK)
        traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


# -- in reach, and no use --------------------------------------------------------------------------


def replaced(server: RedisServer, name: str | bytes, *command: str | bytes) -> None:
    """Put a value in the place of another in one step: the traffic goes on meanwhile."""
    server.command(command[0], "planted", *command[1:])
    server.command("RENAME", "planted", name)


def planted(server: RedisServer, *command: str | bytes) -> None:
    """Put a value in the place of every stored entry."""
    names: Any = server.command("KEYS", "cachemw:{faults:*}:e4")
    for name in names:
        replaced(server, name, *command)


def wrong_types(server: RedisServer) -> None:
    planted(server, "RPUSH", "x")
    for name in ("epoch", "log", "followers", "flags"):
        replaced(server, "cachemw:{faults}:" + name, "SADD", "x")


def evicting(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    server.command("CONFIG", "SET", "maxmemory", "1mb")


ILLNESSES: dict[str, Fault] = {
    "full": Fault(RedisServer.fill, RedisServer.unfill),
    "read-only": Fault(RedisServer.read_only, RedisServer.writable),
    "flushed": Fault(lambda server: server.command("FLUSHALL"), lambda server: None),
    "wrong types": Fault(wrong_types, lambda server: None),
    "evicting": Fault(evicting, lambda server: server.command("CONFIG", "SET", "maxmemory", 0)),
    "its connections killed": Fault(
        lambda server: server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        lambda server: None,
    ),
    "garbage": Fault(lambda server: planted(server, "SET", b"\x80garbage"), lambda server: None),
}


@pytest.mark.parametrize("illness", ILLNESSES)
def test_a_redis_that_answers_nonsense_or_refuses_is_not_noticed(
    own_redis_server: RedisServer, kind: type[Traffic], illness: str
) -> None:
    # Guards: the codec's checks (garbage), refused writes that do not raise (full, read-only), the
    # epoch that every entry carries (flushed, evicting). That a full Redis still purges in other
    # processes is shown by the tests of the log.
    fault = ILLNESSES[illness]
    bare = baseline(kind)
    traffic = kind(options(own_redis_server.url), CLIENTS)
    with traffic.flowing():
        traffic.await_shared()
        began = time.monotonic()
        for _ in range(3):
            fault.inflict(own_redis_server)
            traffic.await_more(100)
            traffic.change()
            traffic.await_more(50)
        ill = traffic.since(began)
        fault.heal(own_redis_server)
        traffic.await_shared(limit=BACK)
        traffic.change()
        traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


def test_a_pool_of_one_connection_is_a_bottleneck_and_no_fault(
    own_redis_server: RedisServer, kind: type[Traffic]
) -> None:
    # Guard: an empty pool is not the server's failure; else the breaker would open under load. The server
    # itself has time to answer, however busy the machine is.
    bare = baseline(kind)
    traffic = kind(options(own_redis_server.url, redis={"pool_size": 1, "deadline": "2s"}), 12)
    with traffic.flowing():
        traffic.await_shared()
        busy = traffic.await_more(1000)
        assert traffic.closed
    assert_harmless(traffic.asked)
    assert_bounded(busy, bare)


@pytest.mark.thorough
def test_a_server_that_is_loading_is_left_alone(kind: type[Traffic]) -> None:
    # Guard: LOADING is a failure to the breaker, and no answer.
    bare = baseline(kind)
    slow_to_load = (
        "--enable-debug-command",
        "yes",
        "--loading-process-events-interval-bytes",
        "1024",
    )
    with RedisServer(options=slow_to_load) as server:
        traffic = kind(options(server.url), CLIENTS)
        with traffic.flowing():
            traffic.await_shared()
            server.command("DEBUG", "POPULATE", 200)
            server.command("CONFIG", "SET", "key-load-delay", 20_000)  # µs for each key
            reload = threading.Thread(
                target=server.command, args=("DEBUG", "RELOAD"), kwargs={"timeout": 60}
            )
            began = time.monotonic()
            reload.start()
            until(lambda: not traffic.cache.log.live)  # type: ignore[union-attr]
            assert reload.is_alive()
            assert traffic.change() == "queued"
            ill = traffic.since(began)
            reload.join()
            traffic.await_shared(limit=BACK)
            traffic.change()
            traffic.await_more(100)
    assert_harmless(traffic.asked)
    assert_bounded(ill, bare)


@pytest.mark.thorough
def test_two_hundred_followers_come_back_at_once(own_redis_server: RedisServer) -> None:
    # Guard: each attempt is given or taken half of `_RETRY`; a join is a handful of commands.
    caches = [Cache.from_dict(options(own_redis_server.url)) for _ in range(200)]
    try:
        for cache in caches:
            cache.start()
        until(lambda: all(cache.log.live for cache in caches), limit=30.0)
        own_redis_server.kill()
        until(lambda: not any(cache.log.live for cache in caches))
        own_redis_server.start()
        assert until(lambda: all(cache.log.live for cache in caches), limit=30.0) <= BACK + BUSY
        assert until(lambda: caches[0].purge(tags=["items"]).confirmed, limit=30.0) <= SETTLED
    finally:
        for cache in caches:
            threading.Thread(target=cache.close).start()
