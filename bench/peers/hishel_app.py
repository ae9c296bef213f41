"""hishel's ASGI middleware, over SQLite in memory: it has no store of Python objects."""

from __future__ import annotations

import asyncio
from typing import Any

import anysqlite
from hishel import AsyncSqliteStorage
from hishel.asgi import ASGICacheMiddleware

from bench import asgi_calls


def make(calls: list[str], loop: asyncio.AbstractEventLoop) -> Any:
    """Return the bare application behind the middleware."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope["path"])
        await asgi_calls.bare(scope, receive, send)

    connection = loop.run_until_complete(anysqlite.connect(":memory:", isolation_level=None))
    return ASGICacheMiddleware(app, storage=AsyncSqliteStorage(connection=connection))
