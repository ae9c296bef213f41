"""Values for what a SQL statement reads and writes, shared by the modules of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cachemw.recording.sql.lexical.folding import Key

__all__ = [
    "OPAQUE",
    "QUIET",
    "Constant",
    "Equals",
    "Kind",
    "Observed",
    "Placeholder",
    "Read",
    "Value",
    "Write",
]

Kind = Literal["number", "text", "uuid"]
"""How the values of a column are compared."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A value that comes as a parameter, or several of them, and the kind that they are cast to."""

    group: int
    """The index in `Observed.groups`."""
    cast: Kind | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is written in the statement's text."""

    value: int | str | None


Value = Placeholder | Constant


@dataclass(frozen=True, slots=True)
class Equals:
    """A condition on all rows that count: the column has one of these values."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A mention of a table, and the conditions that its rows must meet, all of them."""

    table: str
    equals: tuple[Equals, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of a table that are written.

    - `whole`: any row, in any way.
    - `update` and `delete`: the rows that meet each of `equals`. `columns` are those that are set;
      None where that is not known.
    - `insert`: `rows` of values for `columns`. None is a value that the database makes.
    """

    table: str
    kind: Literal["insert", "update", "delete", "whole"]
    equals: tuple[Equals, ...] = ()
    columns: tuple[str, ...] | None = None
    rows: tuple[tuple[Value | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """The reads and writes of one text of SQL."""

    reads: tuple[Read, ...] = ()
    writes: tuple[Write, ...] = ()
    unknown_read: bool = False
    """Whether it may read tables that are not in `reads`."""
    unknown_write: bool = False
    """Whether it may write tables that are not in `writes`."""
    boundary: Literal["", "begin", "commit", "rollback"] = ""
    """Whether the text begins or ends a transaction."""
    groups: tuple[tuple[Key, ...], ...] = ()
    """The parameters of each placeholder: one, or those of a list that was folded."""
    count: int = 0
    """The number of positional parameters; -1 where it is not sure which placeholder is which."""
    unknown_functions: tuple[str, ...] = ()
    """The functions that it calls and that nobody knows: because of them it may read and write anything."""
    shape: str = ""
    """Where there are any, the text without its values, to be shown in a log."""

    @property
    def changes(self) -> bool:
        """Whether it may write anything."""
        return bool(self.writes) or self.unknown_write


OPAQUE = Observed(unknown_read=True, unknown_write=True)
"""A statement that could not be understood: it may read and write anything."""
QUIET = Observed()
"""A statement that reads and writes no table."""
