"""The knowledge of each key: its content, how often it changes, and how often it is asked for.

It is a part of the entry, so that all processes that read the entry know it. It is also held here, for
longer than the entry lives. The number of keys is bounded (I4); those used least recently are forgotten.
"""

from __future__ import annotations

import cachetools

from cachemw.engine.model.entry import Learned

__all__ = ["KnownAnswers"]


class KnownAnswers:
    """The keys that one process knows, by their digests. Not thread-safe."""

    def __init__(self, limit: int) -> None:
        self._known: cachetools.LRUCache[bytes, Learned] = cachetools.LRUCache(limit)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes, stored: Learned | None) -> Learned | None:
        """Return what is known of a key: here, or with its stored entry, whichever is newer."""
        known: Learned | None = self._known.get(key)
        if known is None or (stored is not None and stored.seen_at > known.seen_at):
            return stored
        return known

    def put(self, key: bytes, learned: Learned) -> None:
        """Hold what is known of a key."""
        self._known[key] = learned
