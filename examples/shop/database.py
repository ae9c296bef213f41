"""Connections: a few per process, each used by one thread at a time."""

from __future__ import annotations

import os
import queue
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Database:
    """A pool over one SQLite file in WAL mode: readers never wait for the writer."""

    def __init__(self, path: Path, connections: int = 16) -> None:
        self._path = path
        # None stands for a connection that nobody needed yet; the newest is taken first.
        self._idle: queue.LifoQueue[sqlite3.Connection | None] = queue.LifoQueue()
        for _ in range(connections):
            self._idle.put(None)
        self._pid = os.getpid()

    def rows(self, sql: str, **values: object) -> list[Row]:
        """Return every row of a query."""
        with self._connection() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, **values: object) -> Row | None:
        """Return the first row of a query, or None."""
        with self._connection() as connection:
            found: Row | None = connection.execute(sql, values).fetchone()
            return found

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the write lock for the block: committed at its end, undone if it raises."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close what is open; for the end of a process, when no request is running."""
        while not self._idle.empty():
            if connection := self._idle.get_nowait():
                connection.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # SQLite connections must not cross a fork; a server that loads the application before it
        # forks its workers would carry them over if the parent had ever read something.
        assert os.getpid() == self._pid, "make the shop in the worker, not before the fork"
        connection = self._idle.get()
        try:
            connection = connection or self._connect()
            yield connection
        finally:
            self._idle.put(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10
        )
        connection.row_factory = _as_dict
        connection.executescript(
            "PRAGMA synchronous = NORMAL; PRAGMA mmap_size = 268435456; PRAGMA foreign_keys = ON;"
        )
        return connection


def _as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def required(row: Mapping[str, Any] | None, what: str) -> Row:
    """Return the row; raises ShopError(404) for None."""
    if row is None:
        raise ShopError(404, f"no such {what}")
    return dict(row)


class ShopError(Exception):
    """What is wrong with a request, as every front end answers it."""

    def __init__(self, status: int, detail: str) -> None:
        self.status = status
        self.detail = detail
        super().__init__(detail)
