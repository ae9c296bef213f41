"""The `Cache`: what applications and operators use of a cache.

Everything it consists of is made in `cachemw.wiring.core`; front doors work with that `Core`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from cachemw.config import Config, config_from, load_config
from cachemw.extensions.hole_functions import Render
from cachemw.extensions.identity import Identify
from cachemw.introspection.explain import Explanation, explain
from cachemw.introspection.stored_entries import PATIENCE, Inspection, Preview
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.purges import PurgeResult
from cachemw.process.clock import Clock, SystemClock
from cachemw.process.fork import notice_fork
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.manager import Rollout
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.fleet import FleetStats
from cachemw.telemetry.mismatches import Mismatches
from cachemw.telemetry.stats import Stats
from cachemw.wiring.core import Core, build

__all__ = ["Cache", "forget", "living_caches", "on_made"]

_living: weakref.WeakSet[Cache] = weakref.WeakSet()
on_made: list[Callable[[Cache], object]] = []
"""Called with every cache that is made from now on."""


def living_caches() -> list[Cache]:
    """Return the caches of this process that may still be used; for tools of tests."""
    return list(_living)


def forget(cache: Cache) -> None:
    """Leave a cache out of `living_caches`: it is closed for good."""
    _living.discard(cache)


class Cache:
    """One cache: made once per process from a configuration, and handed to front doors.

    Making it opens no connection and starts no thread; both happen with the first request that
    needs them. Raises ConfigError for a configuration that cannot work.
    """

    def __init__(
        self,
        config: Config,
        *,
        identities: Mapping[str, Identify] | None = None,
        holes: Mapping[str, Render] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._core = build(config, identities or {}, holes or {}, clock or SystemClock())
        self._inspection = Inspection(self._core)
        _living.add(self)
        for listener in on_made:
            listener(self)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make a cache from a TOML file; settings in the environment override it."""
        return cls(load_config(path), **options)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], **options: Any) -> Self:
        """Make a cache from a mapping with the keys of the file."""
        return cls(config_from(mapping), **options)

    # -- parts -----------------------------------------------------------------------------------

    @property
    def _here(self) -> Core:
        """The parts, begun anew if this process was forked where Python did not see it."""
        notice_fork()
        return self._core

    @property
    def config(self) -> Config:
        """The configuration that the cache was made from."""
        return self._core.config

    @property
    def memory(self) -> MemoryTier:
        """The memory tier; `memory.clear()` drops what this process has stored."""
        return self._here.memory

    @property
    def log(self) -> InvalidationLog:
        """The invalidation log; `log.live` tells whether this process follows it now."""
        return self._here.log

    @property
    def flags(self) -> Flags:
        """The flags: `flags.set(low="off")`, `flags.kill()`, `flags.states()`."""
        return self._here.flags

    @property
    def rollout(self) -> Rollout:
        """The staged rollout: `rollout.start()`, `rollout.status()`, `rollout.roll_back()`."""
        return self._here.rollout

    @property
    def inspection(self) -> Inspection:
        """The stored entries: `inspection.memory()`, `inspection.shared()`."""
        return self._inspection

    @property
    def mismatches(self) -> Mismatches:
        """Where routes in shadow would have answered wrongly: `mismatches.report()`."""
        return self._here.reporter.mismatches

    # -- purging ---------------------------------------------------------------------------------

    def purge(
        self,
        *,
        tags: Iterable[str] = (),
        urls: Iterable[str] = (),
        routes: Iterable[str] = (),
        everything: bool = False,
        soft: bool = False,
    ) -> PurgeResult:
        """Purge by tag, URL (`/products/1?page=2`, with or without scheme and host), route, or all.

        A tag `product:*` stands for all tags that begin so. What `dependencies` says was built from
        what is purged is purged too. Softly purged entries count as stale: they may be served while
        they are renewed, or on errors.
        Blocks for at most the Redis deadline and `log.confirm_wait`, and for up to a second to connect
        where no request runs and no connection is open; in an event loop use `apurge`.
        Raises TagError for a tag that cannot be one and ValueError for a purge of nothing.
        """
        purger = self._here.purger
        return purger.purge(
            purger.wanted(tags=tags, urls=urls, routes=routes, everything=everything, soft=soft)
        )

    async def apurge(
        self,
        *,
        tags: Iterable[str] = (),
        urls: Iterable[str] = (),
        routes: Iterable[str] = (),
        everything: bool = False,
        soft: bool = False,
    ) -> PurgeResult:
        """Purge as `purge` does, without blocking the event loop."""
        purger = self._here.purger
        return await purger.apurge(
            purger.wanted(tags=tags, urls=urls, routes=routes, everything=everything, soft=soft)
        )

    def preview(
        self,
        *,
        tags: Iterable[str] = (),
        urls: Iterable[str] = (),
        routes: Iterable[str] = (),
        everything: bool = False,
        within: float | None = None,
        patience: float = PATIENCE,
    ) -> Preview:
        """Return what a purge would touch, in Redis and in this process; purge nothing.

        Looks at every entry, for `within` seconds at most, and blocks: in an event loop call it in
        a thread. Raises what `purge` raises, and StoreUnavailable if Redis is away or does not
        answer for `patience` seconds.
        """
        wanted = self._here.purger.wanted(
            tags=tags, urls=urls, routes=routes, everything=everything
        )
        return self._inspection.preview(wanted, within=within, patience=patience)

    # -- looking inside --------------------------------------------------------------------------

    def explain(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        body: bytes = b"",
        mount: str = "",
    ) -> Explanation:
        """Return what would become of a request now, which rule decides and why.

        The application is not called. `url` is a path, or absolute: the host is part of the key,
        and is `localhost` if left out. Looks in the shared store as a request would, and blocks as
        long. Raises ValueError for what is no URL.
        """
        return explain(self._here, method, url, headers, body, mount)

    def stats(self) -> Stats:
        """Return this process's counts since it started, and its gauges now."""
        return self._here.stats.read()

    def fleet_stats(self) -> FleetStats | None:
        """Return the counts of all processes that share this Redis; None without Redis.

        Blocks, for at most the Redis deadline. Raises StoreUnavailable.
        """
        redis = self._here.redis
        return redis.fleet_stats() if redis else None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to follow the log and this machine's files of flags, if this process does not yet."""
        self._here.start()

    def close(self) -> None:
        """Stop the background threads and close connections; can be started again."""
        self._here.close()

    async def aclose(self) -> None:
        """Close as `close` does, from an event loop; wait some seconds for what runs in it."""
        await self._here.aclose()
