"""Caches over one real server, as several processes would have them, and a site behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from cachemw import Cache
from cachemw.engine.model.entry import Entry
from cachemw.extensions.identity import Identify
from cachemw.wsgi import CacheMiddleware
from tests.support.calls import Response, call_wsgi
from tests.support.entries import make_entry
from tests.support.waiting import until

__all__ = ["Caches", "Site", "entry_of", "options"]

PURGE_TAG = "thing:7"


def options(url: str, **changes: Any) -> dict[str, Any]:
    """Return a configuration over this server, its log polled often so that closing is quick."""
    log = {"poll": "40ms", **changes.pop("log", {})}
    route = {
        "name": "things",
        "path": "/things/{id}",
        "ttl": "1h",
        "risk": "low",
        "tags": ["thing:{id}", "things"],
        "stale_while_revalidate": "1h",
    }
    # The machine is shared and slow at times; what deadlines cost is measured among the faults.
    redis = {"url": url, "deadline": "2s", **changes.pop("redis", {})}
    return {"namespace": "shared", "redis": redis, "log": log, "routes": [route], **changes}


class Caches:
    """Makes caches, waits until they follow the log, and closes them all in the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.identities: dict[str, Identify] = {}
        self._stack = ExitStack()

    def make(self, *, live: bool = True, clock: Any = None, **changes: Any) -> Cache:
        """Make one more cache, as another process would have it."""
        cache = Cache.from_dict(
            options(self.url, **changes), clock=clock, identities=self.identities
        )
        self._stack.callback(cache.close)
        cache.start()
        if live:
            until(lambda: cache.log.live)
        return cache

    def close(self) -> None:
        """Close every cache that was made."""
        self._stack.close()


@dataclass
class Site:
    """One process's site: every answer names its path and the version that was read for it."""

    cache: Cache
    versions: dict[str, int] = field(default_factory=dict)
    """Path -> version: what the sites of one test share as their database."""
    fields: list[tuple[str, str]] = field(default_factory=list)
    """What every answer carries beside its Content-Type."""
    calls: int = 0
    pausing: Callable[[], object] | None = None
    """Called by the application between reading its data and answering."""

    def __post_init__(self) -> None:
        self._door = CacheMiddleware(self._application, self.cache)

    def _application(self, environ: Any, start_response: Any) -> list[bytes]:
        self.calls += 1
        path = environ["PATH_INFO"]
        body = f"{path} v{self.versions.get(path, 1)}".encode()
        if self.pausing is not None:
            self.pausing()
        start_response("200 OK", [("Content-Type", "text/plain"), *self.fields])
        return [body]

    def get(self, path: str, **variables: Any) -> Response:
        """Ask for a path; `variables` are of the environ."""
        return call_wsgi(self._door, path, **variables)

    def hits(self, path: str) -> bool:
        """Say whether a path is answered without the application."""
        return "; hit" in self.get(path).cache_status


def entry_of(cache: Cache, tag: str = PURGE_TAG) -> Entry:
    """Return an entry that was begun just now and carries a tag."""
    now = cache._core.clock.monotonic()
    return make_entry(
        key=bytes(16),
        born=now,
        fresh_until=now + 3600,
        position=cache._core.engine.floors.current_position(),
        tags=(tag,),
    )


@contextmanager
def caches_over(url: str) -> Iterator[Caches]:
    """Make caches over a server and close them in the end."""
    caches = Caches(url)
    try:
        yield caches
    finally:
        caches.close()
