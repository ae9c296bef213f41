"""What texts read and write, and how they are remembered."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import pytest

from cachemw.recording.sql import statements
from cachemw.recording.sql.lexical.parsing import parse
from cachemw.recording.sql.observed import OPAQUE, Constant, Observed
from cachemw.recording.sql.statements import observe
from tests.unit.recording.sql.brief import brief, opaque, read

RESTRICTED = {
    "a literal": ("SELECT * FROM a WHERE a.id = 5", {"a[id]"}),
    "a placeholder": ("SELECT * FROM a WHERE a.id = %s", {"a[id]"}),
    "a named placeholder": ("SELECT * FROM a WHERE a.id = %(id_1)s", {"a[id]"}),
    "the value first": ("SELECT * FROM a WHERE %s = a.id", {"a[id]"}),
    "a list": ("SELECT * FROM a WHERE a.id IN (%s, 7, %s)", {"a[id]"}),
    "no table said, and one there": ("SELECT * FROM a WHERE id = %s", {"a[id]"}),
    "an alias": ("SELECT * FROM a AS x WHERE x.id = %s", {"a[id]"}),
    "an alias in other letters": ('SELECT * FROM a X WHERE "x"."ID" = %s', {"a[id]"}),
    "a schema": ('SELECT * FROM "shop"."A" WHERE "A"."id" = %s', {"a[id]"}),
    "others beside it": (
        "SELECT * FROM a WHERE a.x > 1 AND (a.id = %s AND a.y LIKE 'b')",
        {"a[id]"},
    ),
    "two columns": ("SELECT * FROM a WHERE a.id = %s AND a.b_id = %s", {"a[b_id,id]"}),
    "an aggregate": ("SELECT COUNT(*), MAX(a.x) FROM a WHERE a.id = %s GROUP BY a.y", {"a[id]"}),
    "HAVING beside it": (
        "SELECT a.y FROM a WHERE a.id = %s GROUP BY 1 HAVING COUNT(*) > 1",
        {"a[id]"},
    ),
    "a window": ("SELECT ROW_NUMBER() OVER (ORDER BY x) FROM a WHERE a.id = %s", {"a[id]"}),
    "DISTINCT, ORDER BY, LIMIT": (
        "SELECT DISTINCT x FROM a WHERE a.id = %s ORDER BY x LIMIT %s OFFSET 2",
        {"a[id]"},
    ),
    "FOR UPDATE": ("SELECT * FROM a WHERE a.id = %s FOR UPDATE OF a SKIP LOCKED", {"a[id]"}),
    "a cast of the value": ("SELECT * FROM a WHERE a.id = %s::INTEGER", {"a[id]"}),
    "casts in a list": ("SELECT * FROM a WHERE a.id IN ($1::UUID, $2::UUID)", {"a[id]"}),
    "a join": ("SELECT * FROM a JOIN b ON a.b_id = b.id WHERE a.id = %s", {"a[id]", "b"}),
    "the outer side of a join": (
        "SELECT * FROM b LEFT JOIN a ON a.b_id = b.id WHERE a.id = %s",
        {"a[id]", "b"},
    ),
    "a full join": ("SELECT * FROM a FULL JOIN b ON a.b_id = b.id WHERE a.id = %s", {"a[id]", "b"}),
    "a comma": ("SELECT * FROM a, b WHERE a.id = %s AND b.id = 4", {"a[id]", "b[id]"}),
    "brackets in FROM": (
        "SELECT * FROM (a JOIN b ON true) JOIN c ON true WHERE a.id = %s",
        {"a[id]", "b", "c"},
    ),
    "the same table twice": (
        "SELECT * FROM a x JOIN a y ON x.id = y.p WHERE x.id = %s",
        {"a[id]", "a"},
    ),
    "each SELECT of a UNION": (
        "SELECT 1 FROM a WHERE a.id = %s UNION SELECT 1 FROM b",
        {"a[id]", "b"},
    ),
    "a subquery for itself": (
        "SELECT * FROM b WHERE EXISTS (SELECT 1 FROM a WHERE a.id = %s AND a.b_id = b.id)",
        {"a[id]", "b"},
    ),
    "a derived table": ("SELECT * FROM (SELECT * FROM a WHERE a.id = %s) x", {"a[id]"}),
    "a common table expression": (
        "WITH x AS (SELECT * FROM a WHERE a.id = %s) SELECT * FROM x",
        {"a[id]"},
    ),
    "a recursive one": (
        "WITH RECURSIVE t AS (SELECT * FROM a WHERE a.id = %s UNION ALL SELECT a.* FROM a, t WHERE"
        " a.p = t.id) SELECT * FROM t",
        {"a[id]", "a", "t"},
    ),
    "OR of one column": ("SELECT * FROM a WHERE (a.id = %s OR a.id IN (2, 3)) AND x", {"a[id]"}),
    "a cursor": ("DECLARE c NO SCROLL CURSOR FOR SELECT * FROM a WHERE id = 5", {"a[id]"}),
    "a comment": ("/* route='x?' */ SELECT * FROM a -- b\nWHERE a.id = %s", {"a[id]"}),
}


@pytest.mark.parametrize("case", RESTRICTED)
def test_a_condition_that_all_rows_must_meet_restricts_its_table(case: str) -> None:
    sql, wanted = RESTRICTED[case]
    assert read(sql) == wanted


WHOLE = {
    "OR": ("SELECT * FROM a WHERE a.id = %s OR a.x = 1", {"a"}),
    "OR of two columns": ("SELECT * FROM a WHERE a.id = %s OR a.x = 1 OR a.id = 2", {"a"}),
    "OR of one column of two tables": (
        "SELECT * FROM a, b WHERE a.id = %s OR b.id = %s",
        {"a", "b"},
    ),
    "OR in brackets": ("SELECT * FROM a WHERE (a.id = %s OR a.x = 1) AND a.y = 2", {"a[y]"}),
    "NOT": ("SELECT * FROM a WHERE NOT a.id = %s", {"a"}),
    "NOT in brackets": ("SELECT * FROM a WHERE NOT (a.id = %s)", {"a"}),
    "NOT IN": ("SELECT * FROM a WHERE a.id NOT IN (%s, %s)", {"a"}),
    "unequal": ("SELECT * FROM a WHERE a.id <> %s", {"a"}),
    "more than": ("SELECT * FROM a WHERE a.id >= %s", {"a"}),
    "whether it is": ("SELECT * FROM a WHERE a.id = %s IS NULL", {"a"}),
    "compared again": ("SELECT * FROM a WHERE (a.id = %s) = false", {"a"}),
    "a cast of the column": ("SELECT * FROM a WHERE a.id::text = %s", {"a"}),
    "a cast that cuts": ("SELECT * FROM a WHERE a.id = %s::VARCHAR(2)", {"a"}),
    "a cast to a flag": ("SELECT * FROM a WHERE a.id = %s::BOOLEAN", {"a"}),
    "a function of the value": ("SELECT * FROM a WHERE a.id = ABS(%s)", {"a"}),
    "a function of the column": ("SELECT * FROM a WHERE LOWER(a.id) = %s", {"a"}),
    "a sum": ("SELECT * FROM a WHERE a.id = %s + 1", {"a"}),
    "a collation": ('SELECT * FROM a WHERE a.id = %s COLLATE "x"', {"a"}),
    "two columns alike": ("SELECT * FROM a JOIN b ON true WHERE a.id = b.id", {"a", "b"}),
    "the condition of a join": ("SELECT * FROM b LEFT JOIN a ON a.id = %s", {"a", "b"}),
    "HAVING": ("SELECT id FROM a GROUP BY id HAVING a.id = %s", {"a"}),
    "FILTER": ("SELECT COUNT(*) FILTER (WHERE a.id = %s) FROM a", {"a"}),
    "a column of no said table among several": ("SELECT * FROM a, b WHERE id = %s", {"a", "b"}),
    "the same beside a derived table": ("SELECT * FROM a, (SELECT 1 AS id) x WHERE id = %s", {"a"}),
    "a list with an expression": ("SELECT * FROM a WHERE a.id IN (%s, 1 + 1)", {"a"}),
    "a subquery as the list": ("SELECT * FROM a WHERE a.id IN (SELECT x FROM b)", {"a", "b"}),
    "the outer table in a subquery": (
        "SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE a.id = %s)",
        {"a", "b"},
    ),
    "outside of a derived table": ("SELECT * FROM (SELECT * FROM a) x WHERE x.id = %s", {"a"}),
    "outside of a common table expression": (
        "WITH x AS (SELECT * FROM a) SELECT * FROM x WHERE x.id = %s",
        {"a"},
    ),
    "one name for two tables": ("SELECT * FROM s1.a, s2.a WHERE a.id = %s", {"a"}),
    "columns that have other names": ("SELECT * FROM a AS x(pk, id) WHERE x.id = %s", {"a"}),
    "a sample": ("SELECT * FROM a TABLESAMPLE SYSTEM (10) WHERE a.id = %s", {"a"}),
    "a row of values": ("SELECT * FROM a WHERE (a.id, a.x) = (%s, %s)", {"a"}),
}


@pytest.mark.parametrize("case", WHOLE)
def test_anything_else_reads_the_whole_table(case: str) -> None:
    sql, wanted = WHOLE[case]
    assert read(sql) == wanted


ELSEWHERE = {
    "XOR, weaker than AND": ("mysql", "SELECT * FROM a WHERE a.id = 5 AND b XOR c", {"a"}),
    "|| for OR": ("mysql", "SELECT * FROM a WHERE a.id = 5 AND b || c", {"a"}),
    "|| for who knows what": ("", "SELECT * FROM a WHERE a.id = 5 AND b || c", {"a"}),
    "CONNECT BY, before WHERE": (
        "oracle",
        "SELECT * FROM a WHERE a.id = 5 CONNECT BY PRIOR a.id = a.p",
        {"a"},
    ),
    "an outer join by a mark": (
        "oracle",
        "SELECT * FROM a, b WHERE a.x = b.y(+) AND a.id = 5",
        {"a", "b"},
    ),
    "the nearest row of a join": (
        "snowflake",
        "SELECT * FROM b ASOF JOIN a MATCH_CONDITION (b.t >= a.t) WHERE a.id = 5",
        {"a", "b"},
    ),
    "a partition": ("mysql", "SELECT * FROM a PARTITION (p0) WHERE id = 5", {"a"}),
    "brackets for quotes": (
        "microsoft",
        "SELECT TOP 1 [x].[id] FROM [dbo].[A] AS [x] WHERE [x].[id] = %s",
        {"a[id]"},
    ),
    "backquotes": ("mysql", "SELECT `a`.`id` FROM `a` WHERE `a`.`id` = %s", {"a[id]"}),
    "strings with backslashes": (
        "mysql",
        "SELECT 'it\\'s', \"?\" FROM a WHERE a.id = %s",
        {"a[id]"},
    ),
    "a backslash that escapes nothing": (
        "sqlite",
        "SELECT * FROM a WHERE x LIKE %s ESCAPE '\\' AND a.id = %s",
        {"a[id]"},
    ),
    "FETCH FIRST": (
        "oracle",
        'SELECT "A"."ID" FROM "A" WHERE "A"."ID" = :arg0 FETCH FIRST 21 ROWS ONLY',
        {"a[id]"},
    ),
    "lateral": (
        "postgresql",
        "SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.id = 5) x WHERE a.id = 3",
        {"a[id]", "b[id]"},
    ),
    "a semijoin": (
        "duckdb",
        "SELECT * FROM a SEMI JOIN b ON a.id = b.id WHERE a.id = 5",
        {"a", "b"},
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_each_database_is_read_in_its_own_way(case: str) -> None:
    vendor, sql, wanted = ELSEWHERE[case]
    assert read(sql, vendor) == wanted


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", {"a"}),
        ("WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y", {"y"}),
        ('WITH "A" AS (SELECT 1) SELECT * FROM a', {"a"}),
        ("WITH A AS (SELECT 1) SELECT * FROM a", set()),
        ("WITH a AS (SELECT 1) SELECT * FROM shop.a", {"a"}),
        ("WITH a AS (SELECT 1) SELECT * FROM b WHERE x IN (SELECT * FROM a)", {"b"}),
        ("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x JOIN a ON true", {"a"}),
    ],
)
def test_a_name_is_a_common_table_expression_only_where_it_surely_is(sql: str, wanted: set) -> None:
    assert read(sql) == wanted


@pytest.mark.parametrize(
    "sql", ["/*! DELETE FROM a */", "SELECT 5--3 FROM a", "SELECT 1 /* /* */ FROM a */"]
)
def test_comments_that_are_none_are_not_taken_for_some(sql: str) -> None:
    assert opaque(sql, "mysql")


@pytest.mark.parametrize("sql", [b"\xff", None, 5, object(), ["SELECT 1"]])
def test_what_is_no_text_is_opaque(sql: object) -> None:
    assert observe(sql, "sqlite") is OPAQUE  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT s1",
        "RELEASE SAVEPOINT s1",
        "ROLLBACK TO SAVEPOINT s1",
        "SET TIME ZONE 'UTC'",
        "SHOW server_version",
        "PRAGMA foreign_keys = ON",
        "LISTEN x",
        "VACUUM",
        "ANALYZE",
        "CREATE UNIQUE INDEX i ON a (x)",
        "DROP INDEX i",
        "",
        "  ",
        "-- nothing",
    ],
)
def test_statements_about_the_connection_read_and_write_nothing(
    sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "parse", None)  # and are not parsed
    observed = observe(f"{sql} ", "sqlite")
    assert brief(observed) == (set(), set())
    assert not observed.boundary
    assert not observed.changes


@pytest.mark.parametrize(
    ("sql", "boundary"),
    [("BEGIN", "begin"), ("BEGIN IMMEDIATE", "begin"), ("START TRANSACTION", "begin"), ("COMMIT", "commit"),
     ("end transaction", "commit"), ("ROLLBACK", "rollback"), ("BEGIN; COMMIT", "commit")],
)  # fmt: skip
def test_the_ends_of_transactions_are_seen(sql: str, boundary: str) -> None:
    assert observe(sql, "sqlite").boundary == boundary


# Placeholders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "sql", "groups", "count"),
    [
        ("postgresql", "SELECT %s FROM a WHERE x LIKE '100%%' AND id = %s", ((0,), (1,)), 2),
        ("postgresql", "SELECT * FROM a WHERE y = %(y)s AND id = %(id_1)s", (("y",), ("id_1",)), 0),
        ("postgresql", "SELECT * FROM a WHERE y = %b AND id = %t", ((0,), (1,)), 2),
        ("sqlite", "SELECT '?', \"?\" FROM a -- ?\n WHERE id = ?", ((0,),), 1),
        ("postgresql", "SELECT x::text FROM a WHERE t > '12:30' AND id = :id", (("id",),), 0),
        ("postgresql", "SELECT * FROM a WHERE id = $2::INTEGER AND x = $1", ((1,), (0,)), 2),
        ("postgresql", "SELECT data ? 'k' FROM a WHERE id = $1", ((0,),), 1),
        ("mysql", 'SELECT y FROM a WHERE x = "?" AND id = %s', ((0,),), 1),
        ("postgresql", "SELECT y[1:x] FROM a WHERE id = %s", ((0,),), 1),
        ("postgresql", "SELECT E'\\'%s', $$%s'$$ FROM a WHERE id = %s", ((0,),), 1),
    ],
)
def test_placeholders_of_every_kind_keep_their_places(
    vendor: str, sql: str, groups: tuple, count: int
) -> None:
    observed = observe(sql, vendor)
    (seen,) = observed.reads
    assert "id" in {each.column for each in seen.equals}
    assert (observed.groups, observed.count) == (groups, count)


def test_of_mixed_placeholders_none_is_matched() -> None:
    assert observe("SELECT * FROM a WHERE id = ? AND x = :x", "sqlite").count == -1


# Remembering --------------------------------------------------------------------------------------


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is given to the parser from now on."""
    given: list[str] = []

    def noting(text: str, *others: Any) -> Any:
        given.append(text)
        return parse(text, *others)

    monkeypatch.setattr(statements, "parse", noting)
    statements._remembered.cache_clear()
    statements._shape.cache_clear()
    return given


FOLDED = {
    "lists": lambda n: f"SELECT x FROM a WHERE id IN ({', '.join(['%s'] * n)}) AND y = %s",
    "lists with casts": lambda n: f"DELETE FROM a WHERE id IN ({', '.join(['%s::UUID'] * n)})",
    "lists of pairs": lambda n: f"SELECT x FROM a WHERE (i, j) IN ({', '.join(['(%s, %s)'] * n)})",
    "rows": lambda n: f"INSERT INTO a (id, x) VALUES {', '.join(['(%s, %s)'] * n)}",
    "rows with a constant": lambda n: f"INSERT INTO a (id, x) VALUES {', '.join(['(%s, 1)'] * n)}",
    "branches": lambda n: (
        "UPDATE a SET x = CASE "
        + "WHEN (a.id = %s) THEN %s " * n
        + f"ELSE NULL END WHERE a.id IN ({', '.join(['%s'] * n)})"
    ),
}


@pytest.mark.parametrize("case", FOLDED)
def test_lists_of_every_length_are_parsed_once(case: str, parses: list[str]) -> None:
    made = FOLDED[case]
    shapes = {repr(brief(observe(made(n), "sqlite"))) for n in (2, 3, 40, 3)}
    assert len(parses) == 1
    assert len(shapes) == 1


def test_the_keys_of_a_folded_list_are_its_own() -> None:
    long = observe("UPDATE a SET x = %s WHERE id IN (%s, %s, %s) AND y = %s", "sqlite")
    assert long.groups == ((0,), (1, 2, 3), (4,))
    rows = observe("INSERT INTO a (id, x) VALUES (%s, %s), (%s, %s)", "sqlite")
    assert rows.groups == ((0, 2), (1, 3))


LONG = {
    "alternatives": lambda n: " OR ".join(['("a"."i" = %s AND "a"."j" = %s)'] * n),
    "alternatives without brackets": lambda n: " OR ".join(["i = %s AND j = %s"] * n),
    "alternatives of values": lambda n: " OR ".join(f"(i = {k} AND j = '{k}')" for k in range(n)),
    "numbers": lambda n: f"i IN ({', '.join(map(str, range(n)))})",
    "strings": lambda n: "i IN (" + ", ".join(f"'a{k}'" for k in range(n)) + ")",
    "pairs of values": lambda n: (
        "(i, j) IN (" + ", ".join(f"({k}, 'a{k}')" for k in range(n)) + ")"
    ),
    "pairs with calls": lambda n: f"(i, j) IN ({', '.join(['(%s, lower(%s))'] * n)})",
}


@pytest.mark.parametrize("case", LONG)
def test_long_lists_are_parsed_as_short_ones(case: str, parses: list[str]) -> None:
    for n in (100, 1000):
        assert read(f'SELECT * FROM "a" WHERE {LONG[case](n)} ORDER BY i') == {"a"}
    assert len(parses[0]) < 400
    assert len(parses) <= 2  # the last value is another


def _values(sql: str, table: str, vendor: str = "postgresql") -> set[object]:
    """Return the parameters and constants that the rows of a table are restricted to."""
    observed = observe(sql, vendor)
    (seen,) = (each for each in observed.reads if each.table == table)
    found: set[object] = set()
    for equals in seen.equals:
        for value in equals.values:
            found |= (
                {value.value} if isinstance(value, Constant) else {*observed.groups[value.group]}
            )
    return found


def test_alternatives_of_another_query_are_not_folded_with_these() -> None:
    sql = (
        "SELECT * FROM a WHERE x OR id = %s OR y UNION"
        " SELECT * FROM b WHERE id = %s OR id = %s OR id = %s"
    )
    assert _values(sql, "b") == {1, 2, 3}


def test_alternatives_in_other_brackets_are_not_folded_with_these() -> None:
    sql = "SELECT * FROM a WHERE (id = %s OR id = %s) AND (x = %s OR id = %s) AND (x = %s OR y)"
    assert _values(sql, "a") == {0, 1}
    assert observe(sql, "postgresql").groups == ((0,), (1,), (2,), (3,), (4,))


def test_alternatives_about_other_columns_are_not_folded_with_these() -> None:
    columns = ['"my id"', '"my x"'] * 4
    sql = f"SELECT * FROM a WHERE {' OR '.join(f'{each} = %s' for each in columns)}"
    assert read(sql) == {"a"}


def test_the_values_of_few_alternatives_stay_known() -> None:
    sql = "SELECT * FROM a WHERE s = 'a' OR s = 'b' OR s = 'c' OR s = 'd' OR s = 'b'"
    assert _values(sql, "a") == {"a", "b", "c", "d"}
    assert _values("SELECT * FROM a WHERE s IN ('a', 'b', 'c', 7)", "a") == {"a", "b", "c", 7}


def test_comments_do_not_make_a_text_another(parses: list[str]) -> None:
    for number in range(5):
        observe(f"SELECT 1 FROM a WHERE id = ? /* traceparent='{number}' */", "sqlite")
    assert len(parses) == 1


def test_threads_may_ask_at_the_same_time() -> None:
    found: list[Observed] = []

    def ask() -> None:
        found.extend(observe(f"SELECT 1 FROM t{n % 7} WHERE id = ?", "sqlite") for n in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 800
    assert {read.table for each in found for read in each.reads} == {f"t{n}" for n in range(7)}


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer is on")
def test_a_known_text_costs_less_than_a_microsecond() -> None:
    sql = (
        'SELECT "a"."id", '
        + ", ".join(f'"a"."c{n}"' for n in range(20))
        + ' FROM "a" WHERE "a"."id" = %s'
    )
    best = 1.0
    for _ in range(200):  # short bursts: some of them run undisturbed on a busy machine too
        began = time.perf_counter()
        for _ in range(200):
            observe(sql, "sqlite")
        best = min(best, (time.perf_counter() - began) / 200)
    assert best < 1e-6
