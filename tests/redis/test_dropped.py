"""A cache that nobody refers to any more ends: its threads, its heartbeat, its connections, its counts."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from cachemw import Cache, asgi, wsgi
from cachemw.telemetry import otel
from tests.support.caches import options
from tests.support.calls import call_asgi, call_wsgi
from tests.support.waiting import LIMIT, until

FOLLOWERS = "cachemw:{shared}:followers"
OPENED_BY_THE_TEST = 1
PLAN = {
    "warm_up": 0,
    "phases": [
        {"name": "low", "risks": ["low"], "duration": "1h", "watch": ["errors"], "steps": ["on"]}
    ],
}


OTHERS: set[threading.Thread] = set()
"""Threads of caches that other tests of this process have left behind."""


@pytest.fixture(autouse=True)
def know_the_others() -> None:
    gc.collect()
    OTHERS.clear()
    OTHERS.update(threading.enumerate())


def threads() -> list[str]:
    names = [each.name for each in threading.enumerate() if each not in OTHERS]
    return [name for name in names if name.startswith("cachemw")]


def connections(server: Any) -> int:
    return len(server.command("CLIENT", "LIST").splitlines())


class Watch:
    """What is left of a cache, seen by weak references alone."""

    def __init__(self, cache: Cache) -> None:
        core = cache._core
        self._counters = id(core.reporter.counters)
        self._left = {"Cache": weakref.ref(cache), "Core": weakref.ref(core)}
        for name in ("log", "rollout", "memory", "flags", "engine", "workers"):
            self._left[name] = weakref.ref(getattr(core, name))

    def left(self) -> list[str]:
        gc.collect()
        return [name for name, each in self._left.items() if each() is not None]

    def exported(self) -> bool:
        return self._counters in otel._global.sources


def make(url: str, **changes: Any) -> Cache:
    return Cache.from_dict(options(url, **changes))


def follow(cache: Cache) -> None:
    cache.start()
    until(lambda: cache.log.live)


def page(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Cache-Control", "max-age=60")])
    return [b"page"]


async def apage(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def never_used(url: str) -> Watch:
    return Watch(make(url))


def in_memory_alone(url: str) -> Watch:
    cache = Cache.from_dict({"routes": [{"path": "/things/{id}", "ttl": "1h"}]})
    call_wsgi(wsgi.CacheMiddleware(page, cache), "/things/1")
    return Watch(cache)


def started(url: str) -> Watch:
    cache = make(url)
    cache.start()
    return Watch(cache)


def following(url: str) -> Watch:
    cache = make(url)
    follow(cache)
    return Watch(cache)


def only_purging(url: str) -> Watch:
    cache = make(url)
    cache.purge(tags=["a"])
    return Watch(cache)


def behind_wsgi(url: str) -> Watch:
    cache = make(url)
    door = wsgi.CacheMiddleware(page, cache)
    call_wsgi(door, "/things/1")
    follow(cache)
    for _ in range(2):
        call_wsgi(door, "/things/1")
    return Watch(cache)


def behind_asgi(url: str) -> Watch:
    async def serve() -> Watch:
        cache = make(url)
        door = asgi.CacheMiddleware(apage, cache)
        await call_asgi(door, "/things/1")
        while not cache.log.live:
            await asyncio.sleep(0.002)
        for name in "12":
            await call_asgi(door, f"/things/{name}")
        await cache.apurge(tags=["a"])
        await cache._core.tasks.drain(LIMIT)
        return Watch(cache)

    return asyncio.run(serve())


def controlling_a_rollout(url: str) -> Watch:
    cache = make(url)
    follow(cache)
    cache.rollout.start(PLAN)
    until(lambda: "cachemw-rollout" in threads())
    return Watch(cache)


def watching_a_file(url: str, folder: Any) -> Watch:
    cache = make(url, flags_file=str(folder / "flags.toml"), flags_mirror=str(folder / "mirror"))
    cache.start()
    until(lambda: "cachemw-flags" in threads())
    return Watch(cache)


def away_from_redis(url: str) -> Watch:
    cache = make("redis://127.0.0.1:1/0")
    cache.start()
    cache.purge(tags=["a"])
    return Watch(cache)


WAYS: list[Callable[[str], Watch]] = [
    never_used,
    in_memory_alone,
    started,
    following,
    only_purging,
    behind_wsgi,
    behind_asgi,
    controlling_a_rollout,
    away_from_redis,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_dropped_cache_ends(
    way: Callable[[str], Watch], redis_server: Any, redis_url: str
) -> None:
    # Guard: `weakref.finalize` of the `Core`, and that no thread refers to the `Core` itself.
    assert is_gone(way(redis_url), redis_server)


def test_a_dropped_cache_looks_at_no_file_any_more(
    redis_server: Any, redis_url: str, tmp_path: Any
) -> None:
    assert is_gone(watching_a_file(redis_url, tmp_path), redis_server)


def is_gone(watch: Watch, server: Any) -> bool:
    until(lambda: not watch.left())
    until(lambda: threads() == [])
    assert not watch.exported()
    assert server.command("HLEN", FOLLOWERS) == 0
    until(lambda: connections(server) == OPENED_BY_THE_TEST)
    return True


def goes_on(log: Any) -> None:
    before = log.alive_at
    until(lambda: log.alive_at > before)


def test_a_middleware_keeps_its_cache(redis_url: str) -> None:
    cache = make(redis_url)
    follow(cache)
    door, watch = wsgi.CacheMiddleware(page, cache), Watch(cache)
    log: Any = cache.log
    del cache
    gc.collect()
    assert watch.left() == [
        "Cache",
        "Core",
        *["log", "rollout", "memory", "flags", "engine", "workers"],
    ]
    goes_on(log)
    assert watch.exported()
    del door, log
    until(lambda: threads() == [])


def test_a_request_under_way_keeps_its_cache(redis_url: str) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        go_on.wait(LIMIT)
        return page(environ, start_response)

    cache = make(redis_url)
    door = wsgi.CacheMiddleware(slow, cache)
    asking = threading.Thread(target=call_wsgi, args=(door, "/things/1"))
    asking.start()
    assert begun.wait(LIMIT)
    watch = Watch(cache)
    del cache, door
    assert "Core" in watch.left()
    assert "cachemw-log" in threads()
    go_on.set()
    asking.join(LIMIT)
    del asking
    until(lambda: not watch.left())
    until(lambda: threads() == [])


def test_a_refresh_in_the_background_keeps_its_cache_until_it_ends(redis_url: str) -> None:
    calls, begun, go_on = list[int](), threading.Event(), threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(1)
        if len(calls) > 1:
            begun.set()
            go_on.wait(LIMIT)
        return page(environ, start_response)

    cache = make(redis_url)
    door = wsgi.CacheMiddleware(application, cache)
    call_wsgi(door, "/things/1")
    follow(cache)
    calls.clear()
    call_wsgi(door, "/things/2")
    cache.purge(tags=["thing:2"], soft=True)
    call_wsgi(door, "/things/2")
    assert begun.wait(LIMIT)
    watch = Watch(cache)
    del cache, door
    assert "Core" in watch.left()
    go_on.set()
    until(lambda: not watch.left())
    until(lambda: threads() == [])


def test_the_clients_of_a_running_event_loop_are_closed(redis_server: Any, redis_url: str) -> None:
    # Guard: `Nodes.retire`. Without it they would be closed with their loop, or with a ResourceWarning.
    async def main() -> None:
        cache = make(redis_url)
        await cache.apurge(tags=["a"])
        assert connections(redis_server) > OPENED_BY_THE_TEST
        del cache
        gc.collect()
        ends = time.monotonic() + LIMIT
        while connections(redis_server) > OPENED_BY_THE_TEST:
            assert time.monotonic() < ends
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_caches_made_in_a_loop_leave_nothing(redis_server: Any, redis_url: str) -> None:
    for _ in range(10):
        make(redis_url).start()
    until(lambda: threads() == [])
    until(lambda: connections(redis_server) == OPENED_BY_THE_TEST)
    assert redis_server.command("HLEN", FOLLOWERS) == 0


def test_a_cache_that_is_collected_while_any_lock_is_held_waits_for_none(redis_url: str) -> None:
    # Guards: `StopSignal`, which takes no lock; the reentrant lock of `Nodes`; a table of exporters
    # that one operation changes. Garbage is collected anywhere, also where these locks are held.
    cache = make(redis_url)
    follow(cache)
    locks = [cache._core.redis.nodes._lock, cache.rollout._lock, otel._lock]  # type: ignore[union-attr]
    done = threading.Event()

    def drop(holder: list[Cache]) -> None:
        with locks[0], locks[1], locks[2]:
            holder.clear()
            gc.collect()
        done.set()

    holder = [cache]
    del cache
    threading.Thread(target=drop, args=(holder,), daemon=True).start()
    assert done.wait(LIMIT)
    until(lambda: threads() == [])
