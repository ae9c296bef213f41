"""The transaction of one database connection: what it has written, and when that is purged.

A purge must follow the commit, or an entry could be made again from old rows (I5). It must also come
before anything that waits for the commit: Django's `on_commit` hooks may raise, or take long.

| how a statement runs | what it writes is purged |
|---|---|
| autocommit | at once, after the statement |
| `atomic` | once, when the commit has returned or raised, before any hook |
| a transaction begun by a statement, or by `set_autocommit(False)` | at once, and again when it ends |
| Django's `TestCase`, which never commits | at once, and again when it is rolled back |

Why at once *and* again:

- Django does not tell when a transaction ends that somebody has begun by hand. The end is seen in most
  cases: by a `COMMIT` statement, `connection.commit()`, `set_autocommit(True)`, or the next statement. The
  first purge is there in case it is missed; the second removes what was stored from the old rows in between.
- In a `TestCase` everything happens in one transaction, so every response is made from what is not
  committed. The rollback at the end of the test changes the rows again.

A commit that raises may have been carried out, with only its acknowledgement lost. So it purges, and the
changes are kept: the rollback that follows, or the next connection, purges them again.

A rollback drops what was written since the savepoint, or all of it. Where a response is being recorded in
the same context, it may have read what is gone now, so its rows are purged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from cachemw.recording.context import Position, open_recording
from cachemw.recording.sql.pending import Pending, may_commit, read_autocommit, read_savepoint
from cachemw.recording.sql.written_rows import Changes

__all__ = ["Event", "Transaction"]

Event = Literal["commit", "failed commit", "rollback", "new connection"]
"""How a transaction has ended. `new connection`: the old one is gone, and its transaction with it."""
_Way = Literal["autocommit", "atomic", "at once"]
_COMMIT_UNASKED = frozenset({"mysql", "oracle"})
"""Vendors that commit before and after every change of a table's structure."""
_IDLE = 0
"""The status of psycopg's connections that are in no transaction."""


class Transaction:
    """The writes of one connection since its last commit, and the age of what it reads."""

    def __init__(self, purge: Callable[[tuple[str, ...]], None]) -> None:
        self._purge = purge
        self._pending: Pending | None = None
        self._by_hand = False
        """Whether a statement, such as BEGIN, has begun the transaction."""
        self._repeats = False
        """Whether what was purged at once is to be purged again at the end."""
        self.snapshot: Position | None = None
        """The position of the log when the transaction began.

        Its reads may be of rows from then, however late they are (REPEATABLE READ).
        """

    def look(self, connection: Any, position: Callable[[], Position]) -> None:
        """Note where the log is if a transaction has begun. If one is over unseen, purge what it wrote.

        To be called before each statement.
        """
        if self._way(connection) == "autocommit":
            if self._pending is not None:
                self.after("commit")
            self.snapshot = None
        elif self.snapshot is None and not _is_test(connection):
            self.snapshot = position()

    def note_write(self, connection: Any, changes: Changes) -> None:
        """Keep the changes of a statement that has run, or purge them (see the table at the top)."""
        way = self._way(connection)
        if way == "autocommit":
            return self._purge(changes.tags())
        pending = self._begun()
        pending.changes.merge(changes)
        if way == "at once":
            self._repeats = True
            self._purge(changes.tags())
        return None

    def note_end(self, connection: Any, sql: Any) -> None:
        """Purge what was written if a statement may have committed it unasked, whether it failed or not."""
        if self._pending and connection.vendor in _COMMIT_UNASKED and may_commit(sql):
            self._purge(self._pending.take_tags())

    def note_savepoint(self, connection: Any, sql: Any) -> None:
        """Follow a statement that has run, if it is about a savepoint or about autocommit."""
        if connection.vendor == "mysql" and read_autocommit(sql) is False:
            return self.begin_by_hand(connection)
        savepoint = read_savepoint(sql)
        if savepoint is None:
            return None
        pending = self._begun()
        if savepoint.action == "begin":
            pending.begin_savepoint(savepoint.name)
        elif savepoint.action == "release":
            pending.release(savepoint.name)
        else:
            self._forget(pending.roll_back_to(savepoint.name), self._repeats)
        return None

    def begin_by_hand(self, connection: Any) -> None:
        """Note that a statement has begun a transaction."""
        self._by_hand = connection.autocommit and not connection.in_atomic_block

    @property
    def changes(self) -> Changes | None:
        """The changes since the last savepoint, which are not purged yet."""
        return None if self._pending is None else self._pending.changes

    def after(self, event: Event) -> None:
        """Purge what was written once it is committed, or may be; forget it when it is rolled back."""
        pending = self._pending
        if (
            event == "new connection"
        ):  # a transaction that Django manages was not committed before it
            event = "commit" if self._repeats else "rollback"
        if event == "failed commit":  # keep the changes: nobody knows
            if pending:
                self._purge(pending.take_tags())
            return
        repeats = self._repeats
        self._pending, self.snapshot = None, None
        self._by_hand = self._repeats = False
        if pending and event == "commit":
            self._purge(pending.all().tags())
        elif pending:
            self._purge(pending.maybe_committed.tags())
            self._forget(pending.all(), repeats)

    def _forget(self, dropped: Changes, repeats: bool) -> None:
        """Purge rows that are as they were again, if somebody may have seen them changed."""
        if dropped and (repeats or open_recording() is not None):
            self._purge(dropped.tags())

    def _begun(self) -> Pending:
        if self._pending is None:
            self._pending = Pending()
        return self._pending

    def _way(self, connection: Any) -> _Way:
        if connection.in_atomic_block:
            managed = connection.commit_on_exit and not _is_test(connection)
            return "atomic" if managed else "at once"
        if self._by_hand or not connection.autocommit or _has_begun(connection):
            return "at once"
        return "autocommit"


def _is_test(connection: Any) -> bool:
    """Tell whether the transaction is that of a `TestCase`, which is never committed."""
    blocks = connection.atomic_blocks
    return bool(blocks) and blocks[0]._from_testcase


def _has_begun(connection: Any) -> bool:
    """Tell whether the driver says that a transaction is open, where Django knows of none."""
    raw = connection.connection
    if raw is None:
        return False
    if connection.vendor == "sqlite":
        return bool(raw.in_transaction)
    if connection.vendor == "postgresql":
        info = getattr(raw, "info", None)  # of psycopg 2 and 3
        return getattr(info, "transaction_status", _IDLE) != _IDLE
    return False
