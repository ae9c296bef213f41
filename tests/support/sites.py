"""A small application behind the cache, WSGI or ASGI, asked as a server would ask it."""

from __future__ import annotations

import asyncio
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachemw import Cache, asgi, wsgi
from tests.support.calls import call_asgi, call_wsgi
from tests.support.waiting import LIMIT, until

__all__ = ["KINDS", "Answer", "AsgiSite", "Site", "WsgiSite", "median"]


def options(url: str | None) -> dict[str, Any]:
    """Return a configuration with the deadlines that are the defaults."""
    route = {"name": "items", "path": "/items/{id}", "ttl": "1h", "risk": "low"}
    return {"namespace": "kit", "routes": [route], **({"redis": {"url": url}} if url else {})}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got, and the seconds until it had it."""

    body: bytes
    cache_status: str
    seconds: float


def median(answers: Sequence[Answer]) -> float:
    """Return the seconds that half of the answers took at most."""
    return statistics.median(answer.seconds for answer in answers)


class Site(ABC):
    """One process's site; every answer is the path that was asked for."""

    def __init__(self, url: str | None) -> None:
        self.cache = Cache.from_dict(options(url))
        self._pages = 0

    @abstractmethod
    def get(self, path: str) -> tuple[bytes, str]:
        """Give body and Cache-Status; what the application or the cache raises is raised."""

    @abstractmethod
    def settle(self) -> None:
        """Let writes to Redis end that run after an answer."""

    @abstractmethod
    def close(self) -> None: ...

    def ask(self, path: str) -> Answer:
        """Ask, and see that the answer is the right one."""
        began = time.monotonic()
        body, status = self.get(path)
        answer = Answer(body, status, time.monotonic() - began)
        assert answer.body == path.encode()
        return answer

    def page(self) -> str:
        """Return a path that nobody has asked for."""
        self._pages += 1
        return f"/items/{self._pages}"

    def uses_redis(self) -> bool:
        """Say whether a new answer that memory has lost comes from Redis."""
        page = self.page()
        self.ask(page)
        self.settle()
        self.cache.memory.clear()
        return "detail=shared" in self.ask(page).cache_status

    def join(self) -> None:
        """Follow the log, and wait until Redis is in use."""
        self.cache.start()
        until(lambda: self.cache.log.live)
        until(self.uses_redis)


class WsgiSite(Site):
    def __init__(self, url: str | None) -> None:
        super().__init__(url)
        self._door = wsgi.CacheMiddleware(self._application, self.cache)

    @staticmethod
    def _application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]

    def get(self, path: str) -> tuple[bytes, str]:
        response = call_wsgi(self._door, path)
        return response.body, response.cache_status

    def settle(self) -> None:
        """There is nothing to wait for: they run in the thread that asked."""

    def close(self) -> None:
        self.cache.close()


class AsgiSite(Site):
    def __init__(self, url: str | None) -> None:
        super().__init__(url)
        self._door = asgi.CacheMiddleware(self._application, self.cache)
        self._runner = asyncio.Runner()

    @staticmethod
    async def _application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    def get(self, path: str) -> tuple[bytes, str]:
        response = self._runner.run(call_asgi(self._door, path))
        return response.body, response.cache_status

    def settle(self) -> None:
        self._runner.run(self.cache._core.tasks.drain(LIMIT))

    def close(self) -> None:
        self._runner.run(self.cache.aclose())
        self._runner.close()


KINDS: dict[str, type[Site]] = {"wsgi": WsgiSite, "asgi": AsgiSite}
