"""Changes of a transaction, kept to be purged once it is committed."""

from __future__ import annotations

from typing import Any

from cachemw.recording.sql.written_rows import Changes

__all__ = ["Pending"]


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
        self._levels.append((savepoint, Changes()))

    def roll_back_to(self, savepoint: str) -> None:
        """Drop the changes since a savepoint; for one that is not known, drop nothing."""
        names = [name for name, _ in self._levels]
        if savepoint in names[1:]:
            del self._levels[names.index(savepoint, 1) :]

    def take_tags(self) -> tuple[str, ...]:
        """Return the tags of all changes, and count these as possibly committed from now on."""
        for _, changes in self._levels:
            self.maybe_committed.merge(changes)
        self._levels = [("", Changes())]
        return self.maybe_committed.tags()
