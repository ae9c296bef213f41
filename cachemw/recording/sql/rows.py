"""Tags of tables and rows, and the one spelling of a value in them.

How the recorders invalidate: a response carries the tags of the rows that it was made from, and a
write purges the tags of the rows that it may have changed.

| tag | a response carries it that | a write purges it that |
|---|---|---|
| `db:TABLE` | read any rows of the table | writes any row of it |
| `db:TABLE:KEY` | read the row with this primary key | writes that row |
| `db:TABLE:by:COLUMN=VALUE` | read the rows with this foreign key | inserts such a row |
| `db:?` | read something that could not be understood | is any write |

A purge may also name families of tags, which end in `*`:

- `db:TABLE:*`, all rows: where the written rows are not known.
- `db:TABLE:by:*`, all rows by foreign keys: where rows with known keys are updated or deleted. The
  foreign keys that they had before are not known.
- `db:*`, every response that read from a database: where the write could not be understood.

The invariant (I5, "purged is gone") needs one thing of the two sides: whenever a write changes a row
that a response read, the tags meet. So a response may carry too coarse tags and a write may purge too
many; the other way round would serve old responses. This decides every doubt here:

- A row is known by its key only where equal values of the database surely have one spelling (`spell`).
  Floats, text beyond ASCII, or a number given for a text have none: a read then depends on the whole
  table, and a write purges all rows.
- Where a read has several conditions, any one of them is enough: the rows meet all of them.
- More than `MAX_ROWS` rows count as the whole table.

A key that is a text may be a secret: a session's, or a token. It stands in these tags behind an apostrophe,
as long as they are in the memory of the process that reads or writes the row. Wherever a tag goes from
there, `engine.model.row_tags` replaces the text by a keyed digest.

Tables and columns are in lower case throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from cachemw.engine.model.row_tags import DATABASE, QUOTE
from cachemw.engine.model.tags import normalise
from cachemw.recording.sql.observed import Kind

__all__ = [
    "ALL",
    "MAX_ROWS",
    "UNKNOWN",
    "Schema",
    "Table",
    "by_tag",
    "key_tag",
    "spell",
    "table_tag",
]

UNKNOWN = "db:?"
"""The tag of a response that read something that could not be understood."""
ALL = "db:*"
"""The family of every tag that a read from a database gives."""

MAX_ROWS = 64
"""Most rows of one table that are named by their keys; more of them count as all rows."""
_MAX_TEXT = 100
"""Most characters of a text that may be a key in a tag."""
_MAX_TABLE, _MAX_COLUMN = 120, 80
"""Most characters of the names of a table and of a column in a tag, so that a tag with both and a digest has
less than 256, the most that it may have."""
_HEXADECIMAL = frozenset("0123456789abcdef")
_MAX_DIGITS = 15
"""Most digits of a text that counts as a number. MySQL compares a text with a number as doubles, which
are exact up to 15 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The facts about a table that its rows are known by."""

    key: str | None = None
    """The primary key, where it is one column."""
    composite: bool = False
    """Whether the primary key is several columns: then no row is ever known by its key."""
    foreign: frozenset[str] = frozenset()
    """The columns with foreign keys."""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    """How the values of those columns compare. Rows are never known by a column that is left out."""
    generated: bool = False
    """Whether the database generates the key, an integer, where an insert gives none."""
    cascades: frozenset[str] = frozenset()
    """The tables whose rows the database itself changes or deletes when a row of this one is deleted."""
    referenced: frozenset[str] = frozenset()
    """The columns that foreign keys of those tables refer to: an update of one may change their rows
    too (ON UPDATE)."""


_NO_TABLE = Table()
"""A table of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The known facts about tables, whose names are as `statements.table_name` spells them."""

    tables: Mapping[str, Table] = field(default_factory=dict)
    ignored: Container[str] = frozenset()
    """The tables that are not recorded."""

    def get(self, table: str) -> Table:
        """Return what is known of a table, which may be nothing."""
        return self.tables.get(table, _NO_TABLE)


# -- values ----------------------------------------------------------------------------------------


def _number(value: object) -> str | None:
    # By `int(...)`, because psycopg has subclasses of int.
    if isinstance(value, int) and not isinstance(value, bool | Enum):
        # MySQL compares a text that is not a number as 0, so a row with the key 0 is never sure.
        return str(int(value)) if value else None
    if isinstance(value, str) and value.isascii() and len(value) <= _MAX_DIGITS:
        return _number(int(value)) if value.removeprefix("-").isdecimal() else None
    return None


def _text(value: object) -> str | None:
    # Drivers differ in what they send for an Enum that is a text: its value, or its name.
    if not isinstance(value, str) or isinstance(value, Enum):
        return None
    if not value.isascii() or not value.isprintable():
        return None
    # Collations may ignore case and trailing spaces.
    spelt = normalise(value.rstrip(" ").casefold()).replace(":", "%3a")
    return f"{QUOTE}{spelt}" if 0 < len(spelt) <= _MAX_TEXT else None


def _uuid(value: object) -> str | None:
    if type(value) is UUID:
        return f"{QUOTE}{value.hex}"
    if type(value) is str and len(value) in (32, 36):
        plain = value.replace("-", "").lower()
        if len(plain) == 32 and not set(plain) - _HEXADECIMAL:
            return f"{QUOTE}{plain}"
    return None


_SPELLERS: dict[Kind, Callable[[object], str | None]] = {
    "number": _number,
    "text": _text,
    "uuid": _uuid,
}


def spell(kind: Kind | None, value: object) -> str | None:
    """Return the one spelling of a column's value; None where equal values may be spelt differently."""
    return None if kind is None else _SPELLERS[kind](value)


# -- tags ------------------------------------------------------------------------------------------


def table_tag(table: str) -> str:
    """Return the tag of a table.

    A colon in the name would look like the end of the table, a star or a question mark like one of
    the tags above, so they are percent-encoded.
    """
    return f"{DATABASE}{_name(table, _MAX_TABLE)}"


@lru_cache(maxsize=4096)  # tables and columns are few
def _name(name: str, longest: int) -> str:
    """Return the name of a table or column as tags have it. A longer one is shortened to a digest."""
    for sign, code in ((":", "%3A"), ("*", "%2A"), ("?", "%3F"), ("=", "%3D")):
        name = name.replace(sign, code)
    spelt = normalise(name)
    if len(spelt) <= longest:
        return spelt
    digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return f"{spelt[: longest - 33]}~{digest}"


def key_tag(table: str, key: str) -> str:
    """Return the tag of a row; `key` is the spelling of its primary key."""
    return f"{table_tag(table)}:{key}"


def by_tag(table: str, column: str, value: str) -> str:
    """Return the tag of the rows with this foreign key; `value` is its spelling."""
    return f"{table_tag(table)}:by:{_name(column, _MAX_COLUMN)}={value}"
