"""Changes of a transaction, kept to be purged once it is committed.

Savepoints are followed by their names. A database allows several savepoints of one name, and a rollback
goes to the newest. Names that differ in quotes or in case count as equal here. So the savepoint that is
found is never older than the one that the database means, and no change is dropped that it keeps (I5).
"""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from cachemw.recording.sql.written_rows import Changes

__all__ = ["Pending", "Savepoint", "may_commit", "read_autocommit", "read_savepoint"]

_COMMITS_NOTHING = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|REPLACE|MERGE|VALUES|SET|SHOW|SAVEPOINT|RELEASE"
    r"|ROLLBACK|PRAGMA|EXPLAIN)\b",
    re.IGNORECASE,
)
"""First words of statements that commit nothing. All others may: `COMMIT` as a text, a procedure, and in
MySQL every `CREATE`, `ALTER` and `DROP`, also one that fails."""
_AUTOCOMMIT = re.compile(
    r"\s*SET\s+(?:SESSION\s+|@@(?:SESSION\.)?)?AUTOCOMMIT\s*:?=\s*(\w+)\s*;?\s*", re.IGNORECASE
)
"""MySQL commits when it is switched on."""

_SAVEPOINT = re.compile(
    r"""\s* (?: (?P<begin> SAVEPOINT )
    | (?P<rollback> ROLLBACK (?:\s+(?:WORK|TRANSACTION))? \s+ TO (?:\s+SAVEPOINT)? )
    | (?P<release> RELEASE (?:\s+SAVEPOINT)? ) )
    \s+ (?P<name> \S.*? ) \s* ;? \s*""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_LONGEST = 300
"""Characters of a statement about a savepoint."""


class Savepoint(NamedTuple):
    """A statement about a savepoint."""

    action: Literal["begin", "release", "rollback"]
    name: str


def read_savepoint(sql: object) -> Savepoint | None:
    """Return what a statement does to a savepoint; None for any other statement."""
    found = _SAVEPOINT.fullmatch(sql) if isinstance(sql, str) and len(sql) < _LONGEST else None
    if found is None:
        return None
    if found["begin"]:
        return Savepoint("begin", found["name"])
    return Savepoint("rollback" if found["rollback"] else "release", found["name"])


def may_commit(sql: object) -> bool:
    """Tell whether a statement may commit what was written before it, in some database."""
    if not isinstance(sql, str) or ";" in sql.rstrip("; \n"):  # perhaps several statements
        return True
    return not _COMMITS_NOTHING.match(sql) or read_autocommit(sql) is not None


def read_autocommit(sql: object) -> bool | None:
    """Return what a statement of MySQL sets autocommit to; None for any other statement."""
    found = _AUTOCOMMIT.fullmatch(sql) if isinstance(sql, str) and len(sql) < _LONGEST else None
    return None if found is None else found[1].lower() in ("1", "on", "true")


def _comparable(name: str) -> str:
    return name.strip("\"`[]'").casefold()


class Pending:
    """The changes of one transaction, by its savepoints. Used by one thread at a time."""

    __slots__ = ("_levels", "inserts", "maybe_committed")

    def __init__(self) -> None:
        self._levels: list[tuple[str, Changes]] = [("", Changes())]
        self.maybe_committed = Changes()
        """Changes that may be committed already: a rollback does not undo them."""
        self.inserts: list[tuple[Changes, Any]] = []
        """Changes with rows whose keys are not known yet, and the contexts that will know them."""

    def __bool__(self) -> bool:
        return bool(self.maybe_committed) or any(changes for _, changes in self._levels)

    @property
    def changes(self) -> Changes:
        """The changes since the last savepoint."""
        return self._levels[-1][1]

    def begin_savepoint(self, savepoint: str) -> None:
        """Keep the changes that follow apart, so that a rollback to the savepoint drops them."""
        self._levels.append((_comparable(savepoint), Changes()))

    def roll_back_to(self, savepoint: str) -> Changes:
        """Drop the changes since a savepoint, and return them; for one that is not known, drop nothing.

        The savepoint stays.
        """
        number = self._newest(savepoint)
        if number is None:
            return Changes()
        dropped = _joined(self._levels[number:])
        self._levels[number:] = [(self._levels[number][0], Changes())]
        return dropped

    def release(self, savepoint: str) -> None:
        """Forget a savepoint: the changes since then belong to the one around it."""
        number = self._newest(savepoint)
        if number is not None:
            name, changes = self._levels[number - 1]
            changes.merge(_joined(self._levels[number:]))
            self._levels[number - 1 :] = [(name, changes)]

    def _newest(self, savepoint: str) -> int | None:
        name = _comparable(savepoint)
        numbers = range(len(self._levels) - 1, 0, -1)
        return next((each for each in numbers if self._levels[each][0] == name), None)

    def all(self) -> Changes:
        """Return all changes, those that may be committed too."""
        return _joined([("", self.maybe_committed), *self._levels])

    def take_tags(self) -> tuple[str, ...]:
        """Return the tags of all changes, and count these as possibly committed from now on."""
        self.maybe_committed = self.all()
        self._levels = [("", Changes())]
        return self.maybe_committed.tags()


def _joined(levels: list[tuple[str, Changes]]) -> Changes:
    found = Changes()
    for _, changes in levels:
        found.merge(changes)
    return found
