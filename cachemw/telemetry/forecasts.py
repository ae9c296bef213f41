"""Forecasts: what routes in shadow would do, switched on, as counts by route."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from cachemw.engine.model.outcomes import ForecastName

__all__ = ["Forecasts"]


class Forecasts:
    """The forecasts of one process. Thread-safe."""

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start empty, with a new lock: a thread that the fork did not copy may have held the old one."""
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}

    def add(self, route: str, counts: Iterable[ForecastName]) -> None:
        """Add one to these counts of a route."""
        with self._lock:
            self._counts.setdefault(route, Counter()).update(counts)

    def report(self) -> dict[str, dict[str, int]]:
        """Return the counts by route."""
        with self._lock:
            return {route: dict(counts) for route, counts in self._counts.items()}
