"""A Redis that hangs holds a request for one deadline in all, however often the request uses it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from cachemw import Cache, asgi, wsgi
from cachemw.testing import RedisServer
from tests.support.calls import call_asgi, call_wsgi
from tests.support.traffic import Origin, options
from tests.support.waiting import until

DEADLINE = 0.4
BOUND = 1.7 * DEADLINE
"""Seconds. Two waits of a deadline are over it, and a busy machine is not."""


class Site:
    """An application that does something of its own in each request."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.origin = Origin()
        self.during: Callable[[], object] = lambda: None

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        self.during()
        return self.origin.wsgi(environ, start_response)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.during()
        await self.origin.asgi(scope, receive, send)


@contextmanager
def site_over(server: RedisServer) -> Iterator[Site]:
    redis = {"deadline": f"{DEADLINE}s", "breaker_failures": 100}
    # The log is polled rarely: its follower must not notice that the server hangs before the request does.
    cache = Cache.from_dict(
        options(server.url, redis=redis, log={"poll": "10s", "confirm_wait": "5s"})
    )
    with closing(cache):
        cache.start()
        until(lambda: cache.log.live)
        yield Site(cache)
        server.resume()
        log: Any = cache._core.log
        log.stop()
        # Its record wakes the follower, which would block for the poll. In this thread it would be queued.
        waking = threading.Thread(target=cache.purge, kwargs={"tags": ["end"]})
        waking.start()
        waking.join()


def ask_wsgi(site: Site, path: str) -> float:
    began = time.monotonic()
    assert call_wsgi(wsgi.CacheMiddleware(site.wsgi, site.cache), path).status == 200
    return time.monotonic() - began


def purge(site: Site) -> None:
    site.cache.purge(tags=["items"])


async def ask_asgi(site: Site, path: str) -> float:
    began = time.monotonic()
    assert (await call_asgi(asgi.CacheMiddleware(site.asgi, site.cache), path)).status == 200
    return time.monotonic() - began


HUNG: dict[str, Callable[[Site, RedisServer], object]] = {
    "before the lookup": lambda site, server: server.hang(),
    "while the application answers": lambda site, server: setattr(site, "during", server.hang),
    "and the application purges twice": lambda site, server: (
        server.hang(),
        setattr(site, "during", lambda: (purge(site), purge(site))),
    ),
    "and the application purges, after the lookup": lambda site, server: setattr(
        site, "during", lambda: (server.hang(), purge(site), purge(site))
    ),
}


@pytest.mark.parametrize("moment", HUNG)
def test_a_thread_is_held_for_one_deadline(own_redis_server: RedisServer, moment: str) -> None:
    # Guards: `is_spent` in `Commands.is_reachable`, in `SharedWriter.save` and in `Appender`.
    with site_over(own_redis_server) as site:
        ask_wsgi(site, "/items/warm")  # connections are open
        HUNG[moment](site, own_redis_server)
        assert ask_wsgi(site, "/items/1") < BOUND
        assert site.cache._core.redis.nodes.breakers[0].closed  # type: ignore[union-attr]


@pytest.mark.parametrize("moment", list(HUNG)[:2])
def test_a_task_is_held_for_one_deadline(own_redis_server: RedisServer, moment: str) -> None:
    async def main(site: Site) -> float:
        await ask_asgi(site, "/items/warm")
        HUNG[moment](site, own_redis_server)
        seconds = await ask_asgi(site, "/items/1")
        own_redis_server.resume()
        await site.cache._core.tasks.drain(5.0)
        await site.cache._core.redis.nodes.aclose()  # type: ignore[union-attr]
        return seconds

    with site_over(own_redis_server) as site:
        assert asyncio.run(main(site)) < BOUND


def test_a_purge_of_a_task_waits_no_second_time(own_redis_server: RedisServer) -> None:
    # Guard: `is_spent` in `Appender.apurge`.
    async def main(site: Site) -> float:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await site.cache.apurge(tags=["items"])
            await site.cache.apurge(tags=["others"])
            await site.origin.asgi(scope, receive, send)

        door = asgi.CacheMiddleware(application, site.cache)
        await ask_asgi(site, "/items/warm")
        own_redis_server.hang()
        began = time.monotonic()
        await call_asgi(door, "/items/1")
        seconds = time.monotonic() - began
        own_redis_server.resume()
        await site.cache._core.redis.nodes.aclose()  # type: ignore[union-attr]
        return seconds

    with site_over(own_redis_server) as site:
        assert asyncio.run(main(site)) < BOUND


def test_a_purge_that_was_appended_does_not_wait_for_its_confirmation_again_and_again(
    own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `is_spent` in `Appender._confirm`. The server hangs when the purge has just been appended.
    with site_over(own_redis_server) as site:
        floors: Any = site.cache._core.engine.floors
        apply = floors.apply

        def hang_after(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.undo()
            own_redis_server.hang()
            return apply(*args, **kwargs)

        ask_wsgi(site, "/items/warm")
        monkeypatch.setattr(type(floors), "apply", lambda floors, *a, **k: hang_after(*a, **k))
        site.during = lambda: purge(site)
        assert ask_wsgi(site, "/items/1") < BOUND


def test_the_wait_for_the_flags_of_a_new_process_counts(own_redis_server: RedisServer) -> None:
    # Guard: `note_flags_wait`. The application purges in the first request, while Redis hangs.
    own_redis_server.hang()
    cache = Cache.from_dict(options(own_redis_server.url, redis={"deadline": f"{DEADLINE}s"}))
    with closing(cache):
        site = Site(cache)
        site.during = lambda: purge(site)
        assert ask_wsgi(site, "/items/1") < BOUND
        own_redis_server.resume()


def test_what_was_not_stored_in_time_is_stored_in_the_background(
    own_redis_server: RedisServer,
) -> None:
    # Guard: `_save_in_background`. The next request of this thread has a time of its own.
    with site_over(own_redis_server) as site:
        ask_wsgi(site, "/items/warm")
        own_redis_server.hang()
        site.during = own_redis_server.resume
        ask_wsgi(site, "/items/1")
        skipped = site.cache.stats().events.get("store_skipped")
        until(lambda: has_entry(own_redis_server, 2))
        site.cache.memory.clear()
        site.during = lambda: None
        status = call_wsgi(wsgi.CacheMiddleware(site.wsgi, site.cache), "/items/1").cache_status
    assert "detail=shared" in status
    assert not skipped  # the write was handed on, not left out


def has_entry(server: RedisServer, count: int) -> bool:
    names: Any = server.command("KEYS", "cachemw:{faults:*}:e4")
    return len(names) >= count
