"""The invalidation log, as the rest of cachemw sees it, and its form for a single process.

Memory only, a purge concerns this process: the log is a counter. With Redis behind it,
`cachemw.invalidation.log.follower` carries the same records to every process.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge, Recent

__all__ = ["InvalidationLog", "LocalLog", "process_id"]


class InvalidationLog(Protocol):
    """What the engine and the composition root need of a log."""

    floors: Floors
    trusted_until: float
    """Monotonic time until which the log counts as heard; memory is served without a further look."""

    @property
    def live(self) -> bool:
        """Whether the log is being followed right now, so that shared entries can be judged."""

    @property
    def judges_shared(self) -> bool:
        """Whether others' entries can be judged: the log is live, and has all that was purged here."""

    def start(self) -> None:
        """Begin to follow, once per process; cheap when begun."""

    def serves(self, born: float, now: float) -> bool:
        """Say whether an entry of that birth may be served although the log is not trusted now."""

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge and wait, bounded, for its confirmation."""

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge and wait, bounded, for its confirmation."""

    def recent(self) -> list[PastPurge]:
        """Give the last purges that this process knows of, newest first."""

    def reset_after_fork(self) -> None:
        """Begin anew in a child process."""

    def close(self) -> None:
        """Stop following and let go of every connection."""


class LocalLog:
    """The log of one process with memory alone: a purge is confirmed when the call returns."""

    live = True
    judges_shared = True

    def __init__(self, floors: int, clock: Callable[[], float] = time.time) -> None:
        self.floors = Floors(floors)
        self.trusted_until = math.inf
        self._lock = threading.Lock()
        self._recent = Recent()
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


def process_id() -> str:
    """Name this process in the fleet: host-independent, unique enough for a hash field."""
    return f"{os.getpid():x}-{os.urandom(6).hex()}"
