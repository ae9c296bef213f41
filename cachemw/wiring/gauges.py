"""Gauges of one cache, and the statistics of its process."""

from __future__ import annotations

from msgspec.structs import replace

from cachemw.config import MemorySettings
from cachemw.engine.core.engine import Engine
from cachemw.learning.lifetimes import Lifetimes
from cachemw.process.fork import notice_fork
from cachemw.rollout.flags.flags import Flags
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.reporter import Reporter
from cachemw.telemetry.stats import Gauges, Stats
from cachemw.wiring.redis import RedisParts

__all__ = ["StatsReader", "make_gauges"]


def make_gauges(
    config: MemorySettings,
    memory: MemoryTier,
    engine: Engine,
    flags: Flags,
    redis: RedisParts | None,
) -> Gauges:
    """Return what can be read of a cache at any time."""
    return Gauges(
        memory_bytes=lambda: memory.size,
        memory_entries=lambda: len(memory),
        memory_max=lambda: memory.max_size,
        memory_planned=lambda: config.planned_size,
        memory_pressure=lambda: memory.pressure,
        waiters=lambda: engine.flights.waiting,
        flags_revision=lambda: flags.live.revision,
        **(redis.gauges() if redis else {}),
    )


class StatsReader:
    """Reads the statistics of one process: its counters, its gauges, and what it saw in shadow."""

    def __init__(self, reporter: Reporter, gauges: Gauges, lifetimes: Lifetimes) -> None:
        self._reporter = reporter
        self._lifetimes = lifetimes
        self.gauges = gauges

    def read(self) -> Stats:
        """Return the counts since the process started, and the gauges now."""
        notice_fork()
        counted = self._reporter.counters.snapshot(self.gauges)
        return replace(
            counted,
            differences=self._reporter.mismatches.report(),
            forecasts=self._reporter.forecasts.report(),
            learned=self.learned(),
        )

    def learned(self) -> dict[str, dict[str, float]]:
        """Return what is learned of each kind."""
        return {name: kind.figures() for name, kind in self._lifetimes.kinds().items()}
