"""The records that a process has applied lately, and what is to be done when the log has lost some.

A failover loses what the new master had not been told. Whoever applied it remembers: its floors have
the tags. It gives them back to the log, under numbers above all that it has applied, so that those
who join from then on learn of them; and the cache goes on. That is only right while the log is the
one we know up to some record and has nothing strange below our position: where that cannot be told
for certain, the log begins a new life, which purges everything.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from cachemw.invalidation.floors import Floors
from cachemw.invalidation.log.records import purge_fields
from cachemw.invalidation.log.stream import Record, Stream
from cachemw.invalidation.purges import Purge

__all__ = ["Trail"]

_REMEMBERED = 1000
"""Records; a failover that loses more begins a new life. At some 100 bytes each they are cheap."""

_Mark = tuple[int, int]
"""A record's number and a hash of its fields: two masters may have given one number to two records."""


class Trail:
    """The last records applied, in order. Used by the follower's thread alone."""

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque(maxlen=_REMEMBERED)
        self._boundary: _Mark | None = None

    @property
    def boundary(self) -> int:
        """The number of the record that reading went on from; 0: none of this life.

        It must be looked for after the reading: records that a new master was told since would
        hide that those before them are gone.
        """
        return self._boundary[0] if self._boundary else 0

    def add(self, record_number: int, fields: Any) -> None:
        """Note a record that has been applied."""
        self._marks.append(_mark(record_number, fields))

    def advance(self) -> None:
        """Take the newest record as the boundary: the log has been seen to be whole up to the last."""
        self._boundary = self._marks[-1] if self._marks else None

    def clear(self) -> None:
        """Begin with another life of the log."""
        self._marks.clear()
        self._boundary = None

    def is_boundary(self, found: Record | None) -> bool:
        """Say whether a record is the one at the boundary; any will do where there is none."""
        return self._boundary is None or (found is not None and _mark(*found) == self._boundary)

    def missing(self, stream: Stream, client: Any) -> int:
        """Give the number of the last record that the log should have and has not; 0: it has all."""
        for mark in dict.fromkeys((*list(self._marks)[-1:], self._boundary)):
            if mark is not None and not _has(stream, client, mark):
                return mark[0]
        return 0

    def restore(self, stream: Stream, client: Any, floors: Floors, missing: int) -> bool:
        """Append again what the log has lost up to a number; False where a new life must begin."""
        fork = stream.newest_until(client, missing)
        if fork is None or _mark(*fork) not in self._marks:
            return False
        # At least one record, be it of nothing: from then on the log gives out numbers above ours.
        for purge in floors.purges_since(fork[0]) or [Purge(tags=())]:
            stream.append_above(client, missing, purge_fields(purge))
        if stream.newest_until(client, missing) != fork:
            return False  # it gave out a lower one before: who began at ours would not be hit by it
        kept = [mark for mark in self._marks if not fork[0] < mark[0] <= missing]
        self._marks = deque(kept, maxlen=_REMEMBERED)
        self.advance()
        return True


def _has(stream: Stream, client: Any, mark: _Mark) -> bool:
    """Say whether the log still has a record, or has only trimmed it off."""
    found = stream.newest_until(client, mark[0])
    if found is None:
        return stream.extent(client)[0] >= mark[0]
    return _mark(*found) == mark


def _mark(record_number: int, fields: Any) -> _Mark:
    return record_number, hash(frozenset(fields.items()))
