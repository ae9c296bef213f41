"""What a statement reads and writes, in the words that the other modules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cachemw.recording.sql.tokens import Key

__all__ = [
    "OPAQUE",
    "QUIET",
    "Constant",
    "Equals",
    "Kind",
    "Observed",
    "Read",
    "Slot",
    "Value",
    "Write",
]

Kind = Literal["number", "text", "uuid"]
"""How the values of a column are compared."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that comes as a parameter, or several, and the kind that it is cast to."""

    group: int
    cast: Kind | None = None


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the text."""

    value: int | str | None


Value = Slot | Constant


@dataclass(frozen=True, slots=True)
class Equals:
    """A condition that all rows of a table meet which count: the column has one of these values."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One mention of a table, and what its rows are restricted to: each condition by itself."""

    table: str
    equals: tuple[Equals, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of a table that are written.

    `whole`: any row, in any way. `update` and `delete`: the rows that meet each of `equals`; `columns`
    are those that are set, None where that is not known. `insert`: `rows` of values for `columns`.
    """

    table: str
    kind: Literal["insert", "update", "delete", "whole"]
    equals: tuple[Equals, ...] = ()
    columns: tuple[str, ...] | None = None
    rows: tuple[tuple[Value | None, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """What one text reads and writes."""

    reads: tuple[Read, ...] = ()
    writes: tuple[Write, ...] = ()
    unknown_read: bool = False
    unknown_write: bool = False
    boundary: Literal["", "begin", "commit", "rollback"] = ""
    """Whether the text begins or ends a transaction."""
    groups: tuple[tuple[Key, ...], ...] = ()
    count: int = 0
    """How many positional parameters it takes; -1 where they cannot be matched."""

    @property
    def changes(self) -> bool:
        """Whether it may write anything."""
        return bool(self.writes) or self.unknown_write


OPAQUE = Observed(unknown_read=True, unknown_write=True)
QUIET = Observed()
