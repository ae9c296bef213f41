"""Keys that a driver tells of inserted rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from cachemw.recording.sql.inserted import learn_keys
from cachemw.recording.sql.rows import Schema, Table
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import Changes

SCHEMA = Schema(
    {
        "a": Table(key="id", kinds={"id": "number"}, generated=True),
        "b": Table(key="code", kinds={"code": "number"}),
    }
)


@pytest.fixture
def cursor() -> Iterator[sqlite3.Cursor]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, x)")
        connection.execute("CREATE TABLE b (code BIGINT PRIMARY KEY DEFAULT 7, x)")
        yield connection.cursor()


def purged(cursor: sqlite3.Cursor, sql: str) -> set[str]:
    observed, changes = observe(sql, "sqlite"), Changes()
    changes.add(observed, (), SCHEMA)
    cursor.execute(sql)
    learn_keys(changes, observed, cursor, "sqlite", SCHEMA)
    return set(changes.tags()) - {"db:?"}


def test_the_key_that_the_database_made_is_taken(cursor: sqlite3.Cursor) -> None:
    assert purged(cursor, "INSERT INTO a (x) VALUES (1)") == {"db:a", "db:a:1"}
    assert purged(cursor, "INSERT INTO a (id, x) VALUES (NULL, 1) RETURNING id") == {
        "db:a",
        "db:a:2",
    }
    assert purged(cursor, "INSERT INTO a DEFAULT VALUES") == {"db:a", "db:a:3"}


def test_of_several_rows_only_one_is_known(cursor: sqlite3.Cursor) -> None:
    assert purged(cursor, "INSERT INTO a (x) VALUES (1), (2)") == {"db:a", "db:a:*"}
    assert purged(cursor, "INSERT INTO a (id) VALUES (NULL), (50)") == {"db:a", "db:a:*"}
    assert purged(cursor, "INSERT INTO a (x) SELECT 1") == {"db:a", "db:a:*"}


def test_a_key_that_is_not_the_rows_number_is_not_known(cursor: sqlite3.Cursor) -> None:
    """Fails where any key that is a number is taken for it: this row has the key 7."""
    assert purged(cursor, "INSERT INTO b (x) VALUES (1)") == {"db:b", "db:b:*"}
