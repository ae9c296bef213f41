"""Keys of inserted rows that the statement does not give: from the driver, or from the signals of the ORM.

An insert whose key is not known purges all rows of its table. A wrong key would be worse: answers that have
recorded that the row does not exist would stay (I5).
"""

from __future__ import annotations

from typing import Any

from cachemw.recording.sql.inserted import REPORTING
from cachemw.recording.sql.observed import Observed
from cachemw.recording.sql.written_rows import Changes

__all__ = ["Saves", "is_silent", "reports_keys"]

_MOST_SAVES = 16
"""Instances that are saved inside of each other, by signals for example."""
_MOST_TABLES = 4096
_reporting: dict[str, bool] = {}
"""Tables of SQLite, and whether the number of a row is its key."""


def reports_keys(cursor: Any, observed: Observed) -> bool:
    """Tell whether the key that the driver reports is that of the row.

    SQLite reports the number of the row. That is the key only if its type is spelt `INTEGER`, as Django
    does. A table that the project has made itself may have a `BIGINT`.
    """
    if cursor.db.vendor != "sqlite" or not observed.writes:
        return True
    table = observed.writes[0].table
    if observed.writes[0].kind == "whole":  # perhaps it was made anew
        _reporting.pop(table, None)
        return True
    known = _reporting.get(table)
    if known is None:
        name = table.replace('"', '""')
        columns = cursor.cursor.connection.execute(f'PRAGMA table_info("{name}")').fetchall()
        known = [kind.upper() for _, _, kind, _, _, in_key in columns if in_key] == ["INTEGER"]
        if len(_reporting) < _MOST_TABLES:
            _reporting[table] = known
    return known


def is_silent(connection: Any) -> bool:
    """Tell whether the driver reports no keys, as psycopg2 does, so that only signals tell them."""
    if connection.vendor in REPORTING:
        return False
    return not hasattr(connection.connection, "pgconn")  # of psycopg 3


class Saves:
    """The instances that the ORM is saving over one connection, and the tables that were written for them."""

    def __init__(self) -> None:
        self._open: list[tuple[int, list[str]]] = []
        """The instances by their `id()`, the innermost last."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, instance: object) -> None:
        """Note that the ORM begins to save an instance."""
        del self._open[:-_MOST_SAVES]  # some have failed, and never end
        self._open.append((id(instance), []))

    def note_writes(self, observed: Observed) -> None:
        """Note what a statement has written."""
        if self._open:
            self._open[-1][1].extend(each.table for each in observed.writes)

    def end(self, instance: object, keys: dict[str, str | None], changes: Changes | None) -> None:
        """Note in `changes` the keys of an instance that was just inserted.

        Only of tables that were written once for it. Other inserts in the meantime, of the project's own,
        have other keys.
        """
        written: list[str] = []
        while self._open:
            saved, written = self._open.pop()
            if saved == id(instance):
                break
        for table, key in keys.items():
            if changes is not None and key is not None and written.count(table) == 1:
                changes.learn_key(table, key)
