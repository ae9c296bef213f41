"""The purges of late, for people to look at: what a process has heard of, and no more than has room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cachemw.invalidation.purges import Purge

__all__ = ["PastPurge", "RecentPurges"]

_REMEMBERED = 100
_TAGS = 10
"""Tags remembered of each purge: one may name thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPurge:
    """One purge of those before now."""

    at: float | None
    """Seconds since the epoch, by the clock of the server; None: it waits for Redis."""
    tags: tuple[str, ...] | None
    """The first of the tags that it named; None: everything."""
    more: int
    """The tags that it named beside these."""
    soft: bool

    @classmethod
    def of(cls, purge: Purge, at: float | None) -> PastPurge:
        """Note a purge."""
        if purge.tags is None:
            return cls(at=at, tags=None, more=0, soft=purge.soft)
        first = purge.tags[:_TAGS]
        return cls(at=at, tags=first, more=len(purge.tags) - len(first), soft=purge.soft)


class RecentPurges:
    """The last purges. Written by one thread, or under a lock; read by any."""

    def __init__(self) -> None:
        self._purges: deque[PastPurge] = deque(maxlen=_REMEMBERED)

    def add(self, purge: Purge, at: float) -> None:
        """Note a purge that was made at that time."""
        self._purges.append(PastPurge.of(purge, at))

    def clear(self) -> None:
        """Forget all: they are about to be told again."""
        self._purges.clear()

    def newest_first(self) -> list[PastPurge]:
        """Give them."""
        return list(self._purges.copy())[::-1]  # the copy is made in one step
