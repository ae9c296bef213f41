"""The last purges that a process knows of, for display."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from cachemw.invalidation.purges import Purge

__all__ = ["PastPurge", "RecentPurges"]

_REMEMBERED = 100
"""Purges remembered (I4), of each of the two kinds: one busy table must not push out what people purge."""
_RECORDED = frozenset({"db:?", "db:*"})
"""Tags of which the recorders put one into the purge of every write (`cachemw.recording.sql.rows`)."""
_TAGS = 10
"""Tags remembered of each purge. A purge may name thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastPurge:
    """One past purge."""

    at: float | None
    """Unix time, by the clock of the Redis server; None: it is still queued."""
    tags: tuple[str, ...] | None
    """The first tags that it named; None: everything."""
    more: int
    """How many other tags it named."""
    soft: bool
    recorded: bool = False
    """Whether a recorder made it, because rows of a database changed."""

    @classmethod
    def of(cls, purge: Purge, at: float | None) -> PastPurge:
        """Return the record of a purge."""
        if purge.tags is None:
            return cls(at=at, tags=None, more=0, soft=purge.soft)
        first = purge.tags[:_TAGS]
        return cls(
            at=at,
            tags=first,
            more=len(purge.tags) - len(first),
            soft=purge.soft,
            recorded=not _RECORDED.isdisjoint(purge.tags),
        )


class RecentPurges:
    """The last purges. One thread at a time may write, any may read."""

    def __init__(self) -> None:
        self._made = deque[PastPurge](maxlen=_REMEMBERED)
        self._recorded = deque[PastPurge](maxlen=_REMEMBERED)

    def add(self, purge: Purge, at: float) -> None:
        """Add a purge that was made at this Unix time."""
        past = PastPurge.of(purge, at)
        (self._recorded if past.recorded else self._made).append(past)

    def clear(self) -> None:
        """Remove all: the log is about to be read again from its start."""
        self._made.clear()
        self._recorded.clear()

    def newest_first(self) -> list[PastPurge]:
        """Return the purges, newest first."""
        both = [*self._made.copy(), *self._recorded.copy()]  # `copy` is atomic under the GIL
        return sorted(both, key=_time)[::-1]


def _time(past: PastPurge) -> float:
    return past.at or 0.0
