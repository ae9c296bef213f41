"""Crowds that ask for one page at once, from tasks of a loop and from threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cachemw import Cache, asgi, wsgi
from tests.support.calls import environ_of, scope_of

__all__ = ["Answer", "AsgiSite", "Call", "WsgiSite", "asgi_site", "page", "settings", "wsgi_site"]


def settings(**coalesce: Any) -> dict[str, Any]:
    """Return the configuration of one cached page."""
    return {
        "namespace": "crowd",
        # Longer than any test: who would have to wait it out is seen to hang.
        "coalesce": {"wait": "1h", **coalesce},
        "routes": [{"name": "page", "path": "/page", "ttl": "1h", "cookies": []}],
    }


@dataclass
class Answer:
    """What one of the crowd got."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def field(self, name: bytes) -> bytes:
        return dict(self.headers).get(name, b"")


@dataclass
class Call:
    """One call of the application; `number` counts from 1."""

    number: int
    language: str
    send: Any = None
    receive: Any = None


def page(body: str, *fields: tuple[str, str]) -> Any:
    """Return a whole answer."""
    return fields, body.encode()


@dataclass
class AsgiSite:
    """A page whose application is one coroutine function, given `Call`, giving `page(...)` or None.

    None says that it has sent what it wanted by itself.
    """

    application: Callable[[Call], Awaitable[Any]]
    cache: Cache
    calls: int = 0

    def __post_init__(self) -> None:
        self.door = asgi.CacheMiddleware(self._app, self.cache)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        languages = [v for n, v in scope["headers"] if n == b"accept-language"]
        call = Call(self.calls, (languages or [b""])[0].decode(), send, receive)
        answer = await self.application(call)
        if answer is None:
            return
        fields, body = answer
        headers = [(name.encode(), value.encode()) for name, value in fields]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def get(self, language: str = "en", *, gone: asyncio.Event | None = None) -> Answer:
        """Ask for the page; `gone` is set when the client goes away."""
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any:
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        scope = scope_of("/page", (b"accept-language", language.encode()))
        await self.door(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in messages[1:])
        return Answer(messages[0]["status"], messages[0]["headers"], body)

    def start(self, *languages: str) -> list[asyncio.Task[Answer]]:
        """Begin one request for each language."""
        return [asyncio.ensure_future(self.get(language)) for language in languages]

    async def waiting(self, count: int) -> None:
        """Wait until so many of the crowd follow somebody."""
        while self.cache._core.engine.flights.waiting != count:
            await asyncio.sleep(0)


def asgi_site(application: Callable[[Call], Awaitable[Any]], **coalesce: Any) -> AsgiSite:
    """Return a site over a cache of its own."""
    return AsgiSite(application, Cache.from_dict(settings(**coalesce)))


@dataclass
class WsgiSite:
    """The same for threads: the application is a function that gives fields and pieces."""

    application: Callable[[Call], tuple[Iterable[tuple[str, str]], Iterable[bytes]]]
    cache: Cache
    calls: int = 0

    def __post_init__(self) -> None:
        self.door = wsgi.CacheMiddleware(self._app, self.cache)
        self._lock = threading.Lock()

    def _app(self, environ: Any, start_response: Any) -> Any:
        with self._lock:
            self.calls += 1
            call = Call(self.calls, environ["HTTP_ACCEPT_LANGUAGE"])
        fields, pieces = self.application(call)
        start_response("200 OK", list(fields))
        return pieces

    def open(self, language: str = "en") -> tuple[list[Any], Any]:
        """Ask for the page; give the list that gets the head, and the body to be read and closed."""
        head: list[Any] = []
        environ = environ_of("/page", HTTP_ACCEPT_LANGUAGE=language)

        def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
            head[:] = [int(status[:3]), headers]

        return head, self.door(environ, start_response)

    def get(self, language: str = "en") -> Answer:
        """Ask for the page, to the last byte."""
        head, pieces = self.open(language)
        try:
            body = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        headers = [(name.lower().encode(), value.encode()) for name, value in head[1]]
        return Answer(head[0], headers, body)

    def crowd(self, pool: ThreadPoolExecutor, *languages: str) -> Iterator[Future[Answer]]:
        """Begin one request for each language, each in a thread of the pool."""
        return iter([pool.submit(self.get, language) for language in languages])

    @property
    def waiting(self) -> int:
        """How many follow somebody."""
        return self.cache._core.engine.flights.waiting


def wsgi_site(application: Callable[[Call], Any], **coalesce: Any) -> WsgiSite:
    """Return a site over a cache of its own."""
    return WsgiSite(application, Cache.from_dict(settings(**coalesce)))
