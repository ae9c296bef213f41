"""Counting, exporting and logging what the cache does; the hot path touches only `counters`."""

from cachemw.telemetry.counters import Counters, Outcome
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = ["Counters", "Gauges", "Histogram", "Outcome", "Stats"]
