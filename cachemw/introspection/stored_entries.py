"""Stored entries, for people to look at: one record for each response, in Redis and in this process.

A key in Redis holds identities, cookies and bodies as digests only, and no record tells more of them
(I1). Entries that hold no response, and only list the selecting headers of a URL (Vary), are left out.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cachemw.engine.model.entry import Entry, Key, VaryMarker, Verdict
from cachemw.engine.request.key_contents import read_key
from cachemw.engine.request.urls import is_on_a_route, purged_tags
from cachemw.errors import SearchTimedOut, StoreUnavailable
from cachemw.invalidation.purges import Purge
from cachemw.stores.redis.scanner import ScanResult
from cachemw.wiring.core import Core

__all__ = ["PATIENCE", "Inspection", "Preview", "StoredEntry", "Touched"]

PATIENCE = 2.0
"""Seconds to wait for the log, and for one reply of Redis. A person waits for the result."""
_PAUSE = 0.005
"""Seconds between two looks at the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One stored response. Times are in seconds; the size is that of its body, in bytes."""

    url: str
    """The URL as the key has it: with the query as the route reads it. An entry in memory has no such
    key: its URL comes from the tags, without the scheme. Empty where it cannot be read."""
    method: str = "GET"
    route: str = ""
    status: int = 0
    size: int = 0
    age: float = 0.0
    ttl: float = 0.0
    """The rest of its freshness lifetime; negative: for how long it has been stale."""
    tags: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    """Request headers that select it (Vary)."""
    keyed_by: tuple[str, ...] = ()
    """The other parts of its key, besides the URL: names of headers, `cookie`, `identity`, `body`."""
    verdict: Literal["valid", "stale", "purged", "rejected"]
    """`stale`: past its freshness lifetime, or purged softly. `rejected`: a value in Redis that is not a
    valid entry."""
    reason: str = ""
    """Why it is rejected: a reason of `stores.redis.codec`, or `type`."""
    name: str = ""
    """Its key in Redis."""
    lifetime: float | None = None
    """For how long it is fresh in all, if that was learned."""
    changes_every: float | None = None
    """The time between two changes of its content, as they are expected, if that is learned."""

    def carries(self, tags: Iterable[str]) -> bool:
        """Tell whether a purge of one of these normalised tags would touch it."""
        return not frozenset(tags).isdisjoint(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """The entries that a purge would touch in one tier, without those that are purged already."""

    entries: int
    size: int
    """The size of their bodies, in bytes."""
    routes: dict[str, int]
    """The number of entries by route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The entries that a purge would touch."""

    tags: tuple[str, ...] | None
    """The normalised tags that would be purged; None: everything."""
    memory: Touched
    """In this process."""
    redis: Touched | None
    """None where no Redis is configured."""
    complete: bool = True
    """Whether there was time to look at all entries."""


class Inspection:
    """A search through the entries of a cache. It blocks: do not call it in an event loop's thread."""

    def __init__(self, core: Core) -> None:
        self._engine = core.engine
        self._memory = core.memory
        self._log = core.log
        self._clock = core.clock
        self._scanner = core.redis.scanner if core.redis else None

    def memory(
        self, *, tags: Iterable[str] = (), urls: Iterable[str] = (), routes: Iterable[str] = ()
    ) -> Iterator[StoredEntry]:
        """Return the entries in this process: all, or those that a purge with these arguments would touch."""
        wanted = purged_tags(self._engine, tags=tags, urls=urls, routes=routes)
        return _carrying(self._in_memory(), wanted)

    def shared(
        self,
        *,
        tags: Iterable[str] = (),
        urls: Iterable[str] = (),
        routes: Iterable[str] = (),
        patience: float = PATIENCE,
        within: float = math.inf,
    ) -> Iterator[StoredEntry]:
        """Return the entries in Redis: all, or those that a purge with these arguments would touch.

        There are none where no Redis is configured. This process must follow the invalidation log to
        know what is purged, so this waits for the log first. Raises StoreUnavailable, also during the
        iteration, SearchTimedOut after `within` seconds, and the errors of `Cache.purge` for arguments.
        """
        wanted = purged_tags(self._engine, tags=tags, urls=urls, routes=routes)
        self.wait_for_log(patience)
        return _carrying(self._in_redis(patience, time.monotonic() + within), wanted)

    def preview(
        self, purge: Purge, *, within: float | None = None, patience: float = PATIENCE
    ) -> Preview:
        """Count the entries that a purge would touch; stop after `within` seconds."""
        ends = math.inf if within is None else time.monotonic() + within
        memory, whole = _count(_carrying(self._in_memory(), purge.tags or ()), ends)
        if self._scanner is None:
            return Preview(tags=purge.tags, memory=memory, redis=None, complete=whole)
        self.wait_for_log(patience)
        found = self._in_redis(patience, ends)
        redis, all_of_it = _count(_carrying(found, purge.tags or ()), ends)
        return Preview(tags=purge.tags, memory=memory, redis=redis, complete=whole and all_of_it)

    def unrouted(self, urls: Iterable[str]) -> tuple[str, ...]:
        """Return those of the URLs that no route matches, so that no response of them is stored.

        Raises TagError for an invalid URL.
        """
        return tuple(url for url in urls if not is_on_a_route(self._engine, url))

    def by_key(self, key: str) -> StoredEntry | None:
        """Return the entry in Redis with this key, in hexadecimal as in `Explanation.key`, if any.

        Raises the errors of `shared`.
        """
        self.wait_for_log()
        if self._scanner is None:
            return None
        digest = bytes.fromhex(key)
        return next(self._records(self._scanner.by_digest(digest, self._engine.keys.of)), None)

    def wait_for_log(self, patience: float = PATIENCE) -> None:
        """Start to follow the log, and wait until it tells what is purged. Raises StoreUnavailable."""
        self._log.start()
        ends = time.monotonic() + patience
        while not self._log.judges_shared:
            if time.monotonic() >= ends:
                raise StoreUnavailable("the invalidation log in Redis does not answer")
            time.sleep(_PAUSE)

    def _in_redis(self, patience: float, ends: float) -> Iterator[StoredEntry]:
        if self._scanner is None:
            return iter(())
        found = self._scanner.entries(self._engine.keys.of, patience=patience, ends=ends)
        return self._records(found)

    def _records(self, found: Iterator[ScanResult]) -> Iterator[StoredEntry]:
        for scanned in found:
            if scanned.entry is None or scanned.key is None:
                yield _rejected(scanned, scanned.reason)
            elif not isinstance(scanned.entry, VaryMarker):
                yield self._found(scanned, scanned.key, scanned.entry)

    def _found(self, scanned: ScanResult, key: Key, entry: Entry) -> StoredEntry:
        try:
            keyed = read_key(key.full)
        except ValueError:  # the key of another release
            return _rejected(scanned, "key")
        return self._describe(
            entry, url=keyed.url, method=keyed.method, keyed_by=keyed.by, name=scanned.name
        )

    def _in_memory(self) -> Iterator[StoredEntry]:
        now = self._clock.monotonic()
        for entry in self._memory.entries():
            if not isinstance(entry, VaryMarker) and now < entry.dies_at:
                yield self._describe(entry, url=_url_of(entry.tags))

    def _describe(
        self,
        entry: Entry,
        *,
        url: str,
        method: str = "GET",
        keyed_by: tuple[str, ...] = (),
        name: str = "",
    ) -> StoredEntry:
        now = self._clock.monotonic()
        vary = tuple(name.decode("latin-1") for name, _ in entry.vary)
        learned = entry.learned
        return StoredEntry(
            url=url,
            method=method,
            route=entry.route,
            status=entry.status,
            size=len(entry.body),
            age=now - entry.born,
            ttl=entry.fresh_until - now,
            tags=entry.tags,
            vary=vary,
            keyed_by=tuple(each for each in keyed_by if each not in vary),
            verdict=self._verdict(entry, now),
            name=name,
            lifetime=None if learned is None else learned.lifetime,
            changes_every=None if learned is None else learned.seconds / learned.changes,
        )

    def _verdict(self, entry: Entry, now: float) -> Literal["valid", "stale", "purged"]:
        judged = self._engine.floors.judge(entry)
        if judged is Verdict.DEAD:
            return "purged"
        return "stale" if judged is Verdict.STALE or now >= entry.fresh_until else "valid"


def _carrying(found: Iterator[StoredEntry], tags: tuple[str, ...]) -> Iterator[StoredEntry]:
    if not tags:
        return found
    wanted = frozenset(tags)
    return (each for each in found if each.carries(wanted))


def _rejected(scanned: ScanResult, reason: str) -> StoredEntry:
    return StoredEntry(url="", verdict="rejected", reason=reason, name=scanned.name)


def _count(found: Iterator[StoredEntry], ends: float) -> tuple[Touched, bool]:
    """Count the entries that are not purged yet; the second value tells whether all were counted."""
    size, routes, whole = 0, Counter[str](), True
    try:
        for each in found:
            if each.verdict in ("valid", "stale"):
                size += each.size
                routes[each.route] += 1
            if time.monotonic() >= ends:
                raise SearchTimedOut
    except SearchTimedOut:
        whole = False
    return Touched(entries=routes.total(), size=size, routes=dict(routes)), whole


def _url_of(tags: Iterable[str]) -> str:
    """Return the URL in an entry's tags: `//host/path`, or `/path` where no tag has the host."""
    own = [tag[1:] for tag in tags if tag.startswith("@")]
    target = next((tag for tag in own if tag.startswith("/")), "")
    hosts = (tag for tag in own if target and tag.endswith(target) and tag != target)
    here = next(hosts, None)
    return target if here is None else f"//{here}"
