"""What routes in shadow would have got wrong, by route: how often, and where, without a value."""

from __future__ import annotations

import threading
from collections import Counter

from cachemw.engine.model.differences import Difference

__all__ = ["Mismatches"]

_PLACES = 50
"""Places kept of each route; what comes then is counted under what is there already, or not told."""


class Mismatches:
    """The differences of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, Counter[str]] = {}

    def add(self, route: str, difference: Difference) -> None:
        """Take one difference."""
        with self._lock:
            places = self._places.setdefault(route, Counter())
            for place in difference.places:
                if place in places or len(places) < _PLACES:
                    places[place] += 1

    def report(self) -> dict[str, dict[str, int]]:
        """Give, by route, where answers differed and how often, the most frequent first."""
        with self._lock:
            return {route: dict(places.most_common()) for route, places in self._places.items()}

    def reset_after_fork(self) -> None:
        """Begin with nothing, and with a lock that no thread of the parent's holds."""
        self._lock = threading.Lock()
        self._places = {}
