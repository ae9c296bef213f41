"""Marks on digests of keys, each of which lasts for a while."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping

__all__ = ["Marks"]


class Marks:
    """The digests that are marked. Thread-safe."""

    def __init__(self, held: MutableMapping[bytes, bool]) -> None:
        """`held` bounds how many there are, and forgets each after a time."""
        self._held = held
        self._some = False
        """Whether there ever was one. Until then nobody needs to take the lock."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Make the lock again: a thread of the parent process may have held it."""
        self._lock = threading.Lock()

    def __contains__(self, digest: bytes) -> bool:
        """Tell whether a digest is marked."""
        if not self._some:
            return False
        with self._lock:
            return digest in self._held

    def add(self, digest: bytes) -> None:
        """Mark a digest."""
        with self._lock:
            self._some = True
            self._held[digest] = True

    def discard(self, digest: bytes) -> None:
        """Remove a mark, if there is one."""
        if self._some:
            with self._lock:
                self._held.pop(digest, None)

    def clear(self) -> None:
        """Remove all marks."""
        with self._lock:
            self._held.clear()
