"""The shop behind the cache, as good or as bad as its latest release: what the file RELEASE names.

uvicorn --factory app:create_app
"""

from __future__ import annotations

import asyncio
import importlib
import os
import random
import time
from pathlib import Path
from typing import Any

from cachemw import Cache
from cachemw.asgi import CacheMiddleware

ORIGIN = 0.05
"""Seconds that the shop's database is taken to need: the ways to Redis must be little beside a call of it."""
FAILING = 0.1
PADDING = b" " * 150_000


class Released:
    """Alters what the shop answers, as the present release has it."""

    def __init__(self, app: Any, file: Path) -> None:
        self._app = app
        self._file = file
        self._read_at = 0.0
        self._release = ""

    @property
    def release(self) -> str:
        if time.monotonic() > self._read_at + 0.2:
            self._read_at = time.monotonic()
            self._release = self._file.read_text().strip()
        return self._release

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        release = self.release
        await asyncio.sleep(ORIGIN)
        if release == "cached errors":
            await self._caching_errors(scope, receive, send)
            return

        async def altered(message: Any) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"content-length"]
                lasting = (b"cache-control", b"public, max-age=10")
                message = {**message, "headers": [*kept, lasting]}
            elif release == "fat" and not message.get("more_body"):
                message = {**message, "body": message.get("body", b"") + PADDING}
            await send(message)

        await self._app(scope, receive, altered)

    async def _caching_errors(self, scope: Any, receive: Any, send: Any) -> None:
        """Fail now and then, and say that failures may be kept for long."""
        fails = random.random() < FAILING
        age = b"public, max-age=300" if fails else b"public, max-age=1"
        start = {"type": "http.response.start", "status": 500 if fails else 200}
        await send(
            {**start, "headers": [(b"cache-control", age), (b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": b"failed" if fails else b"well"})


def create_app() -> Any:
    os.environ["SHOP_CACHE"] = "off"  # the shop's own cache: this one is in its place
    shop = importlib.import_module(f"{os.environ['RELEASED_SHOP']}.fastapi_app").create_app()
    cache = Cache.from_file(os.environ["RELEASED_CONFIG"])
    return CacheMiddleware(Released(shop, Path(os.environ["RELEASE"])), cache=cache)
