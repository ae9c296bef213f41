"""Hits from Redis: what a second process would get, asked for by the one that has stored it."""

from __future__ import annotations

from cachemw import Cache, asgi, wsgi
from tests.support.calls import call_asgi, call_wsgi
from tests.support.traffic import Origin

__all__ = ["shared_by_loop", "shared_by_thread"]


def shared_by_thread(cache: Cache, path: str = "/things/1") -> str:
    """Store a response and forget it in memory; return the Cache-Status of the next one."""
    door = wsgi.CacheMiddleware(Origin().wsgi, cache)
    call_wsgi(door, path)
    cache.memory.clear()
    return call_wsgi(door, path).cache_status


async def shared_by_loop(cache: Cache, path: str = "/things/2") -> str:
    """Do as `shared_by_thread` does, in the running event loop."""
    door = asgi.CacheMiddleware(Origin().asgi, cache)
    await call_asgi(door, path)
    await cache._core.tasks.drain(5.0)
    cache.memory.clear()
    status = (await call_asgi(door, path)).cache_status
    await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]
    return status
