"""Calls of an ASGI application as a server makes them, but without a server.

The unit of most figures is the *bare call*: build a fresh scope, call the application, collect its
messages. The clock starts after the byte strings that a server's parser would create; they are new
for each call, because Python caches the hash of a byte string. The clock runs while the scope and
its list of headers are built. It counts the processor time of this process, all threads together,
so the work of other processes is not measured.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence
from time import process_time
from typing import Any

from bench.constants import BODY, HEADERS, STATUS, URLS
from bench.timing import Subject

__all__ = ["CALLS", "ask", "bare", "call", "receive", "scope_of", "subject"]

App = Callable[..., Awaitable[None]]
Message = MutableMapping[str, Any]
Parsed = tuple[str, bytes, bytes, list[tuple[bytes, bytes]]]

_REQUEST = (
    (b"host", b"shop.example"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"http://shop.example/"),
    (b"connection", b"keep-alive"),
)
_BATCH = 100
"""Requests prepared at once, before the clock runs."""
CALLS = 200
"""Calls per round."""
_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_SERVER = ("127.0.0.1", 8000)
_CLIENT = ("127.0.0.1", 40000)
_STATE: dict[str, Any] = {}


async def bare(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """Send the constant response: the application without a cache."""
    await send({"type": "http.response.start", "status": STATUS, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def receive() -> Message:
    """Return the message of an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _copy(value: bytes) -> bytes:
    """Return a new byte string, whose hash is not computed yet."""
    return bytes(bytearray(value))


def _parsed(urls: Iterable[str]) -> list[Parsed]:
    made = []
    for url in urls:
        path, _, query = url.partition("?")
        headers = [(_copy(name), _copy(value)) for name, value in _REQUEST]
        made.append(("".join(list(path)), path.encode(), query.encode(), headers))
    return made


def _scope(parsed: Parsed) -> dict[str, Any]:
    path, raw_path, query, headers = parsed
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "server": _SERVER,
        "client": _CLIENT,
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": headers.copy(),
        "state": _STATE,
    }


def scope_of(url: str) -> dict[str, Any]:
    """Return a fresh scope for a GET request for this URL."""
    return _scope(_parsed([url])[0])


async def call(app: App, scope: dict[str, Any]) -> list[Message]:
    """Call the application with this scope, and return its messages."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


async def ask(app: App, url: str) -> list[Message]:
    """Call the application once for this URL, and return its messages."""
    return await call(app, scope_of(url))


async def _batch(app: App, urls: Sequence[str]) -> float:
    requests = _parsed(urls)
    began = process_time()
    for request in requests:
        messages: list[Message] = []
        collect = messages.append

        async def send(message: Message, collect: Any = collect) -> None:
            collect(message)

        await app(_scope(request), receive, send)
    return process_time() - began


async def _round(app: App, urls: Iterator[str], calls: int) -> float:
    seconds, left = 0.0, calls
    while left:
        batch = list(itertools.islice(urls, min(left, _BATCH)))
        seconds += await _batch(app, batch)
        left -= len(batch)
    return seconds / calls


def subject(
    name: str,
    app: App,
    loop: asyncio.AbstractEventLoop,
    *,
    calls: int = CALLS,
    urls: Sequence[str] = URLS,
) -> Subject:
    """Return a subject that calls an application in this loop, for these URLs in turn."""
    turn = itertools.cycle(urls)
    return Subject(name, lambda: loop.run_until_complete(_round(app, turn, calls)))
