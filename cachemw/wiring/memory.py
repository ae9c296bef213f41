"""The memory tier of one cache, made from its configuration."""

from __future__ import annotations

from cachemw.config import MemorySettings
from cachemw.engine.model.entry import Item, Verdict
from cachemw.invalidation.floors import Floors
from cachemw.process.clock import Clock
from cachemw.process.memory_limit import limit_of_container, limit_of_process
from cachemw.process.threads import WorkerPool
from cachemw.stores.memory.malloc_trim import trim
from cachemw.stores.memory.pressure import PressureChange
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.reporter import Reporter

__all__ = ["make_memory"]


def make_memory(
    config: MemorySettings,
    clock: Clock,
    floors: Floors,
    reporter: Reporter,
    workers: WorkerPool,
) -> MemoryTier:
    """Make the memory tier. Its evictions, refusals and pressure are counted and logged."""

    def is_dead(entry: Item) -> bool:
        # Most entries were judged since the last purge, or are newer: their tags need no look.
        if entry.checked == floors.version or entry.position is floors.current_position():
            return False
        return floors.judge(entry) is Verdict.DEAD

    def on_pressure(change: PressureChange) -> None:
        try:
            _report(change, reporter)
        except Exception:  # a request caused the change, and must not fail for it (I3)
            reporter.logs.failed("telemetry_failed")

    limit = limit_of_process(config.process_limit) if config.process_limit else limit_of_container()
    return MemoryTier(
        config.max_size,
        limit=limit,
        clock=clock.monotonic,
        is_dead=is_dead,
        on_evict=lambda count: reporter.counters.event("evicted", count=count),
        on_refuse=lambda reason: reporter.count("memory_refused", reason),
        on_pressure=on_pressure,
        on_freed=lambda: workers.submit(trim),
    )


def _report(change: PressureChange, reporter: Reporter) -> None:
    level = change.level.name.lower()
    if change.over:
        reporter.logs.memory_relieved(level, change.used, change.shed, change.seconds)
    else:
        reporter.count("memory_pressure", level)
        reporter.logs.memory_pressure(level, change.used, change.limit, change.shed)
