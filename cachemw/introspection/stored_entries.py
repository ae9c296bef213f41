"""What is stored, for people to look at: one record for each answer, in Redis and in this process.

Identities, cookies and bodies are digests in keys, and no record tells more of them. Entries that
hold no answer, and only say which request fields select one, are left out.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from cachemw.engine.model.entry import Entry, Key, VaryMarker, Verdict
from cachemw.engine.request.keying import read_key
from cachemw.engine.request.urls import purged_tags
from cachemw.errors import SearchTimedOut, StoreUnavailable
from cachemw.invalidation.purges import Purge
from cachemw.stores.redis.scanner import ScanResult
from cachemw.wiring.core import Core

__all__ = ["PATIENCE", "Inspection", "Preview", "StoredEntry", "Touched"]

PATIENCE = 2.0
"""Seconds that the log has to be heard from, and that one reply of Redis may take: a person waits."""
_PAUSE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One stored answer. Times are seconds, sizes bytes of its body."""

    url: str
    """As the key has it: with the query as the route reads it. In memory what the tags say of it,
    which is neither the scheme nor the spelling; empty for what cannot be read."""
    method: str = "GET"
    route: str = ""
    status: int = 0
    size: int = 0
    age: float = 0.0
    ttl: float = 0.0
    """What is left of its freshness; negative: stale for so long."""
    tags: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    """Request fields that select it (Vary)."""
    keyed_by: tuple[str, ...] = ()
    """What else tells it apart from others of its URL: names of fields, `cookie`, `identity`, `body`."""
    verdict: Literal["valid", "stale", "purged", "rejected"]
    """`stale`: over its lifetime, or purged softly. `rejected`: no entry that would be believed."""
    reason: str = ""
    """Why it is rejected: a word of `stores.codec.REASONS`, or `type`."""
    name: str = ""
    """What it is called in Redis."""

    def carries(self, tags: Iterable[str]) -> bool:
        """Say whether a purge of one of these tags, in their one spelling, would touch it."""
        return not frozenset(tags).isdisjoint(self.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a purge would touch in one tier, without what is purged already."""

    entries: int
    size: int
    """Bytes of their bodies."""
    routes: dict[str, int]
    """Entries by route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a purge would touch."""

    tags: tuple[str, ...] | None
    """The tags that would be purged, in their one spelling; None: everything."""
    memory: Touched
    """In this process."""
    redis: Touched | None
    """None: there is no Redis."""
    complete: bool = True
    """Whether all was looked at in the time given."""


class Inspection:
    """Looks through the entries of a cache. Blocks: never from an event loop's thread."""

    def __init__(self, core: Core) -> None:
        self._engine = core.engine
        self._memory = core.memory
        self._log = core.log
        self._clock = core.clock
        self._scanner = core.redis.scanner if core.redis else None

    def memory(
        self, *, tags: Iterable[str] = (), urls: Iterable[str] = (), routes: Iterable[str] = ()
    ) -> Iterator[StoredEntry]:
        """Give this process's entries; all, or those that a purge by the same words would touch."""
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
        """Give the entries in Redis; all, or those that a purge by the same words would touch.

        None where there is no Redis. Follows the log first, if this process does not, for without
        it nobody knows what is purged. Raises StoreUnavailable, also while going on, SearchTimedOut
        after `within` seconds, and for a wrong word what `Cache.purge` raises.
        """
        wanted = purged_tags(self._engine, tags=tags, urls=urls, routes=routes)
        self.hear(patience)
        return _carrying(self._in_redis(patience, time.monotonic() + within), wanted)

    def preview(
        self, purge: Purge, *, within: float | None = None, patience: float = PATIENCE
    ) -> Preview:
        """Count what a purge would touch; stop looking after `within` seconds."""
        ends = math.inf if within is None else time.monotonic() + within
        memory, whole = _count(_carrying(self._in_memory(), purge.tags or ()), ends)
        if self._scanner is None:
            return Preview(tags=purge.tags, memory=memory, redis=None, complete=whole)
        self.hear(patience)
        found = self._in_redis(patience, ends)
        redis, all_of_it = _count(_carrying(found, purge.tags or ()), ends)
        return Preview(tags=purge.tags, memory=memory, redis=redis, complete=whole and all_of_it)

    def under(self, key: str) -> StoredEntry | None:
        """Give what Redis has under a key, as `Explanation` and `show_keys` tell it, if anything.

        Raises as `shared` does.
        """
        self.hear()
        if self._scanner is None:
            return None
        digest = bytes.fromhex(key)
        return next(self._records(self._scanner.by_digest(digest, self._engine.keys.of)), None)

    def hear(self, patience: float = PATIENCE) -> None:
        """Follow the log, and wait until it has said what is purged; raises StoreUnavailable."""
        self._log.start()
        ends = time.monotonic() + patience
        while not self._log.judges_shared:
            if time.monotonic() >= ends:
                raise StoreUnavailable("the log of purges is not heard")
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
        except ValueError:  # of a release that makes other keys
            return _rejected(scanned, "key")
        return self._told(
            entry, url=keyed.url, method=keyed.method, keyed_by=keyed.by, name=scanned.name
        )

    def _in_memory(self) -> Iterator[StoredEntry]:
        now = self._clock.monotonic()
        for entry in self._memory.entries():
            if not isinstance(entry, VaryMarker) and now < entry.dies_at:
                yield self._told(entry, url=_url_of(entry.tags))

    def _told(
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
    """Count what is not purged yet, and say whether that is all."""
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
    """Give the URL that an entry's own tags name: `//host/path`, or `/path` where the host is not told."""
    own = [tag[1:] for tag in tags if tag.startswith("@")]
    target = next((tag for tag in own if tag.startswith("/")), "")
    hosts = (tag for tag in own if target and tag.endswith(target) and tag != target)
    here = next(hosts, None)
    return target if here is None else f"//{here}"
