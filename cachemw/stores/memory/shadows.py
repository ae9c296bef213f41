"""What routes in shadow would have stored: apart from the memory tier, so that nothing can serve it."""

from __future__ import annotations

import threading

import cachetools

from cachemw.engine.core.ports import Shadow
from cachemw.stores.memory.cost import cost

__all__ = ["ShadowTier"]

_SEEN = 300
"""Bytes of a shadow beside its entry and its body."""


def _cost(shadow: Shadow) -> int:
    fields = sum(len(name) + len(value) + 130 for name, value in shadow.seen.headers)
    return _SEEN + cost(shadow.entry) + len(shadow.seen.body) + fields


class ShadowTier:
    """Keep shadows in at most `max_size` bytes; the least recently used make room. Thread-safe."""

    def __init__(self, max_size: int) -> None:
        self._shadows = cachetools.LRUCache[bytes, Shadow](max_size, getsizeof=_cost)
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Shadow | None:
        """Give what would be stored under a digest."""
        with self._lock:
            return self._shadows.get(key)

    def put(self, key: bytes, shadow: Shadow) -> None:
        """Keep one, unless it is larger than there is room for in all."""
        with self._lock:
            self._shadows.pop(key, None)
            if _cost(shadow) <= self._shadows.maxsize:
                self._shadows[key] = shadow

    @property
    def size(self) -> int:
        """The bytes in use."""
        return int(self._shadows.currsize)

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()
