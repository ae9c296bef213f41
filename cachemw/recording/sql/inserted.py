"""Keys that the database generated for inserted rows, as its driver reports them.

Only what can be read without consuming it is used: the results belong to the application.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cachemw.recording.sql.observed import Observed
from cachemw.recording.sql.rows import Schema, spell
from cachemw.recording.sql.written_rows import Changes

__all__ = ["REPORTING", "learn_keys"]

REPORTING = frozenset({"sqlite", "mysql"})
"""Vendors whose drivers report the key that was generated last, after any insert."""


def learn_keys(
    changes: Changes, observed: Observed, cursor: Any, vendor: str, schema: Schema
) -> None:
    """Note in `changes` the keys of the rows that a cursor has just inserted."""
    if len(observed.writes) != 1 or observed.writes[0].kind != "insert":
        return
    write = observed.writes[0]
    table = schema.get(write.table)
    if table.key is None or not changes.unknown_keys(write.table):
        return
    values: Iterable[object] = _returned(cursor, table.key)
    if table.generated and vendor in REPORTING:
        values = (getattr(cursor, "lastrowid", None),)
    for value in values:
        key = spell(table.kinds.get(table.key), value)
        if key is not None:
            changes.learn_key(write.table, key)


def _returned(cursor: Any, column: str) -> Iterator[str]:
    """Return a column of the result that psycopg holds.

    ORMs add `RETURNING` to an insert to learn the keys, so the result has them.
    """
    result = getattr(cursor, "pgresult", None)
    if result is None:
        return
    for number in range(result.nfields):
        if result.fname(number).decode().casefold() == column and result.fformat(number) == 0:
            for row in range(result.ntuples):
                yield (result.get_value(row, number) or b"").decode()
            return
