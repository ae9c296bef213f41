"""fastapi-cache2 as its documentation shows it: a decorator on a path operation, in memory.

It stores what the function returned, as JSON, so its responses cannot have headers of their own.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI
from fastapi_cache import FastAPICache
from fastapi_cache.backends.inmemory import InMemoryBackend
from fastapi_cache.decorator import cache

from bench.constants import BODY, ROUTES


def make(calls: list[str], loop: asyncio.AbstractEventLoop) -> Any:
    """Return an application with the five routes."""
    app = FastAPI()
    FastAPICache.init(InMemoryBackend(), prefix="bench")
    content = json.loads(BODY)

    for name in ROUTES:

        async def read(number: int) -> Any:
            calls.append(str(number))
            return content

        read.__name__ = (
            name  # the name is part of the key: functions with one name would share responses
        )
        app.get(f"/{name}/{{number}}")(cache(expire=36000)(read))

    return app
