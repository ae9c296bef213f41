"""starlette-caches over aiocache's memory cache, with its default rule, which caches every path."""

from __future__ import annotations

import asyncio
from typing import Any

from aiocache import Cache
from starlette_caches.middleware import CacheMiddleware

from bench import asgi_calls


def make(calls: list[str], loop: asyncio.AbstractEventLoop) -> Any:
    """Return the bare application behind the middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        await asgi_calls.bare(scope, receive, send)

    return CacheMiddleware(app, cache=Cache(Cache.MEMORY, ttl=36000))
