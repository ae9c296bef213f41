"""The memory tier of one cache, made from its configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cachemw.config import Config, MemorySettings
from cachemw.engine.model.entry import Item, Verdict
from cachemw.invalidation.floors import Floors
from cachemw.learning.lifetimes import Lifetimes
from cachemw.process.clock import Clock
from cachemw.process.memory_limit import limit_of_container, limit_of_process
from cachemw.process.threads import WorkerPool
from cachemw.process.workers import number_of_workers
from cachemw.stores.memory.malloc_trim import trim
from cachemw.stores.memory.pressure import PressureChange
from cachemw.stores.memory.shadows import ShadowTier
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.reporter import Reporter

__all__ = ["Held", "hold", "max_size"]

_LARGEST: Final = 256 << 20
_SMALLEST: Final = 4 << 20
"""Bytes of a tier whose size the configuration leaves out."""
_MOST_GUESSED: Final = 8
"""Workers that are taken for granted at most. In a container, Python may see all CPUs of the host."""
_PART: Final = 2
"""All tiers together take at most half of the memory limit. The application needs the rest."""


def max_size(config: MemorySettings) -> int:
    """Return the maximum bytes of entries in each process.

    If the configuration leaves it out, it is 256 MiB, or less where a memory limit has not the room: half of
    `process_limit`, or half of the container's limit divided by the number of workers. If that number is
    written nowhere, it is taken to be that of the CPUs, at most eight. A planned size always has room.
    """
    if config.max_size is not None:
        return config.max_size
    room = _LARGEST
    if config.process_limit is not None:
        room = config.process_limit // _PART
    elif (limit := limit_of_container()) is not None:
        room = limit.size // _PART // (number_of_workers() or _guessed_workers())
    return max(min(room, _LARGEST), _SMALLEST, config.planned_size or 0)


def _guessed_workers() -> int:
    return min(_MOST_GUESSED, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Held:
    """The parts that hold responses, and what is learned of them, in the memory of one process."""

    memory: MemoryTier
    shadows: ShadowTier
    lifetimes: Lifetimes


def hold(
    config: Config, clock: Clock, floors: Floors, reporter: Reporter, workers: WorkerPool
) -> Held:
    """Make what a process holds in memory."""
    return Held(
        _make_memory(config.memory, clock, floors, reporter, workers),
        ShadowTier(config.memory.shadow_size),
        Lifetimes(config.memory.learned_keys, applies=config.learning == "on"),
    )


def _make_memory(
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
        max_size(config),
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
