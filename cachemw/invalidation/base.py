"""The invalidation log, as the rest of cachemw sees it, and its form for a single process.

Memory only, a purge concerns this process: the log is a counter. With Redis behind it,
`cachemw.invalidation.log.follower` carries the same records to every process.
"""

from __future__ import annotations

import os
from typing import Protocol

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge

__all__ = ["InvalidationLog", "process_id"]


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


def process_id() -> str:
    """Name this process in the fleet: host-independent, unique enough for a hash field."""
    return f"{os.getpid():x}-{os.urandom(6).hex()}"
