"""Processes as the model has them: caches with clocks of their own over one server, each behind a proxy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cachemw import Cache
from cachemw.testing import ChaosProxy, RedisServer
from cachemw.wsgi import CacheMiddleware
from tests.support.calls import environ_of

from .application import ROUTES, Application, identify

__all__ = ["BOUND", "CREDENTIALS", "SIZE", "Answer", "Fleet", "Process", "until"]

SIZE = 3
"""Processes: one that purges, one that knows of it, one that may not."""
POLL = 0.02
DEADLINE = 0.1
PARTITION_LIMIT = 0.3
BOUND = max(PARTITION_LIMIT, POLL + DEADLINE + 0.3) + 0.3
"""Seconds after which nothing purged is served any more, cut off or not: the limit, or what noticing
a silent Redis takes (docs/consistency.md), and what a busy machine may add."""
LIMIT = 20.0
NAP = 0.002

CREDENTIALS: tuple[dict[str, str], ...] = (
    *({}, {}, {}),
    {"HTTP_AUTHORIZATION": "alice"},
    {"HTTP_AUTHORIZATION": "bob"},
    {"HTTP_COOKIE": "sid=alice"},
    {"HTTP_COOKIE": "sid=bob"},
)


def until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait for a condition; fail after `limit` seconds.

    They are counted in naps: for as long as the machine stands still nobody else comes on either.
    """
    for _ in range(int(limit / NAP)):
        if condition():
            return
        time.sleep(NAP)
    raise AssertionError(f"not within {limit} s")


class Skewed:
    """A clock of one process: its monotonic time began elsewhere, its time of day is anyone's guess."""

    def __init__(self, begun: float) -> None:
        self._begun = begun
        self.jumped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._begun

    def time(self) -> float:
        return time.time() + self.jumped


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    began: float
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    credentials: dict[str, str]
    path: str
    language: str

    @property
    def who(self) -> str | None:
        """Who asked."""
        return next(iter(self.credentials.values()), None)

    @property
    def cache_status(self) -> str:
        return dict(self.headers).get("cache-status", "")


class Process:
    """One process: it may be cut off, skewed, and made anew."""

    def __init__(self, namespace: str, proxy: ChaosProxy, app: Application, begun: float) -> None:
        self.proxy = proxy
        self.clock = Skewed(begun)
        self._namespace = namespace
        self._app = app
        self.begin()

    def begin(self) -> None:
        """Begin with nothing in memory, as a process does that was started just now."""
        self.cache = Cache.from_dict(
            _options(self._namespace, self.proxy.url),
            identities={"user": identify},
            clock=self.clock,
        )
        self._door = CacheMiddleware(self._app, self.cache)
        self.cache.start()

    def end(self) -> None:
        self.cache.close()

    def get(self, path: str, credentials: dict[str, str], language: str) -> Answer:
        """Ask as a server would, to the last byte and `close()`."""
        seen: list[Any] = []
        environ = environ_of(path, **credentials)
        if language:
            environ["HTTP_ACCEPT_LANGUAGE"] = language
        began = time.monotonic()
        body: Any = self._door(environ, lambda *head: seen.append(head))
        try:
            whole = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        status, headers = seen[-1][:2]
        pairs = [(name.lower(), value) for name, value in headers]
        return Answer(began, int(status[:3]), pairs, whole, credentials, path, language)

    @property
    def live(self) -> bool:
        return self.cache.log.live

    @property
    def queued(self) -> int:
        log: Any = self.cache.log
        count: int = log.appender.queued
        return count


def _options(namespace: str, url: str) -> dict[str, Any]:
    routes = [
        {
            "name": name,
            "path": f"/{name}/{{id}}",
            "ttl": f"{lasting.fresh * 1000:.0f}ms",
            "risk": "low",
            "tags": [f"{name}:{{id}}", "everywhere"],
            "stale_while_revalidate": f"{lasting.window * 1000:.0f}ms",
            **lasting.options,
        }
        for name, lasting in ROUTES.items()
    ]
    return {
        "namespace": namespace,
        "redis": {"url": url, "deadline": f"{DEADLINE * 1000:.0f}ms"},
        "log": {
            "poll": f"{POLL * 1000:.0f}ms",
            "partition_limit": f"{PARTITION_LIMIT * 1000:.0f}ms",
            "confirm_wait": "100ms",
        },
        "routes": routes,
    }


class Fleet:
    """The processes of one example, in a namespace of their own."""

    def __init__(
        self, namespace: str, server: RedisServer, proxies: list[ChaosProxy], app: Application
    ) -> None:
        self.namespace = namespace
        self.server = server
        self.processes = [
            Process(namespace, proxy, app, begun=1000.0 * index)
            for index, proxy in enumerate(proxies)
        ]
        until(lambda: all(process.live for process in self.processes))

    def key(self, name: str) -> str:
        return f"cachemw:{{{self.namespace}}}:{name}"

    @property
    def entries(self) -> str:
        """The pattern of the names of entries."""
        return f"cachemw:{{{self.namespace}:*}}:e4"

    def close(self) -> None:
        """End every process; a wire that swallows would only make it wait."""
        for process in self.processes:
            process.proxy.normal()
        for process in self.processes:
            process.end()
