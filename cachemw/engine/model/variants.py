"""How many variants of each target are kept: a count for each, bounded over all of them."""

from __future__ import annotations

import threading
from collections import OrderedDict

__all__ = ["Variants"]


class Variants:
    """The variants of the targets that were last kept; those of others are bounded by eviction alone.

    Thread-safe. `limit` is of variants over all targets: it bounds what is taken here, some 400 bytes
    for the first of a target and 150 for each other.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict[bytes, dict[bytes, None]] = OrderedDict()
        self._count = 0
        self.reset_after_fork()

    def __len__(self) -> int:
        return self._count

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def note(self, target: bytes, variant: bytes, most: int) -> bytes | None:
        """Note a variant that is being kept; give the oldest of its target where it has too many now."""
        with self._lock:
            kept = self._kept.setdefault(target, {})
            self._kept.move_to_end(target)
            before = len(kept)
            kept.pop(variant, None)
            kept[variant] = None
            oldest = next(iter(kept)) if len(kept) > most else None
            if oldest is not None:
                del kept[oldest]
            self._count += len(kept) - before
            while self._count > self.limit:
                self._count -= len(self._kept.popitem(last=False)[1])
        return oldest
