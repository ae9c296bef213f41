"""What each observed worker runs: pages of a database that is outside, one door, one way in to purge.

Environment: `APP_REDIS`, and `APP_DATA`, a folder with a file for each page that holds its version.
Every answer carries in `X-Worker` who gave it and in `X-Heard` when that worker had last heard from the
log, in the machine's monotonic time; both are added outside of the cache. `APP_DEAF` makes a worker
apply no purge of another one: the mistake that the observer must see.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

from cachemw import Cache, asgi, wsgi

DATA = Path(os.environ["APP_DATA"])
SLOW = 0.03
"""Seconds that an answer may take to be made, so that purges overtake some."""

cache = Cache.from_dict(
    {
        "namespace": "observed",
        "redis": os.environ["APP_REDIS"],
        "log": {"poll": "100ms", "partition_limit": "1s"},
        "routes": [
            {"name": "pages", "path": "/pages/{id}", "ttl": "1h", "tags": ["page:{id}", "pages"]},
            {
                "name": "quick",
                "path": "/quick/{id}",
                "ttl": "1s",
                "tags": ["quick:{id}"],
                "stale_while_revalidate": "1s",
            },
        ],
    }
)

if os.environ.get("APP_DEAF"):
    floors: Any = cache.log.floors
    applied = floors.apply

    def ahead_only(number: int, tags: Any, *, soft: bool, follow: bool = True) -> None:
        if follow:
            floors.advance(number)
        else:
            applied(number, tags, soft=soft, follow=False)

    floors.apply = ahead_only


def page(path: str, who: str) -> bytes:
    """Make a page of what the database holds, in a while that differs."""
    version = (DATA / path[1:].replace("/", "-")).read_text()
    time.sleep(random.random() * SLOW)
    return f"{path} {version} {who}".encode()


def purge_of(path: str) -> dict[str, Any]:
    """Say what `/purge/tag/pages/7`, `/purge/url/pages/7` or `/purge/everything` purge."""
    _, _, manner, *page = path.split("/")
    if manner == "url":
        return {"urls": ["/" + "/".join(page)]}
    if manner == "tag":
        return {"tags": [f"{page[0].removesuffix('s')}:{page[1]}"]}
    return {"everything": True}


def outer() -> list[tuple[str, str]]:
    log: Any = cache.log
    return [("X-Worker", str(os.getpid())), ("X-Heard", f"{log.alive_at or 0.0:.6f}")]


# -- WSGI ------------------------------------------------------------------------------------------


def application(environ: Any, start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    if path.startswith("/purge/"):
        body = cache.purge(**purge_of(path)).status.encode()
    elif path == "/about":
        body = b"about"
    else:
        who = environ.get("HTTP_AUTHORIZATION") or environ.get("HTTP_COOKIE") or "all"
        body = page(path, who)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


inner = wsgi.CacheMiddleware(application, cache)


def wsgi_app(environ: Any, start_response: Any) -> Any:
    told = outer()  # before the cache decides: it may hear more meanwhile, never less

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*headers, *told], *error)

    return inner(environ, start)


# -- ASGI ------------------------------------------------------------------------------------------


async def plain(scope: Any, receive: Any, send: Any) -> None:
    path, fields = scope["path"], dict(scope["headers"])
    if path.startswith("/purge/"):
        body = (await cache.apurge(**purge_of(path))).status.encode()
    elif path == "/about":
        body = b"about"
    else:
        who = fields.get(b"authorization", fields.get(b"cookie", b"all")).decode()
        body = await asyncio.to_thread(page, path, who)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


cached = asgi.CacheMiddleware(plain, cache)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    told = [(name.lower().encode(), value.encode()) for name, value in outer()]

    async def tell(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *told]}
        await send(message)

    await cached(scope, receive, tell)
