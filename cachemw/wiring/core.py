"""The composition root: everything that one cache consists of, made from its configuration.

`build` joins configuration, engine, stores, invalidation log, flags, rollout and telemetry. It
starts no thread and opens no connection: both happen with the first request that needs them.
Front doors, introspection and `cachemw.cache.Cache` share the `Core` that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cachemw.config import Config
from cachemw.engine.core.engine import Engine
from cachemw.engine.core.setup import make_routes
from cachemw.extensions.graphql import resolve_languages
from cachemw.extensions.hole_functions import Render, resolve_holes
from cachemw.extensions.identity import Identify, resolve_identities
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.graph import Graph
from cachemw.invalidation.local import LocalLog
from cachemw.process.clock import Clock
from cachemw.process.development import reloading_server
from cachemw.process.exit import close_at_exit
from cachemw.process.fork import notice_fork, reset_in_children
from cachemw.process.tasks import Tasks
from cachemw.process.threadless import threads_missing
from cachemw.process.threads import WorkerPool
from cachemw.recording.thread_context import carry_into_threads
from cachemw.rollout.flags.files import FlagFiles
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.manager import Rollout
from cachemw.stores.memory.shadows import ShadowTier
from cachemw.stores.memory.tier import SLICE, MemoryTier
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.logs import Logs
from cachemw.telemetry.mismatches import Mismatches
from cachemw.telemetry.otel import instrument
from cachemw.telemetry.reporter import Reporter
from cachemw.wiring.effects import EffectRunner
from cachemw.wiring.engine import make_engine
from cachemw.wiring.flags import make_flag_files, make_flags
from cachemw.wiring.gauges import StatsReader, make_gauges
from cachemw.wiring.memory import make_memory
from cachemw.wiring.purging import Purger
from cachemw.wiring.redis import RedisParts, connect
from cachemw.wiring.rollout import make_rollout
from cachemw.wiring.writes import SharedWriter

__all__ = ["Core", "build"]

_CLOSE_WAIT = 5.0
"""Seconds that closing waits for refreshes, and for an event loop's writes to Redis."""
_MAX_TASKS = 1000
"""Refreshes and writes to Redis at a time in a process's event loops; more are dropped and counted."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, kw_only=True)
class Core:
    """The parts of one cache."""

    config: Config
    clock: Clock
    reporter: Reporter
    """Counts and logs what happens; has the counters and the loggers."""
    workers: WorkerPool
    tasks: Tasks
    log: InvalidationLog
    memory: MemoryTier
    shadows: ShadowTier
    engine: Engine
    redis: RedisParts | None
    effects: EffectRunner
    writer: SharedWriter
    purger: Purger
    flags: Flags
    files: FlagFiles
    """The local file of flags and the mirror of the live ones."""
    stats: StatsReader
    rollout: Rollout
    servers: set[object] = field(default_factory=set)
    """The ASGI lifespans that run in this process; the last one that ends closes the cache."""

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to follow the log and the files of flags in this process; cheap when started."""
        try:
            notice_fork()
            self.files.start()  # before the log, which is to learn what the mirror remembers
            self.log.start()
        except Exception:  # perhaps no thread can be started: the next request tries again (I3)
            self.reporter.logs.failed("start_failed")

    @property
    def asks_for_flags(self) -> bool:
        """Whether Redis has not answered yet what is switched off, and a request may wait for it."""
        return not self.flags.known and self.flags_wait > 0.0

    @property
    def flags_wait(self) -> float:
        """Seconds for which a request may still wait for what Redis says is switched off.

        All requests share one deadline of Redis, which begins when this process begins to ask. Otherwise a
        Redis that hangs would delay every request until the log counts as lost, about a second later.
        """
        settings, redis = self.config.redis, self.redis
        if settings is None or redis is None or redis.log.lost or redis.log.started_at is None:
            return 0.0
        return redis.log.started_at + settings.deadline - self.clock.monotonic()

    def close(self) -> None:
        """Stop the threads and close the connections; can be started again."""
        notice_fork()  # the parent's threads cannot be waited for
        self.workers.close(_CLOSE_WAIT)
        self.log.close()
        self.rollout.close()  # after the log, which starts the rollout's thread
        self.files.close()  # last: the log may have had news for the mirror
        if self.redis:
            self.redis.nodes.close()

    async def aclose(self) -> None:
        """Close as `close` does, from an event loop; wait some seconds for tasks of that loop."""
        await self.aleave()
        self.close()

    async def aleave(self) -> None:
        """Close what belongs to the running event loop; other loops of the process go on."""
        # A write to Redis that is still running would open the connection again.
        await self.tasks.drain(_CLOSE_WAIT)
        if self.redis:
            await self.redis.nodes.aclose()

    def reset_after_fork(self) -> None:
        """Drop what came from the parent process: its locks, threads, connections and counts."""
        for part in (
            self.reporter.counters,
            self.reporter.logs,
            self.memory,
            self.shadows,
            self.reporter.mismatches,
            self.reporter.forecasts,
            self.engine,
            self.flags,
            self.rollout,
            self.files,
            self.workers,
            self.tasks,
            self.log,
        ):
            part.reset_after_fork()
        self.servers.clear()
        if self.redis:
            self.redis.reset_after_fork()

    def published_stats(self) -> bytes:
        """Return what the log's thread publishes once a second.

        The same tick frees the memory of entries that other processes have purged.
        """
        if self.memory.prune(self.clock.monotonic()) > SLICE // 2:
            self.workers.submit(self.memory.tidy)
        return self.stats.read().encode()


def build(
    config: Config,
    identities: Mapping[str, Identify],
    holes: Mapping[str, Render],
    clock: Clock,
) -> Core:
    """Make the parts of a cache. Raises ConfigError for a configuration that cannot work."""
    reporter = _make_reporter(config, clock)
    config = _off_in_development(config, reporter)
    routes = make_routes(config, resolve_identities(config, identities), resolve_languages(config))
    if config.recording.threads:
        carry_into_threads()
    workers, tasks = WorkerPool(config.refresh_workers), Tasks(_MAX_TASKS)
    redis = connect(config, clock, reporter) if config.redis else None
    log: InvalidationLog = redis.log if redis else LocalLog(config.log.floors, clock.time)
    memory = make_memory(config.memory, clock, log.floors, reporter, workers)
    shadows = ShadowTier(config.memory.shadow_size)
    engine = make_engine(
        config, routes, clock, memory=memory, shadows=shadows, log=log, reporter=reporter
    )
    engine.fills = resolve_holes(config, holes)
    effects = _make_effects(clock, log, redis)
    flags = make_flags(config, routes, engine, redis, reporter.logs.plan_incomplete)
    stats = StatsReader(reporter, make_gauges(config.memory, memory, engine, flags, redis))
    core = Core(
        config=config,
        clock=clock,
        reporter=reporter,
        workers=workers,
        tasks=tasks,
        log=log,
        memory=memory,
        shadows=shadows,
        engine=engine,
        redis=redis,
        effects=effects,
        writer=SharedWriter(effects, workers, tasks, reporter),
        purger=Purger(engine, Graph(config.dependencies), log, memory, workers, reporter),
        flags=flags,
        files=make_flag_files(config, clock, flags, reporter, redis),
        stats=stats,
        rollout=make_rollout(config, clock, flags, log, reporter.logs, redis, stats.read),
    )
    _attach(core)
    return core


def _off_in_development(config: Config, reporter: Reporter) -> Config:
    """Return the configuration, with the cache off where a server reloads what is edited."""
    server = None if config.kill or config.cache_in_development else reloading_server()
    if server is None:
        return config
    reporter.logs.off_in_development(f"{server} reloads")
    return replace(config, kill=True)


def _make_reporter(config: Config, clock: Clock) -> Reporter:
    counters = Counters([route.name for route in config.routes])
    logs = Logs(
        request_lines_per_second=config.log_rate,
        on_drop=lambda: counters.event("log_lines_dropped"),
    )
    return Reporter(counters, logs, Mismatches(), clock, config)


def _make_effects(clock: Clock, log: InvalidationLog, redis: RedisParts | None) -> EffectRunner:
    return EffectRunner(clock, log, redis.tier, redis.leases) if redis else EffectRunner(clock, log)


def _warn_of_unknown_flags(core: Core) -> None:
    if not core.flags.known:
        core.reporter.logs.flags_unknown()


def _attach(core: Core) -> None:
    """Connect the parts to the log, to OpenTelemetry and to the process."""
    if core.redis:
        core.redis.attach(core.flags, core.published_stats)
        core.redis.hooks.unreached = lambda: _warn_of_unknown_flags(core)
        core.redis.hooks.widen = core.engine.row_tags.widen
        core.redis.hooks.late = core.reporter.logs.log_late
    templates = {route.name: route.path for route in core.config.routes}
    instrument(core.reporter.counters, core.stats.gauges, templates=templates)
    if missing := threads_missing():
        core.reporter.logs.threads_missing(*missing)
    reset_in_children(core)
    close_at_exit(core.log)  # purges of others would wait for a process that has ended
