"""The keys that a database made for inserted rows, as its driver tells of them.

Only what can be looked at without taking it away is: the application reads the results itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cachemw.recording.sql.observed import Observed
from cachemw.recording.sql.rows import Changes, Schema, spell

__all__ = ["learn_keys"]

_LAST_ROW = frozenset({"sqlite", "mysql"})
"""Vendors whose drivers give the key that was made last, for any statement."""


def learn_keys(
    changes: Changes, observed: Observed, cursor: Any, vendor: str, schema: Schema
) -> None:
    """Tell changes the keys of the rows that a cursor has just inserted."""
    if len(observed.writes) != 1 or observed.writes[0].kind != "insert":
        return
    write = observed.writes[0]
    table = schema.get(write.table)
    if table is None or table.key is None or not changes.unknown(write.table):
        return
    found: Iterable[object] = _returned(cursor, table.key)
    if table.generated and vendor in _LAST_ROW:
        found = (getattr(cursor, "lastrowid", None),)
    for value in found:
        key = spell(table.kinds.get(table.key), value)
        if key is not None:
            changes.tell(write.table, key)


def _returned(cursor: Any, column: str) -> Iterator[str]:
    """Give a column of what psycopg holds of the result: `RETURNING` is how ORMs learn keys there."""
    result = getattr(cursor, "pgresult", None)
    if result is None:
        return
    for number in range(result.nfields):
        if result.fname(number).decode().casefold() == column and result.fformat(number) == 0:
            for row in range(result.ntuples):
                yield (result.get_value(row, number) or b"").decode()
            return
