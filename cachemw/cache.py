"""The composition root: a Cache joins configuration, engine, stores, log, flags and telemetry."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from msgspec.structs import replace

from cachemw.config import Config, config_from, load_config
from cachemw.engine.core.drivers import arun, run
from cachemw.engine.core.effects import Lease, SharedWrite, save
from cachemw.engine.core.setup import make_routes
from cachemw.engine.lookup.leasing import leads_refresh
from cachemw.engine.request.decisions import Fetch
from cachemw.engine.request.urls import purged_tags
from cachemw.extensions.graphql import resolve_languages
from cachemw.extensions.identity import Identify, resolve_identities
from cachemw.frontdoor.purge_endpoint import endpoint_of
from cachemw.introspection.explain import Explanation, explain
from cachemw.introspection.stored_entries import PATIENCE, Inspection, Preview
from cachemw.invalidation.base import InvalidationLog, LocalLog
from cachemw.invalidation.graph import Graph
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.process.clock import Clock, SystemClock
from cachemw.process.exit import close_at_exit
from cachemw.process.fork import reset_in_children
from cachemw.process.threads import Tasks, WorkerPool
from cachemw.recording.context import carry_into_threads
from cachemw.rollout.flags.files import make_flag_files
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags
from cachemw.stores.memory.shadows import ShadowTier
from cachemw.stores.memory.tier import SLICE
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.fleet import FleetStats
from cachemw.telemetry.logs import Logs, set_level
from cachemw.telemetry.mismatches import Mismatches
from cachemw.telemetry.otel import instrument
from cachemw.telemetry.reporter import Reporter
from cachemw.telemetry.stats import Stats
from cachemw.wiring.effects import EffectRunner
from cachemw.wiring.memory import gauges, make_engine, make_memory
from cachemw.wiring.redis import connect
from cachemw.wiring.rollout import make_rollout

__all__ = ["Cache"]

_CHANGE_WAIT = 0.02
"""Seconds that an unsafe request's answer waits for other processes to hear of what it changed."""
_CLOSE_WAIT = 5.0
"""Seconds that closing waits for refreshes, and for an event loop's writes to Redis."""
_MAX_TASKS = 1000
"""Refreshes and writes to Redis under way in a process's event loops; more are dropped and counted."""


class Cache:
    """One cache: made once per process from a configuration, handed to front doors.

    Making it opens no connection and starts no thread; both happen with the first request that
    needs them. Raises ConfigError for a configuration that cannot work.
    """

    def __init__(
        self,
        config: Config,
        *,
        identities: Mapping[str, Identify] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.counters = Counters([route.name for route in config.routes])
        self.logs = Logs(
            request_lines_per_second=config.log_rate,
            on_drop=lambda: self.counters.event("log_lines_dropped"),
        )
        self.mismatches = Mismatches()
        """What routes in shadow would have got wrong."""
        telling = Reporter(self.counters, self.logs, self.mismatches, self.clock, config)
        self.count, self.finish, self.finish_hit = telling.count, telling.finish, telling.finish_hit
        routes = make_routes(
            config, resolve_identities(config, identities or {}), resolve_languages(config)
        )
        self.endpoint = endpoint_of(config.endpoint)
        self._graph = Graph(config.dependencies)
        if config.recording.threads:
            carry_into_threads()
        self.background = WorkerPool(config.refresh_workers)
        self._shared = connect(config, self.clock, self.count, self.logs) if config.redis else None
        self.log: InvalidationLog = (
            self._shared.log if self._shared else LocalLog(config.log.floors, self.clock.time)
        )
        self.memory = make_memory(
            config.memory, self.clock, self.log.floors, self.counters, self.logs, self.background
        )
        self._shadows = ShadowTier(config.memory.shadow_size)
        self.engine = make_engine(
            config,
            routes,
            self.clock,
            self.memory,
            self.log,
            self.count,
            telling.refused,
            self._shadows,
            telling.mismatched,
        )
        self.inspection = Inspection(
            engine=self.engine,
            memory=self.memory,
            log=self.log,
            clock=self.clock,
            scanner=self._shared.scanner if self._shared else None,
        )
        self.flags = Flags(
            routes,
            ConfiguredFlags(
                classes=config.flags,
                routes=config.route_flags,
                kill=config.kill,
                holdout=config.holdout,
                levels=config.log_levels,
            ),
            set_holdout=self._hold_out,
            set_level=set_level,
            exchange=self._shared.log.flags.exchange if self._shared else None,
        )
        self.rollout = make_rollout(
            config, self.clock, self.flags, self.log, self.logs, self._shared, self.stats
        )
        self._files = make_flag_files(
            config,
            self.flags,
            refused=self.logs.flags_file_refused,
            count=self.count,
            failed=self.logs.failed,
        )
        self.performer = (
            EffectRunner(self.clock, self.log, self._shared.tier, self._shared.leases)
            if self._shared
            else EffectRunner(self.clock, self.log)
        )
        self.tasks = Tasks(_MAX_TASKS)
        self.servers: set[object] = set()
        """The lifespans under way in this process: the last one that ends closes the cache."""
        if self._shared:
            self._shared.attach(self.flags, self._stats_bytes)
        templates = {route.name: route.path for route in config.routes}
        more: dict[str, Callable[[], float | None]] = {
            "flags_revision": lambda: self.flags.live.revision,
            **(self._shared.gauges() if self._shared else {}),
        }
        self._gauges = gauges(self.memory, config.memory, self.engine, more)
        instrument(self.counters, self._gauges, templates=templates)
        reset_in_children(self)
        close_at_exit(self.log)  # purges would wait for a process that is gone

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make a cache from a TOML file; the environment's settings are laid over it."""
        return cls(load_config(path), **options)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], **options: Any) -> Self:
        """Make a cache from a mapping with the keys of the file."""
        return cls(config_from(mapping), **options)

    def _hold_out(self, share: float) -> None:
        self.engine.holdout = share

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

        A tag `product:*` stands for all that begin so; what `dependencies` says was built from what
        is purged goes with it.
        Softly purged entries count as stale: they may serve while they are renewed, or on errors.
        Blocks for at most the Redis deadline and `log.confirm_wait`; in an event loop use `apurge`.
        Raises TagError for a tag that cannot be one and ValueError for a purge of nothing.
        """
        wanted = self._purge(tags, urls, routes, everything, soft)
        self.count("purge", "everything" if everything else "tags")
        result = self.log.purge(wanted)
        if everything:  # dead already, but it takes room
            self.background.submit(self.memory.tidy)
        return result

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
        wanted = self._purge(tags, urls, routes, everything, soft)
        self.count("purge", "everything" if everything else "tags")
        result = await self.log.apurge(wanted)
        if everything:  # dead already, but it takes room
            self.background.submit(self.memory.tidy)
        return result

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
        """Say what a purge would touch, in Redis and in this process, and purge nothing.

        Looks at every entry there is, for `within` seconds at most, and blocks: in an event loop
        call it in a thread. Raises what `purge` raises, and StoreUnavailable where Redis is away
        or does not answer for `patience` seconds.
        """
        wanted = self._purge(tags, urls, routes, everything, soft=False)
        return self.inspection.preview(wanted, within=within, patience=patience)

    def invalidate(self, tags: tuple[str, ...]) -> None:
        """Purge what an unsafe request changed, before its answer goes out; waits for a moment only."""
        self.count("purge", "change")
        try:
            self.log.purge(self._changed(tags))
        except Exception:
            self.logs.failed("invalidate_failed")

    async def ainvalidate(self, tags: tuple[str, ...]) -> None:
        """Purge as `invalidate` does, without blocking the event loop."""
        self.count("purge", "change")
        try:
            await self.log.apurge(self._changed(tags))
        except Exception:
            self.logs.failed("invalidate_failed")
        except BaseException:  # cancelled on its way: nobody can say whether it arrived
            if not self.background.submit(lambda: self.log.purge(self._changed(tags))):
                self.invalidate(tags)
            raise

    def _changed(self, tags: tuple[str, ...]) -> Purge:
        return Purge(tags=self._graph.expand(tags), patience=_CHANGE_WAIT)

    def _purge(
        self,
        tags: Iterable[str],
        urls: Iterable[str],
        routes: Iterable[str],
        everything: bool,
        soft: bool,
    ) -> Purge:
        wanted = purged_tags(self.engine, tags=tags, urls=urls, routes=routes)
        if not wanted and not everything:
            raise ValueError("name at least one tag, URL or route, or say everything=True")
        return Purge(tags=None if everything else self._graph.expand(wanted), soft=soft)

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
        """Say what would become of a request now, which rule decides and why; asks no application.

        `url` is a path, or absolute: the host is part of the key, and `localhost` where it is left
        out. Looks in the shared store as a request would, and blocks as long. Raises ValueError for
        what is no URL.
        """
        now = self.clock.monotonic()
        return explain(self.engine, self.performer.perform, now, method, url, headers, body, mount)

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow the log, and this machine's files, in this process, if that has not begun."""
        try:
            self._files.start()  # first: the log is to be told of what the mirror remembers
            self.log.start()
        except Exception:  # no thread to be had, perhaps: the next request tries again
            self.logs.failed("start_failed")

    def close(self) -> None:
        """Stop the follower and the background threads, and close connections; can start again."""
        self.background.close(_CLOSE_WAIT)
        self.log.close()
        self.rollout.close()  # now that the log does not ask for its thread any more
        self._files.close()  # last: the log may have had news for the mirror
        if self._shared:
            self._shared.nodes.close()

    async def aclose(self) -> None:
        """Close as `close` does, from an event loop; what runs in it may end, for some seconds."""
        await self.aleave()
        self.close()

    async def aleave(self) -> None:
        """Close what belongs to the running event loop: others of this process may go on."""
        # A write to Redis that is under way would open the connection again behind our back.
        await self.tasks.drain(_CLOSE_WAIT)
        if self._shared:
            await self._shared.nodes.aclose()

    def reset_after_fork(self) -> None:
        """Begin anew in a child process: no lock, thread, connection or count of the parent's."""
        self.counters.reset_after_fork()
        self.logs.reset_after_fork()
        self.memory.reset_after_fork()
        self._shadows.reset_after_fork()
        self.mismatches.reset_after_fork()
        self.engine.reset_after_fork()
        self.flags.reset_after_fork()
        self.rollout.reset_after_fork()
        self._files.reset_after_fork()
        self.background.reset_after_fork()
        self.tasks.reset_after_fork()
        self.servers.clear()
        self.log.reset_after_fork()
        if self._shared:
            self._shared.nodes.reset_after_fork()
            self._shared.leases.reset_after_fork()
            self._shared.published_at = 0.0

    # -- statistics -------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Give this process's counts since it started, and its gauges now."""
        counted = self.counters.snapshot(self._gauges)
        return replace(counted, differences=self.mismatches.report())

    def fleet_stats(self) -> FleetStats | None:
        """Give what the processes of the fleet have counted; None where there is no Redis.

        Blocks, for at most the Redis deadline. Raises StoreUnavailable.
        """
        return self._shared.fleet_stats() if self._shared else None

    def _stats_bytes(self) -> bytes:
        # Once a second, in the log's thread: the place to see how much others have purged.
        if self.memory.prune(self.clock.monotonic()) > SLICE // 2:
            self.background.submit(self.memory.tidy)
        return self.stats().encode()

    # -- what front doors do beside a request -------------------------------------------------------

    def leads_refresh(self, fetch: Fetch) -> bool:
        """Say whether this process is to renew a stale answer, and not another one; in a thread."""
        leads = False
        try:
            leads = run(leads_refresh(self.engine, fetch), self.performer.perform)
        finally:
            if not leads:
                fetch.abandon()
        return leads

    async def aleads_refresh(self, fetch: Fetch) -> bool:
        """Say whether this process is to renew a stale answer, and not another one; in an event loop."""
        leads = False
        try:
            leads = await arun(leads_refresh(self.engine, fetch), self.performer.aperform)
        finally:
            if not leads:
                fetch.abandon()
        return leads

    def settle(self, lease: Lease, *, uncacheable: bool) -> None:
        """Settle a lease for which nothing was kept: soon, and in the background."""
        stored = SharedWrite((), "", lease, uncacheable)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            taken = self.background.submit(lambda: self.save(stored))
        else:
            taken = self.tasks.spawn(self.asave(stored))
        lease.dropped = not taken

    def save(self, stored: SharedWrite) -> None:
        """Write what was kept to the shared store, in a thread; call it after the response."""
        if self._shared:
            try:
                run(save(stored), self.performer.perform)
            except Exception:  # the response is out: nobody is left who could be told
                self.logs.failed("save_failed")

    async def asave(self, stored: SharedWrite) -> None:
        """Write what was kept to the shared store, in an event loop; call it after the response."""
        if self._shared:
            try:
                await arun(save(stored), self.performer.aperform)
            except Exception:
                self.logs.failed("save_failed")
