"""The protocol of a shared store. `RedisTier` implements it, and fault injection wraps it."""

from __future__ import annotations

from typing import Protocol

from cachemw.engine.model.entry import Item, Key

__all__ = ["SharedTier"]


class SharedTier(Protocol):
    """Entries that several processes share. Its methods raise StoreUnavailable and nothing else."""

    def reachable(self, key: Key) -> bool:
        """Tell whether the store may be asked for a key: it is reachable, and its breaker is closed."""

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Return the entry of a key if it belongs to this epoch of the log. For threads."""

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Return the entry of a key if it belongs to this epoch of the log. For event loops."""

    def put(self, key: Key, entry: Item) -> None:
        """Store an entry. For threads."""

    async def aput(self, key: Key, entry: Item) -> None:
        """Store an entry. For event loops."""
