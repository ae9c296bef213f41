"""Host names of Redis: a slow name server holds no request and no executor; good addresses are kept."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cachemw import Cache, asgi, wsgi
from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.failures import describe_failure
from cachemw.connections.nodes import Nodes
from cachemw.connections.opening import addresses as addresses_module
from cachemw.connections.opening.addresses import Addresses
from cachemw.errors import StoreUnavailable
from cachemw.testing import RedisServer
from tests.support.caches import options
from tests.support.calls import call_asgi, call_wsgi
from tests.support.traffic import Origin
from tests.support.waiting import until

NAME = "redis.test"
SILENT = 20.0
"""Seconds that the silent name server would take: a test that waits for it has failed."""
SHORT = 2.0
"""Seconds that no request takes here, on the slowest machine, unless it waits for the name server."""


class Resolver:
    """What the system says of `redis.test`: its address, an error, or nothing for long."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.error: OSError | None = None
        self.asked = 0

    def resolve(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NAME:
            return REAL(host, *args, **kwargs)
        self.asked += 1
        self.answers.wait(SILENT)
        if self.error is not None:
            raise self.error
        return REAL("127.0.0.1", *args, **kwargs)


REAL = socket.getaddrinfo


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.resolve)
    yield resolver
    resolver.answers.set()


def cache_over(server: RedisServer, **redis: Any) -> Cache:
    return Cache.from_dict(options(f"redis://{NAME}:{server.port}/0", redis=redis))


def test_a_silent_name_server_holds_no_thread(
    own_redis_server: RedisServer, resolver: Resolver
) -> None:
    # Guard: `Addresses`; redis-py looks the name up inside each connect, without a limit.
    resolver.answers.clear()
    with closing(cache_over(own_redis_server, deadline="100ms")) as cache:
        door = wsgi.CacheMiddleware(Origin().wsgi, cache)
        commands: Any = cache._core.redis.tier._commands  # type: ignore[union-attr]
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(StoreUnavailable, match="ConnectionError"):
                commands.run("get", b"key", "GET", b"key")
        assert commands.is_reachable(b"key")  # it was no failure of the server's
        assert call_wsgi(door, "/things/1").status == 200
        assert time.monotonic() - began < SHORT
        assert resolver.asked == 1
        resolver.answers.set()
        until(lambda: cache.log.live)


def test_a_silent_name_server_fills_no_executor(
    own_redis_server: RedisServer, resolver: Resolver
) -> None:
    async def main(cache: Cache) -> None:
        door = asgi.CacheMiddleware(Origin().asgi, cache)
        await asyncio.to_thread(until, lambda: cache.log.live)
        resolver.answers.clear()
        addresses(cache)._known = []  # nothing is known any more
        began = time.monotonic()
        await asyncio.gather(*(call_asgi(door, f"/things/{number}") for number in range(100)))
        assert time.monotonic() - began < SHORT
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        assert time.monotonic() - began < SHORT
        await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]

    with closing(cache_over(own_redis_server, deadline="100ms")) as cache:
        cache.start()
        asyncio.run(main(cache))


def addresses(cache: Cache) -> Addresses:
    opening = cache._core.redis.nodes._opening  # type: ignore[union-attr]
    (found,) = opening._ways.values()
    return found


@pytest.mark.parametrize("trouble", ["silent", "failing"])
def test_the_last_good_addresses_are_used_while_the_name_server_is_away(
    own_redis_server: RedisServer, resolver: Resolver, trouble: str
) -> None:
    # Guard: `Addresses.get` returns what is known. The server starts anew, so everything connects again.
    with closing(cache_over(own_redis_server)) as cache:
        cache.start()
        until(lambda: cache.log.live)
        if trouble == "silent":
            resolver.answers.clear()
        else:
            resolver.error = socket.gaierror(socket.EAI_AGAIN, "no name server")
        before = resolver.asked
        own_redis_server.kill()
        until(lambda: resolver.asked > before)  # connecting fails, so the name is looked up again
        own_redis_server.start()
        until(lambda: cache.log.live)


def test_a_name_that_moved_is_followed(
    own_redis_server: RedisServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `expire` where connecting fails. The old address refuses connections.
    monkeypatch.setattr(addresses_module, "_OLD", 3600.0)
    port = own_redis_server.port
    places = Addresses(NAME, port)
    places._known = [(socket.AF_INET, ("127.0.0.2", port))]
    places._looked_at = time.monotonic()
    with closing(cache_over(own_redis_server)) as cache:
        opening: Any = cache._core.redis.nodes._opening  # type: ignore[union-attr]
        opening._ways[NAME, port] = places
        cache.start()
        until(lambda: cache.log.live)
    assert places.get(1.0) == [(socket.AF_INET, ("127.0.0.1", port))]


def test_known_addresses_that_are_old_wait_only_shortly_for_new_ones(resolver: Resolver) -> None:
    # Guard: `_LONGEST_LOOK`.
    places = Addresses(NAME, 6379)
    known = places.get(1.0)
    resolver.answers.clear()
    places.expire()
    began = time.monotonic()
    assert [places.get(SILENT) for _ in range(5)] == [known] * 5
    assert asyncio.run(places.aget(SILENT)) == known
    assert time.monotonic() - began < SHORT
    assert resolver.asked == 2


def test_a_look_up_that_takes_too_long_is_told_in_words(
    own_redis_server: RedisServer, resolver: Resolver
) -> None:
    # Guard: ConnectError in `Addresses`; it looked like a server that does not answer.
    resolver.answers.clear()
    nodes = Nodes(RedisSettings(url=f"redis://{NAME}:1/0"))
    with pytest.raises(RedisConnectionError) as raised:
        nodes.of(b"key").dedicated_client(1.0).ping()
    assert (
        describe_failure(raised.value) == "cannot be reached: its host name was not found in time"
    )


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_an_address_is_not_looked_up(
    monkeypatch: pytest.MonkeyPatch, host: str, family: socket.AddressFamily
) -> None:
    # Guard: `_literal`. Sentinels and a Cluster name their servers by address.
    monkeypatch.delattr(socket, "getaddrinfo")
    places = Addresses(host, 6379)
    assert places.get(1.0) == asyncio.run(places.aget(1.0)) == [(family, (host, 6379))]


def test_a_name_that_does_not_exist_is_an_error(resolver: Resolver) -> None:
    resolver.error = socket.gaierror(socket.EAI_NONAME, "unknown")
    with pytest.raises(socket.gaierror):
        Addresses(NAME, 6379).get(1.0)


def test_a_node_that_is_closed_looks_its_name_up_before_it_connects_again(
    own_redis_server: RedisServer, resolver: Resolver
) -> None:
    # Guard: `look_up_again` in `Node.close`: a planned failover moves the name to another server.
    node = Nodes(RedisSettings(url=f"redis://{NAME}:{own_redis_server.port}/0")).of(b"key")
    assert node.connected().ping()
    before = resolver.asked
    node.close()
    assert node.connected().ping()
    assert resolver.asked == before + 1
    node.close()


def test_a_name_is_looked_up_again_when_its_connections_are_outdated(
    own_redis_server: RedisServer, resolver: Resolver
) -> None:
    # Guard: `Renewal.replace_all` says that the name may have moved. After a planned failover it has.
    nodes = Nodes(RedisSettings(url=f"redis://{NAME}:{own_redis_server.port}/0", deadline="5s"))  # type: ignore[arg-type]
    node = nodes.of(b"key")
    assert node.connected().ping()
    before = resolver.asked
    node.renewal.replace_all()
    assert node.connected().ping()
    until(lambda: resolver.asked > before)
    nodes.close()
