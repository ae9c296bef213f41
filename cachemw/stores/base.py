"""What the cache asks of a shared tier, so that another can stand around the one in Redis."""

from __future__ import annotations

from typing import Protocol

from cachemw.engine.model.entry import Item, Key

__all__ = ["SharedTier"]


class SharedTier(Protocol):
    """Entries that processes share. All that its methods raise is StoreUnavailable."""

    def reachable(self, key: Key) -> bool:
        """Say whether the tier may be asked about a key."""

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry of this epoch of the log, from a thread."""

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry of this epoch of the log, in an event loop."""

    def put(self, key: Key, entry: Item) -> None:
        """Write an entry, from a thread."""

    async def aput(self, key: Key, entry: Item) -> None:
        """Write an entry, in an event loop."""
