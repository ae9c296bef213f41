"""fastapi-cache2 as its documentation shows it: the decorator on a path operation, in memory.

It keeps what the function returned, as JSON, and so cannot answer with fields of the function's own.
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
    """Give an application with the five routes."""
    app = FastAPI()
    FastAPICache.init(InMemoryBackend(), prefix="bench")
    content = json.loads(BODY)

    for name in ROUTES:

        async def read(number: int) -> Any:
            calls.append(str(number))
            return content

        read.__name__ = name  # part of its key: functions of one name would share their answers
        app.get(f"/{name}/{{number}}")(cache(expire=36000)(read))

    return app
