"""What texts read and write. A read is `table` or `table[column]` where its rows are restricted; `?`
and `!` are reads and writes that could not be understood."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import sqlglot

from cachemw.recording.sql import statements
from cachemw.recording.sql.observed import OPAQUE, Observed
from cachemw.recording.sql.statements import observe


def brief(observed: Observed) -> tuple[set[str], set[str]]:
    reads = {_with(read.table, read.equals) for read in observed.reads}
    writes = set()
    for write in observed.writes:
        rows = f"{len(write.rows)}({','.join(write.columns or ())})" if write.rows else ""
        writes.add(_with(f"{write.kind} {write.table}", write.equals) + rows)
    reads |= {"?"} if observed.unknown_read else set()
    writes |= {"!"} if observed.unknown_write else set()
    return reads, writes


def _with(name: str, equals: tuple) -> str:
    columns = ",".join(sorted({each.column for each in equals}))
    return f"{name}[{columns}]" if columns else name


def read(sql: str, vendor: str = "postgresql") -> set[str]:
    reads, writes = brief(observe(sql, vendor))
    assert not writes
    return reads


def opaque(sql: str, vendor: str = "postgresql") -> bool:
    return observe(sql, vendor).unknown_read and observe(sql, vendor).unknown_write


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
    ("sql", "wanted"),
    [
        ("SELECT unaccent(x) FROM a", {"a"}),
        ("SELECT django_date_trunc('day', x) FROM a", {"a"}),
        ("SELECT total_of(x) FROM a", {"a", "?"}),
        ("SELECT * FROM a WHERE shop.visible(a.id)", {"a", "?"}),
        ("SELECT * FROM unnest(%s::int[]) x, generate_series(1, 2), json_each('{}')", set()),
        ("SELECT pg_try_advisory_lock(1)", set()),
        ("SELECT nextval('s')", set()),
    ],
)
def test_a_function_that_nobody_knows_may_read_anything(sql: str, wanted: set) -> None:
    assert read(sql) == wanted


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT refresh_totals()",
        "SELECT * FROM best_sellers(5)",
        "SELECT * FROM a, LATERAL shop.best(a.id) x",
        "SELECT * FROM a WHERE x = (SELECT total())",
        "CALL refresh()",
        "EXEC refresh",
        "EXECUTE prepared(1)",
        "DO $$ BEGIN DELETE FROM a; END $$",
        "COPY a FROM STDIN",
        "BEGIN UPDATE a SET x = 1; END;",
        "SET NOCOUNT ON INSERT INTO a (x) VALUES (1)",
        "EXPLAIN ANALYZE DELETE FROM a",
        "PREPARE p AS DELETE FROM a",
        "TRUNCATE a CASCADE",
        "WITH x AS (SELECT * FROM a) DELETE FROM x",
        "UPDATE (SELECT * FROM a) SET x = 1",
        "UPDATE OR REPLACE a SET x = 1 WHERE id = 2",
        "SELECT E'it\\'s' FROM a",
        "SELECT 'no end",
        "SELECT * FROM a WHERE",
        "no SQL at all",
        "SELECT \x00",
        "TABLE a",
    ],
)
def test_what_cannot_be_understood_may_have_done_anything(sql: str) -> None:
    assert opaque(sql)


@pytest.mark.parametrize(
    "sql", ["/*! DELETE FROM a */", "SELECT 5--3 FROM a", "SELECT 1 /* /* */ FROM a */"]
)
def test_comments_that_are_none_are_not_taken_for_some(sql: str) -> None:
    assert opaque(sql, "mysql")


@pytest.mark.parametrize("sql", [b"SELECT 1", None, 5, object(), ["SELECT 1"]])
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
        "EXPLAIN SELECT * FROM a",
        "LISTEN x",
        "EXPLAIN QUERY PLAN SELECT * FROM a",
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
    monkeypatch.setattr(sqlglot, "parse", None)  # and are not parsed
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


WRITES = {
    "by key": ("UPDATE a SET x = %s WHERE a.id = %s", set(), {"update a[id]"}),
    "no table said": ("DELETE FROM a WHERE id IN (%s, %s)", set(), {"delete a[id]"}),
    "all": ("DELETE FROM a", set(), {"delete a"}),
    "by alias, joined": (
        "UPDATE a AS x SET y = b.y FROM b WHERE x.id = %s AND b.id = x.b_id",
        {"b"},
        {"update a[id]"},
    ),
    "USING": ("DELETE FROM a USING b WHERE a.id = b.a_id AND b.id = 5", {"b[id]"}, {"delete a"}),
    "a subquery": ("DELETE FROM a WHERE id IN (SELECT a_id FROM b)", {"b"}, {"delete a"}),
    "RETURNING": ("UPDATE a SET x = x + 1 WHERE id = %s RETURNING x", {"a[id]"}, {"update a[id]"}),
    "rows": ('INSERT INTO s.a (id, "X") VALUES (%s, DEFAULT), (1, %s)', set(), {"insert a2(id,x)"}),
    "rows, with RETURNING": ("INSERT INTO a (x) VALUES (%s) RETURNING id", set(), {"insert a1(x)"}),
    "defaults": ("INSERT INTO a DEFAULT VALUES", set(), {"insert a1()"}),
    "unnamed columns": ("INSERT INTO a VALUES (1, 2)", set(), {"update a"}),
    "from a query": ("INSERT INTO a (x) SELECT x FROM b WHERE b.id = 3", {"b[id]"}, {"update a"}),
    "or nothing": ("INSERT INTO a (x) VALUES (1) ON CONFLICT DO NOTHING", set(), {"insert a1(x)"}),
    "or an update": (
        "INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 2",
        set(),
        {"update a"},
    ),
    "merged": (
        "MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN UPDATE SET x = 1"
        " WHEN NOT MATCHED THEN INSERT (x) VALUES (1)",
        {"b"},
        {"whole a"},
    ),
    "emptied": ("TRUNCATE TABLE a, b", set(), {"whole a", "whole b"}),
    "dropped": ('DROP TABLE IF EXISTS "A"', set(), {"whole a"}),
    "altered": ("ALTER TABLE ONLY shop.a ADD COLUMN x int", set(), {"whole a"}),
    "renamed": ("ALTER TABLE a RENAME TO b", set(), {"!"}),
    "made": ("CREATE TEMPORARY TABLE IF NOT EXISTS a (x int)", set(), {"whole a"}),
    "a view": ("CREATE OR REPLACE VIEW v AS SELECT * FROM a", set(), {"!"}),
    "into a new table": ("SELECT * INTO b FROM a", {"a"}, {"whole b"}),
    "in a common table expression": (
        "WITH gone AS (DELETE FROM a WHERE id = %s RETURNING *) INSERT INTO b (x) SELECT x FROM gone",
        {"a[id]"},
        {"delete a[id]", "update b"},
    ),
    "several statements": ("SELECT 1 FROM b; DELETE FROM a WHERE id = 3;", {"b"}, {"delete a[id]"}),
    "with an unknown function": ("UPDATE a SET x = f(x) WHERE id = 1", {"?"}, {"update a[id]"}),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes_are_seen_wherever_they_stand(case: str) -> None:
    sql, reads, writes = WRITES[case]
    assert brief(observe(sql, "postgresql")) == (reads, writes)


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("REPLACE INTO a (id) VALUES (%s)", {"whole a"}),
        ("INSERT IGNORE INTO a SET x = 1", {"insert a1(x)"}),
        ("INSERT INTO a (x) VALUES (1) ON DUPLICATE KEY UPDATE x = VALUES(x)", {"update a"}),
        ("UPDATE a JOIN b ON a.x = b.x SET b.y = 1 WHERE a.id = 5", {"whole a", "whole b"}),
        (
            "DELETE x FROM a AS x JOIN b ON x.y = b.y WHERE x.id = 5",
            {"whole x", "whole a", "whole b"},
        ),
    ],
)
def test_mysql_writes_in_ways_of_its_own(sql: str, writes: set) -> None:
    assert brief(observe(sql, "mysql"))[1] == writes


def test_insert_or_replace_writes_any_row() -> None:
    assert brief(observe("INSERT OR REPLACE INTO a (id) VALUES (?)", "sqlite"))[1] == {"whole a"}
    assert brief(observe("INSERT OR IGNORE INTO a (id) VALUES (?)", "sqlite"))[1] == {
        "insert a1(id)"
    }


# Placeholders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "groups", "count"),
    [
        ("SELECT %s FROM a WHERE x LIKE '100%%' AND id = %s", ((0,), (1,)), 2),
        ("SELECT * FROM a WHERE y = %(y)s AND id = %(id_1)s", (("y",), ("id_1",)), 0),
        ("SELECT '?', \"?\" FROM a -- ?\n WHERE id = ?", ((0,),), 1),
        ("SELECT x::text FROM a WHERE t > '12:30' AND id = :id", (("id",),), 0),
        ("SELECT * FROM a WHERE id = $2::INTEGER AND x = $1", ((1,), (0,)), 2),
        ("SELECT data ? 'k' FROM a WHERE id = %s", ((0,),), 1),
        ("SELECT y[1:x] FROM a WHERE id = %s", ((0,),), 1),
    ],
)
def test_placeholders_of_every_kind_keep_their_places(sql: str, groups: tuple, count: int) -> None:
    observed = observe(sql, "postgresql")
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
    parse = sqlglot.parse

    def noting(sql: str, **options: object) -> list:
        given.append(sql)
        return parse(sql, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlglot, "parse", noting)
    statements._remembered.cache_clear()
    statements._shape.cache_clear()
    return given


FOLDED = {
    "lists": lambda n: f"SELECT x FROM a WHERE id IN ({', '.join(['%s'] * n)}) AND y = %s",
    "lists with casts": lambda n: f"DELETE FROM a WHERE id IN ({', '.join(['%s::UUID'] * n)})",
    "rows": lambda n: f"INSERT INTO a (id, x) VALUES {', '.join(['(%s, %s)'] * n)}",
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


def test_comments_do_not_make_a_text_another(parses: list[str]) -> None:
    for number in range(5):
        observe(f"SELECT 1 FROM a WHERE id = ? /* traceparent='{number}' */", "sqlite")
    assert len(parses) == 1


def test_a_text_that_would_take_long_to_read_is_not_read(parses: list[str]) -> None:
    sql = f"SELECT 1 FROM a WHERE x IN ({', '.join(map(str, range(20_000)))})"
    assert opaque(sql)
    assert parses == []


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
