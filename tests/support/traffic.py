"""An application behind the cache in this process, and traffic that measures every request."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from cachemw import Cache, asgi, wsgi
from tests.support.calls import Response, call_asgi, call_wsgi, live
from tests.support.waiting import LIMIT, until

__all__ = ["AsgiTraffic", "Asked", "Origin", "Traffic", "WsgiTraffic", "options", "share"]

PAUSE = 0.002
"""Seconds that a client thinks between two requests, so that latencies are not those of a queue."""


def options(url: str | None, **changes: Any) -> dict[str, Any]:
    """Return a configuration with the deadlines that are the defaults."""
    route = {"name": "items", "path": "/items/{id}", "ttl": "1h", "risk": "low", "tags": ["items"]}
    redis = {"redis": {"url": url, **changes.pop("redis", {})}} if url else {}
    return {"namespace": "faults", "routes": [route], **redis, **changes}


class Origin:
    """The application: every body names its path and the version of the data that it was made of."""

    def __init__(self) -> None:
        self.version = 1

    def body(self, path: str) -> bytes:
        return f"{path} v{self.version}".encode()

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        body = self.body(scope["path"])
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        body = self.body(environ["PATH_INFO"])
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the traffic."""

    began: float
    seconds: float
    """Until the client had the last byte."""
    right: bool
    """Whether the answer was the one asked for, complete."""
    stale: bool
    """Whether it was older than a purge that had returned before the request began."""
    shared: bool
    """Whether it came from Redis."""
    closed: bool
    """Whether the breaker was closed when it began or when it ended."""


class Traffic(ABC):
    """Clients that ask without end for new pages, for shared ones, and for one that is hot."""

    def __init__(self, config: dict[str, Any] | None, clients: int) -> None:
        self.origin = Origin()
        self.cache = Cache.from_dict(config) if config else None
        self.asked: list[Asked] = []
        self.floor = 1
        """The version that every request from now on must get, or a later one."""
        self._clients = clients
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._numbers = itertools.count()

    @abstractmethod
    def _run(self) -> None: ...

    def _pages(self) -> Iterator[str]:
        """Give what one client asks for, one after the other."""
        while not self._stopping:
            page = f"/items/{next(self._numbers)}"
            yield page
            if self.cache is not None:
                self.cache.memory.clear()
            yield page
            yield "/items/hot"
            yield "/items/hot"

    def _note(
        self, began: float, floor: int, closed: bool, path: str, response: Response | None
    ) -> None:
        body, status = (response.body, response.cache_status) if response else (b"", "")
        name, _, version = body.decode().partition(" v")
        right = name == path and version.isdigit()
        self.asked.append(
            Asked(
                began=began,
                seconds=time.monotonic() - began,
                right=right,
                stale=right and int(version) < floor,
                shared="detail=shared" in status,
                closed=closed or self.closed,
            )
        )

    @property
    def closed(self) -> bool:
        """Whether Redis is being asked."""
        if self.cache is None:
            return False
        return all(breaker.closed for breaker in self.cache._core.redis.nodes.breakers)  # type: ignore[union-attr]

    def change(self) -> str:
        """Change the data and purge; from now on nothing older may be served. Give how it went."""
        assert self.cache is not None
        self.origin.version += 1
        result = self.cache.purge(tags=["items"])
        self.floor = self.origin.version
        return result.status

    def since(self, moment: float) -> list[Asked]:
        """Return the requests that began after a moment."""
        return [each for each in list(self.asked) if each.began >= moment]

    def await_more(self, count: int) -> list[Asked]:
        """Wait for that many more requests, and return them."""
        moment = time.monotonic()
        until(lambda: len(self.since(moment)) >= count, limit=30.0)
        return self.since(moment)

    def await_shared(self, limit: float = LIMIT) -> float:
        """Wait until a request that begins from now on is answered out of Redis; give the seconds."""
        moment = time.monotonic()
        return until(lambda: any(each.shared for each in self.since(moment)), limit)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let the traffic flow while the block runs."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopping = True
            self._thread.join()
            if self.cache is not None:
                self.cache.close()


class WsgiTraffic(Traffic):
    """A client for each thread."""

    def _run(self) -> None:
        threads = [threading.Thread(target=self._client) for _ in range(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self) -> None:
        app: Any = self.origin.wsgi
        if self.cache is not None:
            app = wsgi.CacheMiddleware(app, self.cache)
        for path in self._pages():
            self._ask(app, path)
            time.sleep(PAUSE)

    def _ask(self, app: Any, path: str) -> None:
        floor, closed = self.floor, self.closed
        began = time.monotonic()
        try:
            response: Response | None = call_wsgi(app, path)
        except Exception:
            response = None
        self._note(began, floor, closed, path, response)


class AsgiTraffic(Traffic):
    """A client for each task of one event loop."""

    def _run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        app: Any = self.origin.asgi
        if self.cache is not None:
            app = asgi.CacheMiddleware(app, self.cache)
        async with lifespan(app):
            await asyncio.gather(*(self._client(app) for _ in range(self._clients)))

    async def _client(self, app: Any) -> None:
        for path in self._pages():
            await self._ask(app, path)
            await asyncio.sleep(PAUSE)

    async def _ask(self, app: Any, path: str) -> None:
        floor, closed = self.floor, self.closed
        began = time.monotonic()
        try:
            response: Response | None = await call_asgi(app, path)
        except Exception:
            response = None
        self._note(began, floor, closed, path, response)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Start an application and shut it down, as a server does."""
    steps: asyncio.Queue[Any] = asyncio.Queue()
    done: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.ensure_future(app({"type": "lifespan"}, steps.get, done.put))
    await steps.put({"type": "lifespan.startup"})
    await done.get()
    try:
        yield
    finally:
        await steps.put({"type": "lifespan.shutdown"})
        await running


def share(asked: Sequence[Asked], part: float) -> float:
    """Return the latency, in seconds, that this part of the requests does not exceed."""
    ordered = sorted(each.seconds for each in asked)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
