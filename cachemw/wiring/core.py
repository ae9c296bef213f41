"""The composition root: everything that one cache consists of, made from its configuration.

`build` joins configuration, engine, stores, invalidation log, flags, rollout and telemetry. It
starts no thread and opens no connection: both happen with the first request that needs them.
Front doors, introspection and `cachemw.cache.Cache` share the `Core` that it returns.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cachemw.config import Config
from cachemw.connections.nodes import Nodes
from cachemw.connections.request_budget import note_wait
from cachemw.engine.core.engine import Engine
from cachemw.engine.core.setup import make_routes
from cachemw.extensions.graphql import resolve_languages
from cachemw.extensions.hole_functions import Render, resolve_holes
from cachemw.extensions.identity import Identify, resolve_identities
from cachemw.invalidation.base import InvalidationLog
from cachemw.invalidation.graph import Graph
from cachemw.invalidation.local import LocalLog
from cachemw.learning.lifetimes import Lifetimes
from cachemw.process.clock import Clock
from cachemw.process.development import reloading_server
from cachemw.process.exit import CLOSE_WAIT, close_all, close_at_exit
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
from cachemw.telemetry.otel import Instrumentation, instrument
from cachemw.telemetry.reporter import Reporter
from cachemw.wiring.effects import EffectRunner
from cachemw.wiring.engine import make_engine
from cachemw.wiring.flags import make_flag_files, make_flags
from cachemw.wiring.gauges import StatsReader, make_gauges
from cachemw.wiring.memory import hold
from cachemw.wiring.purging import Purger
from cachemw.wiring.redis import RedisParts, connect
from cachemw.wiring.rollout import make_rollout
from cachemw.wiring.writes import SharedWriter

__all__ = ["Core", "build"]

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
    lifetimes: Lifetimes
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

    def note_flags_wait(self, began: float) -> None:
        """Note that a request has waited for the live flags, since a time on the monotonic clock."""
        if not self.flags.known:
            note_wait(began)

    def close(self) -> None:
        """Stop the threads and close the connections, within `CLOSE_WAIT`; can be started again."""
        self._close(CLOSE_WAIT)

    def _close(self, wait: float) -> None:
        notice_fork()  # the parent's threads cannot be waited for
        # The rollout comes after the log, which starts its thread; and the files come after the log, which
        # may have had news for the mirror.
        close_all([[self.workers, self.log], [self.rollout, self.files]], wait)
        if self.redis:
            self.redis.nodes.close()

    async def aclose(self) -> None:
        """Close as `close` does, without blocking the running event loop."""
        until = time.monotonic() + CLOSE_WAIT
        await self.aleave()
        try:
            await asyncio.to_thread(self._close, until - time.monotonic())
        except RuntimeError:  # Python is shutting down: no thread can be started
            self._close(until - time.monotonic())

    async def aleave(self) -> None:
        """Close what belongs to the running event loop; other loops of the process go on.

        Refreshes are cancelled. Writes to Redis are waited for, at most for `CLOSE_WAIT`.
        """
        # A write that is still running would open the connection again.
        await self.tasks.end(CLOSE_WAIT)
        if self.redis:
            await self.redis.nodes.aclose()

    def reset_after_fork(self) -> None:
        """Drop what came from the parent process: its locks, threads, connections and counts."""
        for part in (
            self.reporter.counters,
            self.reporter.logs,
            self.memory,
            self.shadows,
            self.lifetimes,
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
    held = hold(config, clock, log.floors, reporter, workers)
    engine = make_engine(config, routes, clock, held=held, log=log, reporter=reporter)
    engine.fills = resolve_holes(config, holes)
    effects = _make_effects(clock, log, redis)
    flags = make_flags(config, routes, engine, redis, reporter.logs.plan_incomplete)
    gauges = make_gauges(config.memory, held.memory, engine, flags, redis)
    stats = StatsReader(reporter, gauges, held.lifetimes)
    core = Core(
        config=config,
        clock=clock,
        reporter=reporter,
        workers=workers,
        tasks=tasks,
        log=log,
        memory=held.memory,
        shadows=held.shadows,
        lifetimes=held.lifetimes,
        engine=engine,
        redis=redis,
        effects=effects,
        writer=SharedWriter(effects, workers, tasks, reporter),
        purger=Purger(engine, Graph(config.dependencies), log, held.memory, workers, reporter),
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
    if redis is None:
        return EffectRunner(clock, log)
    return EffectRunner(clock, log, redis.tier, redis.leases, redis=redis.nodes.config)


def _attach(core: Core) -> None:
    """Connect the parts to the log, to OpenTelemetry and to the process.

    Nothing that a thread or OpenTelemetry refers to may refer to the `Core` itself: it is what front doors
    and the `Cache` have, so when nobody has it any more, the cache is not used any more, and ends.
    """
    if core.redis:
        core.redis.attach(core.flags, _published_stats(core))
        learning = (route.learning for route in core.engine.routes if route.learning is not None)
        core.redis.exchange_learned(core.lifetimes, {bounds.kind for bounds in learning})
        core.redis.hooks.unreached = _warning_of_unknown_flags(core.flags, core.reporter)
        core.redis.hooks.widen = core.engine.row_tags.widen
        core.redis.hooks.late = core.reporter.logs.log_late
    templates = {route.name: route.path for route in core.config.routes}
    exported = instrument(
        core.reporter.counters,
        core.stats.gauges,
        templates=templates,
        learned=core.stats.learned,
    )
    if missing := threads_missing():
        core.reporter.logs.threads_missing(*missing)
    reset_in_children(core)
    close_at_exit(core.log, core.rollout, last=core.files)
    nodes = core.redis.nodes if core.redis else None
    ends = weakref.finalize(core, _drop, core.log, core.rollout, core.files, nodes, exported)
    ends.atexit = False  # `close_at_exit` waits for the threads


def _drop(
    log: InvalidationLog,
    rollout: Rollout,
    files: FlagFiles,
    nodes: Nodes | None,
    exported: Instrumentation,
) -> None:
    """End a cache that nobody uses any more. The threads do the rest: nothing here may wait.

    This runs in any thread, where garbage is collected: whoever was interrupted may hold any lock.
    """
    log.stop()
    rollout.stop()
    files.stop()
    exported.close()
    if nodes is not None:
        nodes.retire()


def _published_stats(core: Core) -> Callable[[], bytes]:
    """Return the function whose result the log's thread publishes once a second.

    It also frees the memory of entries that other processes have purged.
    """
    memory, clock, workers, stats = core.memory, core.clock, core.workers, core.stats

    def publish() -> bytes:
        if memory.prune(clock.monotonic()) > SLICE // 2:
            workers.submit(memory.tidy)
        return stats.read().encode()

    return publish


def _warning_of_unknown_flags(flags: Flags, reporter: Reporter) -> Callable[[], None]:
    def warn() -> None:
        if not flags.known:
            reporter.logs.flags_unknown()

    return warn
