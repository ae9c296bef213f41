"""What a cache has in its own process: the memory tier, told of purges, and the engine over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cachetools

from cachemw.config import Config, MemorySettings
from cachemw.engine.core.engine import Engine, EngineSettings, FloorsPort
from cachemw.engine.core.flights import Flights
from cachemw.engine.core.setup import make_router
from cachemw.engine.model.bypass import watched
from cachemw.engine.model.differences import Difference
from cachemw.engine.model.entry import Entry, Verdict
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.routes import RouteState
from cachemw.engine.model.variants import Variants
from cachemw.invalidation.base import InvalidationLog
from cachemw.process.clock import Clock
from cachemw.process.threads import WorkerPool
from cachemw.stores.memory.interning import intern_pairs
from cachemw.stores.memory.malloc_trim import trim
from cachemw.stores.memory.pressure import Change
from cachemw.stores.memory.shadows import ShadowTier
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.logs import Logs
from cachemw.telemetry.stats import Gauges

__all__ = ["gauges", "make_engine", "make_memory"]

_VARIANT = 2048
_MOST_VARIANTS = 32_768
_MEMO_SHARE, _SMALLEST_MEMO, _LARGEST_MEMO = 8, 1 << 20, 32 << 20


def make_memory(
    config: MemorySettings,
    clock: Clock,
    floors: FloorsPort,
    counters: Counters,
    logs: Logs,
    background: WorkerPool,
) -> MemoryTier:
    """Make the memory tier; what it tells is counted and logged."""

    def is_dead(entry: Entry) -> bool:
        # Most were judged since the last purge, or begun after it: they need no look at their tags.
        if entry.checked == floors.version or entry.position is floors.here():
            return False
        return floors.judge(entry) is Verdict.DEAD

    def tell(change: Change) -> None:
        try:
            _tell(change, counters, logs)
        except Exception:  # it is a request that brought the pressure about (I3)
            logs.failed("telemetry_failed")

    return MemoryTier(
        config.max_size,
        planned_size=config.planned_size,
        clock=clock.monotonic,
        is_dead=is_dead,
        on_evict=lambda count: counters.event("evicted", count=count),
        on_refuse=lambda reason: counters.event("memory_refused", reason),
        on_pressure=tell,
        on_freed=lambda: background.submit(trim),
    )


def _tell(change: Change, counters: Counters, logs: Logs) -> None:
    level = change.level.name.lower()
    if change.over:
        logs.memory_relieved(level, change.size, change.shed, change.seconds)
    else:
        counters.event("memory_pressure", level)
        logs.memory_pressure(level, change.size, change.limit, change.shed)


def make_engine(
    config: Config,
    routes: list[RouteState],
    clock: Clock,
    memory: MemoryTier,
    log: InvalidationLog,
    count: Callable[[str, str], None],
    refused: Callable[[RouteState, str], None],
    shadows: ShadowTier,
    mismatched: Callable[[RouteState, Difference], None],
) -> Engine:
    """Make the engine over a process's memory and its log."""
    digest_secret = config.digest_secret or f"cachemw:{config.namespace}"
    declared = frozenset(name for route in routes for name in route.varies)
    uncacheable = cachetools.TTLCache[bytes, bool](
        config.coalesce.hit_for_miss_size,
        config.coalesce.hit_for_miss,
        timer=clock.monotonic,
    )
    return Engine(
        settings=EngineSettings(
            coalesce_wait=config.coalesce.wait,
            has_shared=config.redis is not None,
            leases=config.redis is not None and config.coalesce.lease > 0,
            x_cache=config.x_cache,
            show_keys=config.show_keys,
            max_tags=config.recording.max_tags,
            tag_fields=frozenset(name.encode("ascii") for name in config.recording.fields),
            keeps_tag_fields=config.recording.keep_fields,
            targets=tuple(name.encode("ascii") for name in config.targeted),
        ),
        routes=routes,
        router=make_router(config),
        keys=KeyMaker(config.namespace, digest_secret.encode()),
        watched=watched(declared, honours=any(route.honours for route in routes)),
        memory=memory,
        floors=log.floors,
        log=log,
        flights=Flights(config.coalesce.max_waiters, config.coalesce.alone),
        uncacheable=uncacheable,
        variants=Variants(_variants_limit(config.memory)),
        memo_bytes=_memo_bytes(config.memory),
        count=count,
        refused=refused,
        intern=intern_pairs,
        shadows=shadows,
        mismatched=mismatched,
    )


def _memo_bytes(config: MemorySettings) -> int:
    """Give the bytes of each of the two generations of the memo of targets: an eighth of the tier's."""
    return min(max(config.max_size // _MEMO_SHARE, _SMALLEST_MEMO), _LARGEST_MEMO)


def _variants_limit(config: MemorySettings) -> int:
    """Give how many variants are counted, over all targets: as many of 2 KiB as there is room for."""
    return min(config.max_size // _VARIANT + 1, _MOST_VARIANTS)


def gauges(
    memory: MemoryTier,
    config: MemorySettings,
    engine: Engine,
    more: Mapping[str, Callable[[], float | None]],
) -> Gauges:
    """Give what is to be read of a cache at any time; `more` by the names of `Gauges`."""
    return Gauges(
        memory_bytes=lambda: memory.size,
        memory_entries=lambda: len(memory),
        memory_max=lambda: memory.max_size,
        memory_planned=lambda: config.planned_size,
        memory_pressure=lambda: memory.pressure,
        waiters=lambda: engine.flights.waiting,
        **more,
    )
