"""What a transaction has written so far, to be purged once it is committed."""

from __future__ import annotations

from typing import Any

from cachemw.recording.sql.rows import Changes

__all__ = ["Pending"]


class Pending:
    """The changes of one transaction, by its savepoints. Used by one thread at a time."""

    __slots__ = ("_levels", "inserts", "lasting")

    def __init__(self) -> None:
        self._levels: list[tuple[str, Changes]] = [("", Changes())]
        self.lasting = Changes()
        """What may be committed already, and so is not undone by a rollback."""
        self.inserts: list[tuple[Changes, Any]] = []
        """Where rows were inserted whose keys are not known yet, and who will tell them."""

    def __bool__(self) -> bool:
        return bool(self.lasting) or any(changes for _, changes in self._levels)

    @property
    def changes(self) -> Changes:
        """What has been written since the last savepoint."""
        return self._levels[-1][1]

    def mark(self, savepoint: str) -> None:
        """Note what follows apart, until the transaction ends or goes back to before it."""
        self._levels.append((savepoint, Changes()))

    def undo(self, savepoint: str) -> None:
        """Forget what was written since; a savepoint that is not known takes nothing back."""
        names = [name for name, _ in self._levels]
        if savepoint in names[1:]:
            del self._levels[names.index(savepoint, 1) :]

    def settle(self) -> tuple[str, ...]:
        """Give all tags, and keep what they stand for as what may be committed already."""
        for _, changes in self._levels:
            self.lasting.merge(changes)
        self._levels = [("", Changes())]
        return self.lasting.tags()
