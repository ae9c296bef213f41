"""The responses that routes in shadow mode would have stored.

They are kept apart from the memory tier, so that no request can be served from them.
"""

from __future__ import annotations

import threading

import cachetools

from cachemw.engine.model.differences import Shadow
from cachemw.stores.memory.cost import cost

__all__ = ["ShadowTier"]

_SEEN = 300
"""Bytes of a shadow besides its entry, its headers and its body."""


def _cost(shadow: Shadow) -> int:
    fields = sum(len(name) + len(value) + 130 for name, value in shadow.response.headers)
    return _SEEN + cost(shadow.entry) + len(shadow.response.body) + fields


class ShadowTier:
    """Shadows of at most `max_size` bytes; the least recently used are evicted. Thread-safe."""

    def __init__(self, max_size: int) -> None:
        self._shadows = cachetools.LRUCache[bytes, Shadow](max_size, getsizeof=_cost)
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Shadow | None:
        """Return what would be stored under a digest."""
        with self._lock:
            return self._shadows.get(key)

    def put(self, key: bytes, shadow: Shadow) -> None:
        """Store a shadow, unless it is larger than the whole tier."""
        with self._lock:
            self._shadows.pop(key, None)
            if _cost(shadow) <= self._shadows.maxsize:
                self._shadows[key] = shadow

    def clear(self) -> None:
        """Remove all shadows."""
        with self._lock:
            self._shadows.clear()

    @property
    def size(self) -> int:
        """The bytes in use."""
        return int(self._shadows.currsize)

    def reset_after_fork(self) -> None:
        """Make a new lock: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()
