"""From what a statement reads and writes, its parameters and the keys of the tables to tags.

| tag | an answer carries it that | a write purges it that |
|---|---|---|
| `db:TABLE` | read any rows of the table | writes any row of it |
| `db:TABLE:KEY` | read the row with this primary key | writes that row |
| `db:TABLE:by:COLUMN=VALUE` | read the rows with this foreign key | inserts such a row |
| `db:?` | read what could not be understood | is any write |

A write whose rows are not known purges `db:TABLE:*`, one of rows with known keys `db:TABLE:by:*`,
for what they referred to before is not known; one that cannot be understood purges `db:*`.

A row is known by its key only where equal values of the database surely have one spelling. Anything
else (floats, text beyond ASCII, a number for a text, …) is the whole table to a read and all rows to
a write: that costs misses, and the other way round would serve old answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from cachemw.engine.model.tags import normalise
from cachemw.recording.sql.observed import (
    Constant,
    Equals,
    Kind,
    Observed,
    Read,
    Slot,
    Value,
    Write,
)

__all__ = [
    "ALL",
    "UNKNOWN",
    "Changes",
    "Schema",
    "Table",
    "key_tag",
    "record",
    "spell",
    "table_tag",
    "written",
]

UNKNOWN = "db:?"
"""The tag of an answer that read what could not be understood."""
ALL = "db:*"
"""The tag of every answer that read from a database."""

_MAX_ROWS = 64
"""Rows of one table that are named by their keys; of more, all rows are purged, or noted."""
_MAX_TAGS = 1024
"""Tags of one purge; where there would be more, tables are purged as wholes."""
_MAX_TEXT = 100
"""Characters of a text that a row is known by."""
_MAX_DIGITS = 15
"""Digits that a text may have to be a number: MySQL compares them as doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What must be known of a table to know its rows. Columns and tables in lower case."""

    key: str | None = None
    """The primary key, where that is one column."""
    composite: bool = False
    """Whether the primary key is several columns: no row is ever known by its key then."""
    foreign: frozenset[str] = frozenset()
    """The columns with foreign keys."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """How the values of those columns compare; rows are never known by one that is left out."""
    generated: bool = False
    """Whether the database makes the key, a whole number, where an insert gives none."""
    cascades: frozenset[str] = frozenset()
    """The tables whose rows the database itself changes or deletes when a row of this one goes."""
    referenced: frozenset[str] = frozenset()
    """The columns with whose change it changes rows of those tables too (ON UPDATE)."""


Schema = Mapping[str, Table]
"""The tables by their names, as `statements.table_name` spells them."""

_NO_TABLE = Table()


class Noting(Protocol):
    """What reads are noted in: a `Recording`."""

    def add(self, tags: Iterable[str]) -> None:
        """Note tags."""

    def add_parts(self, whole: str, parts: Iterable[str]) -> None:
        """Note parts of a whole."""


# -- values and tags -------------------------------------------------------------------------------


def _number(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool | Enum):  # psycopg has ints of its own
        # MySQL takes a text that is no number for 0: nothing is surely known of that one.
        return str(int(value)) if value else None
    if isinstance(value, str) and value.isascii() and len(value) <= _MAX_DIGITS:
        return _number(int(value)) if value.removeprefix("-").isdecimal() else None
    return None


def _text(value: object) -> str | None:
    # Of an Enum, which is a text too, drivers send one thing or the other.
    if not isinstance(value, str) or isinstance(value, Enum):
        return None
    if not value.isascii() or not value.isprintable():
        return None
    # Collations may take case and trailing spaces for nothing.
    spelt = value.rstrip(" ").casefold()
    return spelt if 0 < len(spelt) <= _MAX_TEXT else None


def _uuid(value: object) -> str | None:
    if type(value) is UUID:
        return value.hex
    if type(value) is str and len(value) in (32, 36):
        plain = value.replace("-", "").lower()
        return plain if len(plain) == 32 and not set(plain) - set("0123456789abcdef") else None
    return None


_SPELLERS: dict[Kind, Callable[[object], str | None]] = {
    "number": _number,
    "text": _text,
    "uuid": _uuid,
}


def spell(kind: Kind | None, value: object) -> str | None:
    """Give the one spelling of a value of a column; None where it has none that is sure."""
    return None if kind is None else _SPELLERS[kind](value)


def table_tag(table: str) -> str:
    """Give a table's tag. A colon would end the name, and a star or question mark be another tag."""
    for sign, code in ((":", "%3A"), ("*", "%2A"), ("?", "%3F")):
        table = table.replace(sign, code)
    return normalise(f"db:{table}")


def key_tag(table: str, key: str) -> str:
    """Give the tag of a row by the spelling of its key."""
    return normalise(f"{table_tag(table)}:{key}")


def _by_tag(table: str, column: str, value: str) -> str:
    return normalise(f"{table_tag(table)}:by:{column}={value}")


# -- parameters ------------------------------------------------------------------------------------

_Parameters = Sequence[Any] | Mapping[str, Any] | None


class _Given:
    """The values of one statement's placeholders."""

    __slots__ = ("_groups", "_params", "sound")

    def __init__(self, observed: Observed, params: _Parameters) -> None:
        self._groups = observed.groups
        self._params: Any = params
        # A placeholder more or less than we have seen would give one value for another.
        self.sound = observed.count >= 0 and (
            observed.count == 0
            or isinstance(params, Mapping)
            or (isinstance(params, list | tuple) and len(params) == observed.count)
        )

    def of(self, value: Value, kind: Kind | None) -> Iterator[str | None]:
        """Spell the values of a placeholder, or of a constant: None for each that is not sure."""
        if isinstance(value, Constant):
            yield spell(kind, value.value)
        elif not self.sound or value.cast not in (None, kind):
            yield None
        else:
            for key in self._groups[value.group]:
                yield spell(kind, self._look_up(key))

    def _look_up(self, key: int | str) -> object:
        try:
            return self._params[key]
        except (KeyError, IndexError, TypeError):
            return ...

    def length(self, slot: Slot) -> int:
        """Say how many values a placeholder stands for."""
        return len(self._groups[slot.group])

    def nth(self, value: Value | None, number: int, kind: Kind | None) -> object:
        """Give the value for one row of several that were folded into one; `...`: not known."""
        if isinstance(value, Constant):
            return value.value
        if value is None or value.cast not in (None, kind):
            return ...
        return self._look_up(self._groups[value.group][number])


def _spelt(equals: Equals, table: Table, given: _Given) -> list[str] | None:
    """Spell all values of a condition; None where one is not sure, or there are too many."""
    kind = table.kinds.get(equals.column)
    found: list[str] = []
    for value in equals.values:
        for each in given.of(value, kind):
            if each is None or len(found) == _MAX_ROWS:
                return None
            found.append(each)
    return found


# -- reads -----------------------------------------------------------------------------------------


def record(recording: Noting, observed: Observed, params: _Parameters, schema: Schema) -> None:
    """Note what a statement reads."""
    if observed.unknown_read:
        recording.add((UNKNOWN,))
    if not observed.reads:
        return
    given = _Given(observed, params)
    for read in observed.reads:
        whole = table_tag(read.table)
        parts = _parts(read, schema.get(read.table, _NO_TABLE), given)
        if parts is None:
            recording.add((whole,))
        else:
            recording.add_parts(whole, parts)


def _parts(read: Read, table: Table, given: _Given) -> list[str] | None:
    """Give the tags of the rows that a read is restricted to; None: it may be any."""
    for equals in read.equals:
        if equals.column == table.key and (keys := _spelt(equals, table, given)) is not None:
            return [key_tag(read.table, key) for key in keys]
    for equals in read.equals:
        if equals.column in table.foreign and (keys := _spelt(equals, table, given)) is not None:
            return [_by_tag(read.table, equals.column, key) for key in keys]
    return None


# -- writes ----------------------------------------------------------------------------------------


def written(observed: Observed, params: Any, schema: Schema, many: bool = False) -> tuple[str, ...]:
    """Give the tags that a statement purges; `many`: `params` are those of each of its rounds."""
    changes = Changes()
    changes.add(observed, params, schema, many=many)
    return changes.tags()


@dataclass(slots=True)
class _Rows:
    """What is written of one table."""

    all: bool = False
    all_by: bool = False
    unknown: int = 0
    """Inserted rows whose keys nobody has told yet."""
    keys: set[str] = field(default_factory=set)
    by: set[str] = field(default_factory=set)

    def name(self, keys: set[str]) -> None:
        """Note rows by their keys; very many are all."""
        self.keys |= keys
        if len(self.keys) > _MAX_ROWS:
            self.all = True
            self.keys.clear()

    def refer(self, by: set[str]) -> None:
        """Note to which rows of other tables inserted ones refer."""
        self.by |= by
        if len(self.by) > _MAX_ROWS:
            self.all_by = True
            self.by.clear()


class Changes:
    """What several statements write, until it is purged."""

    __slots__ = ("_everything", "_tables")

    def __init__(self) -> None:
        self._everything = False
        self._tables: dict[str, _Rows] = {}

    def __bool__(self) -> bool:
        return self._everything or bool(self._tables)

    def add(self, observed: Observed, params: Any, schema: Schema, *, many: bool = False) -> None:
        """Note what a statement writes, once for each set of parameters where there are many."""
        if observed.unknown_write:
            self._everything = True
        if not observed.writes or self._everything:
            return
        if not many:
            rounds = [params]
        elif isinstance(params, list | tuple) and len(params) <= _MAX_ROWS:
            rounds = list(params)
        else:  # too many, or an iterator, which can be read once only
            rounds = [None]
        for each in rounds:
            given = _Given(observed, each)
            for write in observed.writes:
                self._write(write, schema, given)

    def add_everything(self) -> None:
        """Note a write that could not be understood."""
        self._everything = True

    def merge(self, other: Changes) -> None:
        """Take over what another has noted."""
        self._everything |= other._everything
        for table, more in other._tables.items():
            rows = self._rows(table)
            rows.all |= more.all
            rows.all_by |= more.all_by
            rows.unknown += more.unknown
            rows.name(more.keys)
            rows.refer(more.by)

    def unknown(self, table: str) -> int:
        """Say how many rows were inserted into a table whose keys nobody has told yet."""
        rows = self._tables.get(table)
        return rows.unknown if rows is not None and not rows.all else 0

    def tell(self, table: str, key: str) -> None:
        """Learn the key of a row that was inserted without, by its spelling."""
        rows = self._tables.get(table)
        if rows is not None and rows.unknown and key not in rows.keys:
            rows.unknown -= 1
            rows.name({key})

    def tags(self) -> tuple[str, ...]:
        """Give the tags to purge, in order of spelling."""
        if self._everything:
            return (ALL,)
        if not self._tables:
            return ()
        found = {UNKNOWN}
        for table, rows in self._tables.items():
            found |= _tags(table, rows)
        if len(found) > _MAX_TAGS:
            found = {UNKNOWN}.union(*(_tags(table, _Rows(all=True)) for table in self._tables))
        return tuple(sorted(found))

    def _rows(self, table: str) -> _Rows:
        return self._tables.setdefault(table, _Rows())

    def _write(self, write: Write, schema: Schema, given: _Given) -> None:
        table = schema.get(write.table, _NO_TABLE)
        if write.kind == "insert":
            return self._insert(write, table, given)
        rows = self._rows(write.table)
        keys = None if write.kind == "whole" else _keys(write, table, given)
        if keys is None:
            rows.all = True
        else:
            rows.name(keys)
            rows.all_by = True
        moves = write.kind == "update" and (
            write.columns is None or table.referenced.intersection(write.columns)
        )
        if write.kind in ("whole", "delete") or (moves and table.referenced):
            for other in _reached(write.table, schema):
                self._rows(other).all = True
        return None

    def _insert(self, write: Write, table: Table, given: _Given) -> None:
        rows, columns = self._rows(write.table), write.columns or ()
        folded = [(row, _folded(row, given)) for row in write.rows]
        if not given.sound or sum(count for _, count in folded) > _MAX_ROWS:
            rows.all = True
            return
        for row, count in folded:
            values = dict(zip(columns, row, strict=True))
            key = values.get(table.key) if table.key else None
            kind = table.kinds.get(table.key or "")
            for number in range(count):
                spelt = spell(kind, given.nth(key, number, kind))
                if spelt is not None:
                    rows.name({spelt})
                elif not table.composite:
                    rows.unknown += 1
                for column in table.foreign:
                    self._refer(write.table, column, table, values.get(column), number, given)

    def _refer(
        self, name: str, column: str, table: Table, value: Value | None, number: int, given: _Given
    ) -> None:
        """Note to which row of another table an inserted one refers."""
        rows, kind = self._rows(name), table.kinds.get(column)
        found = given.nth(value, number, kind)  # not known: also a default of the database's
        spelt = spell(kind, found)
        if spelt is not None:
            rows.refer({_by_tag(name, column, spelt)})
        elif found is not None:  # NULL refers to nothing, and no read of NULLs is one of known rows
            rows.all_by = True


def _keys(write: Write, table: Table, given: _Given) -> set[str] | None:
    """Give the keys of the rows that an update or a delete may reach; None: not known."""
    if write.kind == "update" and (write.columns is None or table.key in write.columns):
        return None
    for equals in write.equals:
        if equals.column == table.key and (keys := _spelt(equals, table, given)) is not None:
            return set(keys)
    return None


def _folded(row: tuple[Value | None, ...], given: _Given) -> int:
    """Say how many rows of values were folded into this one."""
    return max((given.length(each) for each in row if isinstance(each, Slot)), default=1)


def _reached(table: str, schema: Schema) -> set[str]:
    """Give the tables that the database itself may change when rows of one go."""
    found: set[str] = set()
    ahead = [table]
    while ahead:
        more = schema.get(ahead.pop(), _NO_TABLE).cascades - found
        found |= more
        ahead += more
    return found


def _tags(table: str, rows: _Rows) -> set[str]:
    whole = table_tag(table)
    if rows.all or rows.unknown:
        return {whole, f"{whole}:*"}
    found = {whole, *(key_tag(table, key) for key in rows.keys)}
    if rows.all_by:
        return {*found, f"{whole}:by:*"}
    return found | rows.by
