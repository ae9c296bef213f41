"""The applications that the servers under test run, one for ASGI and one for WSGI, over one data folder.

Environment: `APP_REDIS` and `APP_DATA`; with `APP_WARM` the module asks its own cache once while it
is imported, as an application does that a server loads before it forks; with `APP_LATE_POSITION`
entries carry where the log stood when their head was there, not when they were begun: the mistake
that a purge during a fill brings to light. `APP_LEASE` says how long a lease lasts.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from cachemw import Cache, asgi, wsgi
from cachemw.http.dates import format_date

DATA = Path(os.environ["APP_DATA"])
PATIENCE = 20.0
"""Seconds after which a paused answer goes on by itself."""
PIECE = b"x" * 65536
PIECES = 16
"""How many of them make a large body; it pauses after half of them."""

STEPS = 4
"""How many pieces a slow body has, and the steps in which it is made."""
STEP = 0.01
"""Seconds that each takes."""

LIFETIME = 3600.0
"""Seconds until the Expires of a dated page."""

OPTIONS = {
    "namespace": "servers",
    "redis": {"url": os.environ["APP_REDIS"], "deadline": "2s"},
    "log": {"poll": "100ms", "confirm_wait": "2s"},
    # A busy machine must not end a wait, nor a lease where that would be counted.
    "coalesce": {"wait": "15s", "lease": os.environ.get("APP_LEASE", "2s")},
    "routes": [
        {"name": "pages", "path": "/pages/{id}", "ttl": "1h", "tags": ["page:{id}"]},
        {"name": "paused", "path": "/paused/{id}", "ttl": "1h", "tags": ["page:{id}"]},
        {"name": "slow", "path": "/slow/{id}", "ttl": "1h"},
        {"name": "dated", "path": "/dated/{id}", "ttl": "response"},
        {
            "name": "renewed",
            "path": "/renewed/{id}",
            "ttl": "50ms",
            "stale_while_revalidate": "1h",
        },
        {"name": "stream", "path": "/stream/{id}", "ttl": "1h"},
        {"name": "events", "path": "/events/{id}", "ttl": "1h"},
        {"name": "large", "path": "/large/{id}", "ttl": "1h", "max_size": "100MiB"},
        {
            "name": "bodies",
            "path": "/bodies/{id}",
            "ttl": "1h",
            "methods": ["POST"],
            "body": "raw",
            "body_limit": "100KiB",
        },
    ],
}
cache = Cache.from_dict(OPTIONS)

if os.environ.get("APP_LATE_POSITION"):
    from cachemw.engine.flows import on_response

    def too_late(engine: Any, fetch: Any, given: tuple[str, ...]) -> bool:
        fetch.position = engine.floors.current_position()
        return False

    on_response.is_overtaken = too_late


def version_of(name: str) -> int:
    file = DATA / f"version-{name}"
    return int(file.read_text()) if file.exists() else 1


def change(name: str) -> str:
    """Write the next version of a page; give the page's name."""
    draft = DATA / f"draft-{name}-{os.getpid()}"
    draft.write_text(str(version_of(name) + 1))
    draft.replace(DATA / f"version-{name}")
    return name


def body_of(name: str) -> bytes:
    with (DATA / "calls").open("ab") as calls:
        calls.write(b".")
    return f"{name} v{version_of(name)}".encode()


def note(what: str) -> None:
    (DATA / what).touch()


def may_go_on(name: str) -> bool:
    return (DATA / f"go-{name}").exists()


def about(cache: Cache) -> bytes:
    log: Any = cache.log
    flights = cache._core.engine.flights
    rejected = cache.stats().events.get("entry_rejected", {})
    return json.dumps(
        {
            "pid": os.getpid(),
            "live": log.live,
            "waiting": flights.waiting,
            "flights": len(flights.open),
            "rejected": sum(rejected.values()),
        }
    ).encode()


def slow_body(name: str) -> bytes:
    return body_of(name) * 1000


# -- ASGI ------------------------------------------------------------------------------------------


async def pause(name: str) -> None:
    note(f"paused-{name}")
    ends = time.monotonic() + PATIENCE
    while not may_go_on(name) and time.monotonic() < ends:
        await asyncio.sleep(0.002)


async def pieces_of(kind: str, name: str) -> AsyncIterator[bytes]:
    if kind == "large":
        for number in range(PIECES):
            if number == PIECES // 2:
                await pause(name)
            yield PIECE
        return
    yield b"data: first\n\n"
    await pause(name)
    yield b"data: last\n\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        await respond(scope, receive, send)


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


async def received(receive: Any) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def respond(scope: Any, receive: Any, send: Any) -> None:
    _, kind, *rest = scope["path"].split("/")
    name = rest[0] if rest else ""
    kinds = {"events": b"text/event-stream"}
    headers = [(b"content-type", kinds.get(kind, b"text/plain"))]
    if kind == "dated":
        headers.append((b"expires", format_date(time.time() + LIFETIME)))

    async def start() -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    if kind == "slow":
        body = slow_body(name)
        headers.append((b"content-length", b"%d" % len(body)))
        await start()
        size = len(body) // STEPS
        for at in range(0, len(body), size):
            await asyncio.sleep(STEP)
            more = at + size < len(body)
            piece = body[at : at + size]
            await send({"type": "http.response.body", "body": piece, "more_body": more})
        return
    if kind in ("stream", "events", "large"):
        if kind == "large":
            headers.append((b"content-length", b"%d" % (len(PIECE) * PIECES)))
        await start()
        async for piece in pieces_of(kind, name):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    if kind == "about":
        body = about(cache)
    elif kind == "bodies":
        body = body_of(name) + b"".join([piece async for piece in received(receive)])
    elif scope["method"] == "PUT":
        body = (await cache.apurge(tags=[f"page:{change(name)}"])).status.encode()
    else:
        body = body_of(name)
        if kind == "paused" or (kind == "renewed" and (DATA / f"hang-{name}").exists()):
            await pause(name)
    headers.append((b"content-length", b"%d" % len(body)))
    await start()
    await send({"type": "http.response.body", "body": body})


# -- WSGI ------------------------------------------------------------------------------------------


def pause_here(name: str) -> None:
    note(f"paused-{name}")
    ends = time.monotonic() + PATIENCE
    while not may_go_on(name) and time.monotonic() < ends:
        time.sleep(0.002)


class Pieces:
    """A body in pieces that notes when it is closed."""

    def __init__(self, kind: str, name: str) -> None:
        self._kind, self._name = kind, name

    def __iter__(self) -> Iterator[bytes]:
        if self._kind == "large":
            for number in range(PIECES):
                if number == PIECES // 2:
                    pause_here(self._name)
                yield PIECE
            return
        yield b"data: first\n\n"
        pause_here(self._name)
        yield b"data: last\n\n"

    def close(self) -> None:
        note(f"closed-{self._name}")


def slowly(body: bytes) -> Iterator[bytes]:
    size = len(body) // STEPS
    for at in range(0, len(body), size):
        time.sleep(STEP)
        yield body[at : at + size]


def plain_application(environ: Any, start_response: Any) -> Any:
    _, kind, *rest = environ["PATH_INFO"].split("/")
    name = rest[0] if rest else ""
    headers = [("Content-Type", "text/event-stream" if kind == "events" else "text/plain")]
    if kind == "dated":
        headers.append(("Expires", format_date(time.time() + LIFETIME).decode()))
    if kind == "slow":
        body = slow_body(name)
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return slowly(body)
    if kind in ("stream", "events", "large"):
        if kind == "large":
            headers.append(("Content-Length", str(len(PIECE) * PIECES)))
        start_response("200 OK", headers)
        return Pieces(kind, name)
    if kind == "about":
        body = about(cache)
    elif kind == "bodies":  # gunicorn's input ends where the body does
        body = body_of(name) + environ["wsgi.input"].read()
    elif environ["REQUEST_METHOD"] == "PUT":
        body = cache.purge(tags=[f"page:{change(name)}"]).status.encode()
    else:
        body = body_of(name)
        if kind == "paused" or (kind == "renewed" and (DATA / f"hang-{name}").exists()):
            pause_here(name)
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


def impatient(app: Any) -> Any:
    """Cancel the whole call of an answer whose client goes away, as frameworks and time limits do.

    Notes which request has come, outside of the cache.
    """

    async def around(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/slow/"):
            await app(scope, receive, send)
            return
        for number in (value for name, value in scope["headers"] if name == b"number"):
            note(f"reached-{number.decode()}")
        first = await receive()
        begun = asyncio.Event()

        async def once() -> Any:
            if not begun.is_set():
                begun.set()
                return first
            return await asyncio.Event().wait()

        answering = asyncio.ensure_future(app(scope, once, send))
        gone = asyncio.ensure_future(receive())
        await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        answering.cancel()
        await asyncio.gather(answering, gone, return_exceptions=True)

    return around


asgi_app = impatient(asgi.CacheMiddleware(application, cache))
cached = wsgi.CacheMiddleware(plain_application, cache)


def wsgi_app(environ: Any, start_response: Any) -> Any:
    """Note which request has come, outside of the cache."""
    if number := environ.get("HTTP_NUMBER"):
        note(f"reached-{number}")
    return cached(environ, start_response)


def follow(cache: Cache) -> None:
    cache.start()
    ends = time.monotonic() + PATIENCE
    while not cache.log.live and time.monotonic() < ends:
        time.sleep(0.002)


def warm_up() -> None:
    """Use the cache before the fork: its follower runs and its connections are open."""
    follow(cache)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/pages/warm",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "HTTP_HOST": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }
    body: Any = wsgi_app(environ, lambda *head: None)
    b"".join(body)
    body.close()


if os.environ.get("APP_WARM"):
    warm_up()
