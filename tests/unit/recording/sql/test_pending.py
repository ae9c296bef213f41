"""Statements that end a transaction, or a part of it."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.observed import Observed, Write
from cachemw.recording.sql.pending import Pending, may_commit, read_autocommit, read_savepoint
from cachemw.recording.sql.rows import Schema


@pytest.mark.parametrize(
    "sql",
    [
        *("SELECT 1", "UPDATE t SET a = 1;", "WITH x AS (SELECT 1) DELETE FROM t", "SAVEPOINT a"),
        *("ROLLBACK TO a", "SET NAMES utf8", "RELEASE SAVEPOINT a", "EXPLAIN SELECT 1"),
    ],
)
def test_these_commit_nothing(sql: str) -> None:
    assert not may_commit(sql)


@pytest.mark.parametrize(
    "sql",
    [
        *("COMMIT", "CALL f()", "CREATE INDEX i ON t (a)", "alter table t add b int", "TRUNCATE t"),
        *("SET autocommit = 1", "SET @@session.autocommit := ON", "LOCK TABLES t READ"),
        *("UPDATE t SET a = 1; COMMIT", "UPDATE t SET a = 1; CREATE TABLE u (a int)", b"UPDATE t"),
        "/* of somebody */ SELECT 1",
    ],
)
def test_these_may_commit(sql: object) -> None:
    assert may_commit(sql)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SET autocommit=0", False),
        ("set session autocommit = OFF;", False),
        ("SET @@autocommit = 1", True),
        ("SET autocommit_x = 1", None),
        ("SELECT 1", None),
        (None, None),
    ],
)
def test_what_switches_autocommit_is_read(sql: object, wanted: bool | None) -> None:
    assert read_autocommit(sql) is wanted


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SAVEPOINT a", ("begin", "a")),
        ('  savepoint "A b" ; ', ("begin", '"A b"')),
        ("ROLLBACK TO a", ("rollback", "a")),
        ("ROLLBACK WORK TO SAVEPOINT a", ("rollback", "a")),
        ("ROLLBACK TRANSACTION TO a", ("rollback", "a")),
        ("RELEASE a", ("release", "a")),
        ("RELEASE SAVEPOINT `a`", ("release", "`a`")),
        ("ROLLBACK", None),
        ("SELECT 1", None),
        (b"SAVEPOINT a", None),
        ("SAVEPOINT " + "a" * 500, None),
    ],
)
def test_savepoints_are_read(sql: object, wanted: tuple[str, str] | None) -> None:
    assert read_savepoint(sql) == wanted


def test_a_name_in_other_quotes_or_case_goes_to_the_newest() -> None:
    """Fails where a change is dropped that the database keeps."""
    pending = Pending()
    schema = Schema()

    def write(table: str) -> None:
        pending.changes.add(Observed(writes=(Write(table, "whole"),)), None, schema)

    pending.begin_savepoint('"a"')
    write("t")
    pending.begin_savepoint("A")
    write("u")
    dropped = pending.roll_back_to('"a"')
    assert "db:u" in dropped.tags()
    assert "db:t" not in dropped.tags()
    assert "db:t" in pending.take_tags()
    assert not pending.roll_back_to("nobody")
    assert "db:t" in pending.maybe_committed.tags()
