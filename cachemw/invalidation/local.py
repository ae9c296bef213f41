"""The invalidation log of a single process that has memory alone."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge, RecentPurges

__all__ = ["LocalLog"]


class LocalLog:
    """The log of one process with memory alone: a purge is confirmed when the call returns."""

    live = True
    judges_shared = True

    def __init__(self, floors: int, clock: Callable[[], float] = time.time) -> None:
        self.floors = Floors(floors)
        self.trusted_until = math.inf
        self._lock = threading.Lock()
        self._recent = RecentPurges()
        self._clock = clock

    def start(self) -> None:
        """Do nothing: there is nothing to follow."""

    def serves(self, born: float, now: float) -> bool:
        """Say yes: no purge can be missed."""
        return True

    def purge(self, purge: Purge) -> PurgeResult:
        """Apply a purge to this process."""
        with self._lock:
            self.floors.apply(self.floors.position + 1, purge.tags, soft=purge.soft)
            self._recent.add(purge, self._clock())
        return PurgeResult(status="confirmed", reached=1)

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Apply a purge to this process."""
        return self.purge(purge)

    def recent(self) -> list[PastPurge]:
        """Give the last purges of this process, newest first."""
        return self._recent.newest_first()

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()
        self.floors.reset_after_fork()

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
