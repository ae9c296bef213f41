"""The rows that statements write, and the tags that are purged for them.

The rules of `rows` are applied here from the side of the write: where a row is not surely known by its
key, all rows of its table are purged. Some writes reach more than they say:

- The database itself changes rows of other tables (`Table.cascades`): those tables are purged.
- An update that may set the primary key makes rows that no condition of it names: all rows.
- An inserted row changes what was read by its foreign keys, and by its own key: a response may have
  recorded that this row did not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cachemw.recording.sql.observed import Kind, Observed, Write
from cachemw.recording.sql.parameters import ParameterValues
from cachemw.recording.sql.rows import (
    ALL,
    MAX_ROWS,
    UNKNOWN,
    Schema,
    Table,
    by_tag,
    key_tag,
    spell,
    table_tag,
)

__all__ = ["Changes", "written"]

_MAX_TAGS = 1024
"""Most tags of one purge; where there would be more, whole tables are purged (I4)."""


def written(observed: Observed, params: Any, schema: Schema, many: bool = False) -> tuple[str, ...]:
    """Return the tags to purge for a statement.

    `many`: it is executed once for each set of parameters in `params`.
    """
    changes = Changes()
    changes.add(observed, params, schema, many=many)
    return changes.tags()


@dataclass(slots=True)
class _TableChanges:
    """The writes to one table."""

    all: bool = False
    """Whether any row may be written."""
    all_by: bool = False
    """Whether rows with any foreign key may be written."""
    unknown_keys: int = 0
    """The number of inserted rows whose keys are not known yet."""
    keys: set[str] = field(default_factory=set)
    by: set[str] = field(default_factory=set)

    def add_keys(self, keys: set[str]) -> None:
        """Add rows by their keys; too many count as all."""
        self.keys |= keys
        if len(self.keys) > MAX_ROWS:
            self.all = True
            self.keys.clear()

    def add_by(self, by: set[str]) -> None:
        """Add the foreign keys of inserted rows, as tags; too many count as all."""
        self.by |= by
        if len(self.by) > MAX_ROWS:
            self.all_by = True
            self.by.clear()


class Changes:
    """The writes of one or several statements, until they are purged."""

    __slots__ = ("_everything", "_tables")

    def __init__(self) -> None:
        self._everything = False
        self._tables: dict[str, _TableChanges] = {}

    def __bool__(self) -> bool:
        return self._everything or bool(self._tables)

    def add(self, observed: Observed, params: Any, schema: Schema, *, many: bool = False) -> None:
        """Add what a statement writes, once for each set of parameters where there are many."""
        if observed.unknown_write:
            self._everything = True
        if not observed.writes or self._everything:
            return
        if not many:
            executions = [params]
        elif isinstance(params, list | tuple) and len(params) <= MAX_ROWS:
            executions = list(params)
        else:  # too many, or an iterator: only the driver may read it, for that works once
            executions = [None]
        for each in executions:
            values = ParameterValues(observed, each)
            for write in observed.writes:
                if write.table not in schema.ignored:
                    self._add_write(write, schema, values)

    def add_everything(self) -> None:
        """Add a write that could not be understood."""
        self._everything = True

    def merge(self, other: Changes) -> None:
        """Add all that other changes hold."""
        self._everything |= other._everything
        for table, more in other._tables.items():
            own = self._of(table)
            own.all |= more.all
            own.all_by |= more.all_by
            own.unknown_keys += more.unknown_keys
            own.add_keys(more.keys)
            own.add_by(more.by)

    def unknown_keys(self, table: str) -> int:
        """Return how many rows were inserted into a table whose keys are not known yet."""
        own = self._tables.get(table)
        return own.unknown_keys if own is not None and not own.all else 0

    def learn_key(self, table: str, key: str) -> None:
        """Note the key, in its one spelling, of a row that was inserted without a known key."""
        own = self._tables.get(table)
        if own is not None and own.unknown_keys and key not in own.keys:
            own.unknown_keys -= 1
            own.add_keys({key})

    def tags(self) -> tuple[str, ...]:
        """Return the tags to purge, sorted."""
        if self._everything:
            return (ALL,)
        if not self._tables:
            return ()
        tags = {UNKNOWN}  # what was not understood may have read these rows
        for table, changes in self._tables.items():
            tags |= _tags(table, changes)
        if len(tags) > _MAX_TAGS:
            whole = _TableChanges(all=True)
            tags = {UNKNOWN}.union(*(_tags(table, whole) for table in self._tables))
        return tuple(sorted(tags))

    def _of(self, table: str) -> _TableChanges:
        return self._tables.setdefault(table, _TableChanges())

    def _add_write(self, write: Write, schema: Schema, values: ParameterValues) -> None:
        table = schema.get(write.table)
        if write.kind == "insert":
            return self._add_insert(write, table, values)
        own = self._of(write.table)
        keys = None if write.kind == "whole" else _keys(write, table, values)
        if keys is None:
            own.all = True
        else:
            own.add_keys(keys)
            own.all_by = True  # the foreign keys that the rows had before are not known
        moves = write.kind == "update" and (
            write.columns is None or table.referenced.intersection(write.columns)
        )
        if write.kind in ("whole", "delete") or (moves and table.referenced):
            for other in _cascaded(write.table, schema):
                if other not in schema.ignored:
                    self._of(other).all = True
        return None

    def _add_insert(self, write: Write, table: Table, values: ParameterValues) -> None:
        own, columns = self._of(write.table), write.columns or ()
        folded = [(row, values.row_count(row)) for row in write.rows]
        if not values.matched or sum(count for _, count in folded) > MAX_ROWS:
            own.all = True
            return
        for row, count in folded:
            by_column = dict(zip(columns, row, strict=True))
            key = by_column.get(table.key) if table.key else None
            kind = table.kinds.get(table.key or "")
            for number in range(count):
                spelt = spell(kind, values.of_row(key, number, kind))
                if spelt is not None:
                    own.add_keys({spelt})
                elif not table.composite:  # no read is of a row by a composite key
                    own.unknown_keys += 1
                for column in table.foreign:
                    kind_of_column = table.kinds.get(column)
                    given = values.of_row(by_column.get(column), number, kind_of_column)
                    self._add_foreign_key(write.table, column, kind_of_column, given)

    def _add_foreign_key(self, table: str, column: str, kind: Kind | None, given: object) -> None:
        """Add the foreign key of an inserted row; `...` where it is not known, or a default."""
        spelt = spell(kind, given)
        if spelt is not None:
            self._of(table).add_by({by_tag(table, column, spelt)})
        elif given is not None:  # NULL refers to no row, and no read by a foreign key finds it
            self._of(table).all_by = True


def _keys(write: Write, table: Table, values: ParameterValues) -> set[str] | None:
    """Return the keys of the rows that an update or a delete may reach; None: not known."""
    if write.kind == "update" and (write.columns is None or table.key in write.columns):
        return None
    for equals in write.equals:
        if equals.column == table.key:
            keys = values.spell_condition(equals, table)
            if keys is not None:
                return set(keys)
    return None


def _cascaded(table: str, schema: Schema) -> set[str]:
    """Return the tables that the database itself may change when rows of this one are deleted."""
    found: set[str] = set()
    ahead = [table]
    while ahead:
        more = schema.get(ahead.pop()).cascades - found
        found |= more
        ahead += more
    return found


def _tags(table: str, changes: _TableChanges) -> set[str]:
    whole = table_tag(table)
    if changes.all or changes.unknown_keys:
        return {whole, f"{whole}:*"}
    tags = {whole, *(key_tag(table, key) for key in changes.keys)}
    if changes.all_by:
        return {*tags, f"{whole}:by:*"}
    return tags | changes.by
