"""From statements and their parameters to tags."""

from __future__ import annotations

import uuid
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest

from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.row_tags import RowTags
from cachemw.engine.model.tags import normalise
from cachemw.recording.context import Recording
from cachemw.recording.sql.read_rows import record
from cachemw.recording.sql.rows import Schema, Table, by_tag, spell, table_tag
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import Changes, written

NAME = "5b1c2f3e-0a6d-4c1e-9d57-0c1f2a3b4c5d"
SCHEMA = Schema(
    {
        "a": Table(
            key="id",
            foreign=frozenset({"b_id", "c_id"}),
            kinds={"id": "number", "b_id": "number", "c_id": "uuid"},
            generated=True,
        ),
        "b": Table(
            key="id",
            kinds={"id": "number"},
            cascades=frozenset({"a"}),
            referenced=frozenset({"code"}),
        ),
        "c": Table(key="id", kinds={"id": "uuid"}, cascades=frozenset({"d"})),
        "d": Table(key="slug", kinds={"slug": "text"}, cascades=frozenset({"c", "a"})),
        "links": Table(
            composite=True,
            foreign=frozenset({"a_id", "b_id"}),
            kinds={"a_id": "number", "b_id": "number"},
        ),
        "pairs": Table(foreign=frozenset({"a_id"}), kinds={"a_id": "number"}),
    }
)


def noted(sql: str, params: Any = (), vendor: str = "sqlite") -> set[str]:
    recording = Recording()
    record(recording, observe(sql, vendor), params, SCHEMA)
    return set(recording.close())


def purged(sql: str, params: Any = (), vendor: str = "sqlite", many: bool = False) -> set[str]:
    return set(written(observe(sql, vendor), params, SCHEMA, many=many))


READS = {
    "by key": ("SELECT * FROM a WHERE id = ?", [5], {"db:a:5"}),
    "by keys": ("SELECT * FROM a WHERE id IN (?, ?, 9)", [5, 7], {"db:a:5", "db:a:7", "db:a:9"}),
    "by name": ("SELECT * FROM a WHERE id = :id", {"id": 5}, {"db:a:5"}),
    "by a foreign key": ("SELECT * FROM a WHERE b_id = ?", [5], {"db:a:by:b_id=5"}),
    "by both": ("SELECT * FROM a WHERE b_id = ? AND id = ?", [5, 6], {"db:a:6"}),
    "by a foreign key, the key not being sure": (
        "SELECT * FROM a WHERE b_id = ? AND id = ?",
        [5, 6.5],
        {"db:a:by:b_id=5"},
    ),
    "by something else": ("SELECT * FROM a WHERE name = ?", ["x"], {"db:a"}),
    "by a key that is two columns": ("SELECT * FROM pairs WHERE id = ?", [5], {"db:pairs"}),
    "a table that nobody knows": ("SELECT * FROM z WHERE id = ?", [5], {"db:z"}),
    "no rows": ("SELECT * FROM a WHERE id IN ()", [], set()),
    "one of two": (
        "SELECT * FROM a x JOIN a y ON 1 WHERE x.id = 5",
        [],
        {"db:a"},
    ),
    "a value too few": ("SELECT * FROM a WHERE x = ? AND id = ?", [5], {"db:a"}),
    "a value too many": ("SELECT * FROM a WHERE id = ?", [5, 6], {"db:a"}),
    "a name that is not there": ("SELECT * FROM a WHERE id = :id", {"other": 5}, {"db:a"}),
    "no values": ("SELECT * FROM a WHERE id = ?", None, {"db:a"}),
    "one of the keys not sure": ("SELECT * FROM a WHERE id IN (?, ?)", [5, None], {"db:a"}),
    "not understood": ("SELECT f(x) FROM a WHERE id = 5", [], {"db:a:5", "db:?"}),
}


@pytest.mark.parametrize("case", READS)
def test_reads_become_the_tags_of_rows_where_they_are_of_known_rows(case: str) -> None:
    sql, params, wanted = READS[case]
    assert noted(sql, params) == wanted


def test_a_cast_to_another_kind_is_not_sure() -> None:
    assert noted("SELECT 1 FROM a WHERE id = $1::INTEGER", [5], "postgresql") == {"db:a:5"}
    assert noted("SELECT 1 FROM a WHERE id = $1::VARCHAR", [5], "postgresql") == {"db:a"}


def test_many_keys_are_the_whole_table() -> None:
    marks = ", ".join("?" * 65)
    assert noted(f"SELECT 1 FROM a WHERE id IN ({marks})", list(range(1, 66))) == {"db:a"}


ROW = {"db:?", "db:a"}
WRITES = {
    "an update": ("UPDATE a SET x = ? WHERE id = ?", [1, 5], ROW | {"db:a:5", "db:a:by:*"}),
    "of the key": ("UPDATE a SET id = ? WHERE id = ?", [1, 5], ROW | {"db:a:*"}),
    "of a row of columns": (
        "UPDATE a SET (x, id) = (?, ?) WHERE id = ?",
        [1, 2, 5],
        ROW | {"db:a:*"},
    ),
    "of many": ("UPDATE a SET x = ?", [1], ROW | {"db:a:*"}),
    "by a foreign key": ("UPDATE a SET x = 1 WHERE b_id = ?", [5], ROW | {"db:a:*"}),
    "with a key not sure": ("UPDATE a SET x = 1 WHERE id = ?", [5.0], ROW | {"db:a:*"}),
    "of a referenced column": (
        "UPDATE b SET code = 1 WHERE id = 5",
        [],
        ROW | {"db:a:*", "db:b", "db:b:5", "db:b:by:*"},
    ),
    "of another column": (
        "UPDATE b SET x = 1 WHERE id = 5",
        [],
        {"db:?", "db:b", "db:b:5", "db:b:by:*"},
    ),
    "a delete": (
        "DELETE FROM a WHERE id IN (?, ?)",
        [5, 6],
        ROW | {"db:a:5", "db:a:6", "db:a:by:*"},
    ),
    "a delete that goes on": (
        "DELETE FROM b WHERE id = ?",
        [5],
        ROW | {"db:a:*", "db:b", "db:b:5", "db:b:by:*"},
    ),
    "and on": (
        "DELETE FROM c WHERE id = ?",
        [NAME],
        {"db:?", "db:c", "db:c:*", "db:d", "db:d:*", "db:a", "db:a:*"},
    ),
    "an insert": (
        "INSERT INTO a (id, b_id, c_id) VALUES (?, ?, ?)",
        [5, 6, None],
        ROW | {"db:a:5", "db:a:by:b_id=6"},
    ),
    "an insert of rows": (
        "INSERT INTO a (id, b_id, c_id) VALUES (?, ?, NULL), (?, ?, NULL)",
        [5, 6, 7, 8],
        ROW | {"db:a:5", "db:a:7", "db:a:by:b_id=6", "db:a:by:b_id=8"},
    ),
    "a reference by default": (
        "INSERT INTO a (id, b_id) VALUES (?, ?)",
        [5, 6],
        ROW | {"db:a:5", "db:a:by:*"},
    ),
    "a reference not sure": (
        "INSERT INTO a (id, b_id, c_id) VALUES (?, ?, NULL)",
        [5, 0],
        ROW | {"db:a:5", "db:a:by:*"},
    ),
    "a key of the database's": (
        "INSERT INTO a (b_id, c_id) VALUES (?, NULL)",
        [6],
        ROW | {"db:a:*"},
    ),
    "no values": ("INSERT INTO a (id, b_id, c_id) VALUES (?, ?, ?)", None, ROW | {"db:a:*"}),
    "from a query": ("INSERT INTO b (x) SELECT 1", [], {"db:?", "db:b", "db:b:*"}),
    "upserted": (
        "INSERT INTO b (id) VALUES (1) ON CONFLICT DO UPDATE SET code = 1",
        [],
        ROW | {"db:a:*", "db:b", "db:b:*"},
    ),
    "replaced": (
        "INSERT OR REPLACE INTO b (id) VALUES (?)",
        [5],
        ROW | {"db:a:*", "db:b", "db:b:*"},
    ),
    "dropped": ("DROP TABLE b", [], ROW | {"db:a:*", "db:b", "db:b:*"}),
    "a table that nobody knows": (
        "UPDATE z SET x = 1 WHERE id = 5",
        [],
        {"db:?", "db:z", "db:z:*"},
    ),
    "not understood": ("CALL f()", [], {"db:*"}),
    "nothing": ("SELECT 1", [], set()),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes_purge_the_rows_that_they_may_reach(case: str) -> None:
    sql, params, wanted = WRITES[case]
    assert purged(sql, params) == wanted


def test_every_round_of_many_is_counted() -> None:
    sql = "UPDATE a SET x = ? WHERE id = ?"
    assert purged(sql, [(1, 5), (1, 6)], many=True) == ROW | {"db:a:5", "db:a:6", "db:a:by:*"}
    assert purged(sql, [(1, n) for n in range(1, 70)], many=True) == ROW | {"db:a:*"}


def test_rounds_that_can_be_read_once_only_are_left_to_the_driver() -> None:
    rounds = iter([(1, 5)])
    assert purged("UPDATE a SET x = ? WHERE id = ?", rounds, many=True) == ROW | {"db:a:*"}
    assert next(rounds) == (1, 5)


def test_inserts_of_more_rows_than_can_be_named_are_of_all_rows() -> None:
    rows = ", ".join(["(?, NULL, NULL)"] * 65)
    sql = f"INSERT INTO a (id, b_id, c_id) VALUES {rows}"
    assert purged(sql, list(range(1, 66))) == ROW | {"db:a:*"}


class Shout(str):
    pass


class Word(StrEnum):
    A = "a"


class Whole(int):
    pass


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        ("number", [5, "5", "05", Whole(5)], "5"),
        ("number", [-5, "-5"], "-5"),
        (
            "number",
            [
                0,
                "0",
                True,
                5.0,
                "5.0",
                "5abc",
                " 5",
                "5 ",
                "+5",
                "\u0665",
                "1" * 16,
                Decimal(5),
                None,
                b"5",
            ],
            None,
        ),
        (
            "uuid",
            [uuid.UUID(NAME), NAME, NAME.upper(), uuid.UUID(NAME).hex],
            f"'{uuid.UUID(NAME).hex}",
        ),
        ("uuid", ["x", 5, None, NAME[:-1] + "g", f"{{{NAME}}}"], None),
        ("text", ["Red", "red", "RED  ", Shout("red")], "'red"),
        ("text", ["007"], "'007"),
        ("text", ["a:b", "A:B "], "'a%3ab"),
        (
            "text",
            [
                "",
                " ",
                "é",
                "a\n",
                "a\x00",
                "x" * 101,
                5,
                None,
                b"a",
                Word.A,
                date(2026, 1, 1),
            ],
            None,
        ),
        (None, [5, "a"], None),
    ],
)
def test_values_have_one_spelling_where_the_database_surely_takes_them_for_equal(
    kind: Any, values: list[Any], wanted: str | None
) -> None:
    assert {spell(kind, value) for value in values} == {wanted}


@pytest.mark.parametrize("name", ["a:b", "*", "?", "x*"])
def test_a_table_with_an_odd_name_cannot_take_anothers_tag(name: str) -> None:
    assert not set(":*?") & set(table_tag(name).removeprefix("db:"))


def test_long_names_stay_tags() -> None:
    long = by_tag("x" * 500, "y" * 500, "'" + "z" * 100)
    (concealed,) = RowTags(KeyMaker("shop", b"s")).conceal((long,))
    assert normalise(concealed) == concealed  # else it would be shortened, and have no families
    assert table_tag("x" * 500) == table_tag("x" * 500) != table_tag("x" * 501)


def test_an_insert_purges_no_keys_of_a_table_whose_rows_have_none_of_one_column() -> None:
    sql = "INSERT INTO links (a_id, b_id, n) VALUES (?, ?, 1)"
    assert purged(sql, [5, 7]) == {"db:?", "db:links", "db:links:by:a_id=5", "db:links:by:b_id=7"}
    assert "db:pairs:*" in purged("INSERT INTO pairs (a_id) VALUES (?)", [5])  # it may have a key


# Keys that are told afterwards ---------------------------------------------------------------------


def inserted(times: int) -> Changes:
    changes = Changes()
    sql = "INSERT INTO a (b_id, c_id) VALUES (?, NULL)"
    for number in range(times):
        changes.add(observe(sql, "sqlite"), [number + 1], SCHEMA)
    return changes


def test_an_insert_whose_key_is_told_is_of_that_row() -> None:
    changes = inserted(1)
    changes.learn_key("a", "17")
    assert set(changes.tags()) == ROW | {"db:a:17", "db:a:by:b_id=1"}


def test_one_key_of_two_is_not_enough() -> None:
    changes = inserted(2)
    changes.learn_key("a", "17")
    changes.learn_key("a", "17")
    assert "db:a:*" in changes.tags()
    changes.learn_key("a", "18")
    assert "db:a:*" not in changes.tags()


def test_a_key_that_the_statement_gave_stands_for_no_other_insert() -> None:
    changes = inserted(1)
    changes.add(observe("INSERT INTO a (id) VALUES (?)", "sqlite"), [5], SCHEMA)
    changes.learn_key("a", "5")
    assert "db:a:*" in changes.tags()


def test_merged_changes_are_all_of_them() -> None:
    changes, other = inserted(1), inserted(1)
    changes.merge(other)
    changes.learn_key("a", "1")
    assert "db:a:*" in changes.tags()
    changes.learn_key("a", "2")
    everything = Changes()
    everything.add_everything()
    changes.merge(everything)
    assert changes.tags() == ("db:*",)


def test_a_purge_of_very_many_rows_is_one_of_tables() -> None:
    changes = Changes()
    for table in range(20):
        observed = observe(f"UPDATE t{table} SET x = 1 WHERE id = ?", "sqlite")
        schema = Schema({f"t{table}": Table(key="id", kinds={"id": "number"})})
        for key in range(1, 61):
            changes.add(observed, [key], schema)
    tags = changes.tags()
    assert len(tags) == 41
    assert "db:t7:*" in tags
