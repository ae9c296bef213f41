"""Differences found in shadow: by route, the places that differed and how often, without any value."""

from __future__ import annotations

import threading
from collections import Counter

from cachemw.engine.model.differences import Difference

__all__ = ["Mismatches"]

_PLACES = 50
"""Most places kept of one route (I4). Further places are not kept; the known ones are still counted."""


class Mismatches:
    """The differences of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, Counter[str]] = {}

    def add(self, route: str, difference: Difference) -> None:
        """Add one difference."""
        with self._lock:
            places = self._places.setdefault(route, Counter())
            for place in difference.places:
                if place in places or len(places) < _PLACES:
                    places[place] += 1

    def report(self) -> dict[str, dict[str, int]]:
        """Return, by route, the places that differed and how often, the most frequent first."""
        with self._lock:
            return {route: dict(places.most_common()) for route, places in self._places.items()}

    def reset_after_fork(self) -> None:
        """Start empty, with a new lock: a thread that the fork did not copy may have held the old one."""
        self._lock = threading.Lock()
        self._places = {}
