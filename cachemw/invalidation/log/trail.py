"""`Trail`: the last records that a process has applied, to repair a log that lost some of them.

Redis replicates asynchronously, so a failover loses records that the new master had not received. A
process that applied them still has their tags in its floors. It appends them again, under numbers
above all that it has applied. Then processes that join later know of these purges too.

This is only correct if the log is the known one up to some record (the *fork*), and has no unknown
record between the fork and the position of this process. If that is not certain, a new life of the log
is started, which purges everything.
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
"""Records, of about 100 bytes each. After a failover that lost more, a new life of the log is started."""

_Mark = tuple[int, int]
"""The number of a record and a hash of its fields. Two masters may give one number to two records."""


class Trail:
    """The last records applied, in order. Only the log's thread uses it."""

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque(maxlen=_REMEMBERED)
        self._boundary: _Mark | None = None

    @property
    def boundary(self) -> int:
        """The number of the last record applied before the present read; 0: none in this life.

        After the read, it must still be in the log. The check cannot be done with a newer record: a
        new master may have newer records although it has lost this one.
        """
        return self._boundary[0] if self._boundary else 0

    def add(self, record_number: int, fields: Any) -> None:
        """Note a record that has been applied."""
        self._marks.append(_mark(record_number, fields))

    def advance(self) -> None:
        """Make the newest record the boundary, once the log was checked up to the old one."""
        self._boundary = self._marks[-1] if self._marks else None

    def clear(self) -> None:
        """Forget all records, for another life of the log."""
        self._marks.clear()
        self._boundary = None

    def is_boundary(self, found: Record | None) -> bool:
        """Tell whether a record is the one at the boundary. True if there is no boundary."""
        return self._boundary is None or (found is not None and _mark(*found) == self._boundary)

    def missing(self, stream: Stream, client: Any) -> int:
        """Return the number of the last record that the log should have but lacks; 0: none."""
        for mark in dict.fromkeys((*list(self._marks)[-1:], self._boundary)):
            if mark is not None and not _has(stream, client, mark):
                return mark[0]
        return 0

    def restore(self, stream: Stream, client: Any, floors: Floors, missing: int) -> bool:
        """Append the lost records up to a number again. Return False if a new life is needed."""
        fork = stream.newest_until(client, missing)
        if fork is None or _mark(*fork) not in self._marks:
            return False
        # At least one record, even if it purges nothing: later numbers are then above `missing`.
        for purge in floors.purges_since(fork[0]) or [Purge(tags=())]:
            stream.append_above(client, missing, purge_fields(purge))
        if stream.newest_until(client, missing) != fork:
            # The log got a record below `missing`: entries here would wrongly look newer than it.
            return False
        kept = [mark for mark in self._marks if not fork[0] < mark[0] <= missing]
        self._marks = deque(kept, maxlen=_REMEMBERED)
        self.advance()
        return True


def _has(stream: Stream, client: Any, mark: _Mark) -> bool:
    """Tell whether the log still has a record, or has trimmed it by age."""
    found = stream.newest_until(client, mark[0])
    if found is None:
        return stream.oldest(client) >= mark[0]
    return _mark(*found) == mark


def _mark(record_number: int, fields: Any) -> _Mark:
    return record_number, hash(frozenset(fields.items()))
