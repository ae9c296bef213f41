"""A firewall forgets connections that were idle, and says nothing: that costs no purge, and no breaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw import Cache, PurgeResult
from cachemw.config.model import RedisSettings
from cachemw.connections.nodes import Nodes
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.commands import Commands
from cachemw.testing import ChaosProxy, RedisServer
from tests.support.caches import PURGE_TAG, Caches, Site, caches_over

KEY = b"key"
IDLE = 0.3
"""Seconds; so that the tests need not wait for long."""


@pytest.fixture(autouse=True)
def idle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachemw.connections.renewal.IDLE", IDLE)


@pytest.fixture
def proxy(own_redis_server: RedisServer) -> Iterator[ChaosProxy]:
    with ChaosProxy(own_redis_server.url) as proxy:
        yield proxy


@pytest.fixture
def behind(proxy: ChaosProxy) -> Iterator[Caches]:
    with caches_over(proxy.url) as caches:
        yield caches


def forget(proxy: ChaosProxy) -> None:
    """Let the firewall forget the pools' connections; the log's is never idle."""
    time.sleep(IDLE + 0.1)
    proxy.forget(IDLE)


def test_what_operators_do_never_goes_over_an_idle_connection(
    proxy: ChaosProxy, behind: Caches
) -> None:
    # Guard: `without_idle`, in four places.
    site = Site(behind.make())
    cache = site.cache
    site.get("/things/7")
    assert cache.purge(tags=["before"]).confirmed

    def read_statistics() -> bool:
        fleet = cache.fleet_stats()
        return fleet is not None and bool(fleet.processes)

    works = {
        "purge": lambda: cache.purge(tags=[PURGE_TAG]).confirmed,
        "flags": lambda: cache.flags.set(low="on"),
        "statistics": read_statistics,
        "preview": lambda: cache.preview(tags=["things"]).redis is not None,
    }
    for name, work in works.items():
        forget(proxy)
        assert work(), name


@pytest.fixture
def far(own_redis_server: RedisServer) -> Iterator[ChaosProxy]:
    url = own_redis_server.url.replace("/0", "/1")  # to choose a database costs a round trip
    with ChaosProxy(url) as proxy:
        yield proxy


@pytest.mark.parametrize("in_loop", [False, True])
def test_a_far_server_has_the_time_to_open_another_one(far: ChaosProxy, in_loop: bool) -> None:
    # Guard: `ensure` drops what is idle. Who finds out later waits for a share of the deadline alone.
    with caches_over(far.url) as caches:
        cache = caches.make(redis={"deadline": "400ms", "pool_wait": "1ms"})

        async def apurges() -> PurgeResult:
            await cache.apurge(tags=["before"])
            await asyncio.to_thread(become_far)
            purged = await cache.apurge(tags=[PURGE_TAG])
            await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]
            return purged

        def become_far() -> None:
            far.slow("160ms")  # more than the share, 120 ms
            forget(far)

        if in_loop:
            purged = asyncio.run(apurges())
        else:
            cache.purge(tags=["before"])
            become_far()
            purged = cache.purge(tags=[PURGE_TAG])
        assert purged.status != "queued"


def test_nor_does_a_purge_in_an_event_loop(proxy: ChaosProxy, behind: Caches) -> None:
    # Guard: `without_idle` in `Appender._aappend`.
    cache: Cache = behind.make()

    async def main() -> None:
        await cache.apurge(tags=["before"])
        await asyncio.to_thread(forget, proxy)
        assert (await cache.apurge(tags=[PURGE_TAG])).confirmed
        await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]

    asyncio.run(main())


@pytest.mark.parametrize("door", ["threads", "a loop"])
def test_the_silence_of_an_idle_connection_opens_no_breaker_and_happens_once(
    proxy: ChaosProxy, door: str
) -> None:
    # Guards: `take_excuse`, and `replace_idle` in `idle_failed`: the pool has more connections that were
    # idle, and each would cost a request its deadline.
    nodes = Nodes(RedisSettings(url=proxy.url, deadline="500ms", breaker_failures=1))
    commands = Commands(nodes, lambda event, reason: None)

    async def run(*command: Any) -> Any:
        if door == "threads":
            return await asyncio.to_thread(commands.run, "get", KEY, *command)
        return await commands.arun("get", KEY, *command)

    async def main() -> None:
        pause = "BLPOP", "nothing", 0.1
        await asyncio.gather(*(run(*pause) for _ in range(4)))
        await asyncio.to_thread(forget, proxy)
        with pytest.raises(StoreUnavailable, match="Timeout"):
            await run("GET", KEY)
        for _ in range(8):
            assert await run("GET", KEY) is None
        await asyncio.gather(*(run(*pause) for _ in range(4)))
        assert nodes.of(KEY).breaker.closed
        await nodes.aclose()

    asyncio.run(main())
    nodes.close()


def test_a_server_that_is_silent_still_opens_it(proxy: ChaosProxy) -> None:
    # Guard: an excuse is for one timeout only, and for a connection that was idle.
    nodes = Nodes(RedisSettings(url=proxy.url, deadline="200ms", breaker_failures=2))
    commands = Commands(nodes, lambda event, reason: None)
    commands.run("get", KEY, "GET", KEY)
    time.sleep(IDLE + 0.1)
    proxy.swallow()
    for _ in range(3):
        assert nodes.of(KEY).breaker.closed
        with pytest.raises(StoreUnavailable):
            commands.run("get", KEY, "GET", KEY)
    assert not nodes.of(KEY).breaker.closed
    proxy.normal()
    nodes.close()
