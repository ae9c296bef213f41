"""The protocol of an invalidation log, which the rest of cachemw uses.

There are two implementations. Without Redis, a purge concerns one process only: `local.LocalLog`. With
Redis, `log.follower.RedisLog` carries purges to all processes of the namespace.
"""

from __future__ import annotations

import os
from typing import Protocol

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge
from cachemw.process.fork import Number

__all__ = ["InvalidationLog", "process_id"]


class InvalidationLog(Protocol):
    """An invalidation log, as the engine and the composition root use it."""

    floors: Floors
    trust: Number
    """Monotonic time until which the log counts as alive. Before it, a memory hit need not ask `serves`."""

    @property
    def live(self) -> bool:
        """Whether the log is being followed right now."""

    @property
    def judges_shared(self) -> bool:
        """Whether entries of other processes can be judged: the log is live, and no purge waits here."""

    def start(self) -> None:
        """Start to follow the log, once per process. Further calls are cheap."""

    def serves(self, born: float, now: float) -> bool:
        """Tell whether an entry made at the time `born` may be served when `trust` has ended."""

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge, and wait a limited time for its confirmation."""

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge, and wait a limited time for its confirmation."""

    def recent(self) -> list[PastPurge]:
        """Return the last purges that this process knows of, newest first."""

    def reset_after_fork(self) -> None:
        """Start again from nothing in a child process."""

    def stop(self) -> None:
        """Ask what follows the log to end. Must not wait."""

    def finish(self, until: float) -> None:
        """Wait until nothing follows the log any more, to this monotonic time at most."""


def process_id() -> str:
    """Return a name for this process that no other process on any host has (48 random bits)."""
    return f"{os.getpid():x}-{os.urandom(6).hex()}"
