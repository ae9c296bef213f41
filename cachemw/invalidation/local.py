"""The invalidation log of a single process without Redis: a counter."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge, RecentPurges
from cachemw.process.fork import is_forked, own_number

__all__ = ["LocalLog"]


class LocalLog:
    """A log for one process. A purge is confirmed when the call returns."""

    live = True
    judges_shared = True

    def __init__(self, floors: int, clock: Callable[[], float] = time.time) -> None:
        self.floors = Floors(floors)
        self.trust = own_number()
        self.trust[0] = math.inf
        self._lock = threading.Lock()
        self._recent = RecentPurges()
        self._clock = clock

    def start(self) -> None:
        """Do nothing: there is nothing to follow."""

    def serves(self, born: float, now: float) -> bool:
        """Return True: no purge can be missed. A forked process has to begin anew before."""
        return not is_forked()

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
        """Return the last purges of this process, newest first."""
        return self._recent.newest_first()

    def reset_after_fork(self) -> None:
        """Make new locks: a thread of the parent may have held the old ones."""
        self._lock = threading.Lock()
        self.floors.reset_after_fork()
        self.trust[0] = math.inf

    def stop(self) -> None:
        """Do nothing: nothing follows this log."""

    def finish(self, until: float) -> None:
        """Do nothing: there is nothing to wait for."""
