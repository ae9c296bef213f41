"""Calls of functions: each is judged by its name as it is written."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.functions.known import KnownFunctions
from cachemw.recording.sql.statements import observe
from tests.unit.recording.sql.brief import brief, read

HARMLESS = {
    "postgresql": [
        "lower(x)",
        "LOWER (x)",
        '"lower"(x)',
        "pg_catalog.lower(x)",
        "count(DISTINCT x) FILTER (WHERE y) OVER (PARTITION BY (z))",
        "string_agg(x, ',' ORDER BY y)",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)",
        "coalesce(x, greatest(y, 1), nullif(z, 2))",
        "extract(epoch FROM x)",
        "trim(both 'x' from y)",
        "substring(x from 1 for 2)",
        "position('a' in x)",
        "xmlelement(name foo, xmlattributes(x AS b))",
        "json_object('a': 1)",
        "make_interval(days => 1)",
        "to_tsvector('simple', x) @@ websearch_to_tsquery(y)",
        "similarity(x, y), unaccent(x), crypt(x, gen_salt('bf')), uuid_generate_v4(), nlevel(x)",
        "st_distance(x, y), ST_AsText(z)",
        "nextval('s'), random(), clock_timestamp(), gen_random_uuid(), pg_sleep(1), txid_current()",
        "pg_advisory_lock(1), pg_notify('a', 'b'), set_config('app.tenant', '5', true), setseed(0.5)",
        "ROW(1, 2), ARRAY[3], ARRAY(SELECT 1), (SELECT 4), CASE WHEN (x) THEN (y) ELSE (z) END",
        "x::numeric(10, 2), CAST(y AS vector(3)), z::shop.size(1)",
        "(jsonb_each(x)).key",
        "x AT TIME ZONE (y), interval '1 day' * (z)",
        "date(x), int4(y), text(z), inet('10.0.0.1')",
        "any_value(x), uuidv7()",
    ],
    "mysql": [
        "IF(x, y, z), LEFT(x, 1), REPLACE(x, y, z), INSERT(x, 1, 2, y), MOD(x, 2), TRUNCATE(x, 1)",
        "GROUP_CONCAT(DISTINCT x ORDER BY y SEPARATOR ',')",
        "CHAR(77 USING utf8mb4), CONVERT(x USING utf8), CAST(x AS CHAR(10)), x DIV ABS(y)",
        "TIMESTAMPDIFF(DAY, x, y), GET_FORMAT(DATE, 'USA'), INTERVAL(1, 2), DATE_ADD(x, INTERVAL 1 DAY)",
        "JSON_EXTRACT(x, '$.a'), x->'$.a', x->>'$.b', ST_X(y), UUID(), LAST_INSERT_ID(), NEXTVAL(s)",
        "MATCH(x, y) AGAINST ('z' IN BOOLEAN MODE)",
        "ANY_VALUE(x), JSON_COMPACT(y), JSON_OBJECT('a', x), TRIM(y), SUBSTRING(z, 1, 2)",
    ],
    "sqlite": [
        "iif(x, y, z), total(x), group_concat(x, ',' ORDER BY y), printf('%d', x), [upper](y)",
        "CAST(x AS VARCHAR(10)), json_extract(x, '$.a'), x -> '$.b', unixepoch(), last_insert_rowid()",
        "django_date_trunc('day', x, 'UTC', 'UTC'), x REGEXP 'y', md5(x), stddev_pop(y)",
        "row_number() OVER w, count(*) FILTER (WHERE x)",
        "concat_ws(x, y), unhex(z), jsonb(x), json_object('a', y), trim(z), substr(x, 1, 2)",
    ],
    "oracle": ["NVL(x, 1), TO_CHAR(y, 'z'), DBMS_LOB.SUBSTR(x, 1, 2), LISTAGG(x)"],
    "microsoft": ["CONVERT(varchar(10), x), DATEADD(day, 1, y), COUNT_BIG(*), HASHBYTES('a', z)"],
    "duckdb": ["lower(x), count(*), row_number() OVER (ORDER BY y)"],
}


@pytest.mark.parametrize(
    ("vendor", "columns"), [(vendor, each) for vendor, many in HARMLESS.items() for each in many]
)
def test_a_built_in_function_reads_and_writes_nothing(vendor: str, columns: str) -> None:
    assert read(f"SELECT {columns} FROM a", vendor) - {"s"} == {"a"}  # a sequence is no table


NOT_CALLED = {
    "postgresql": [
        "SELECT * FROM a AS f(x, y)",
        "SELECT * FROM a f(x, y)",
        "SELECT * FROM a, generate_series(1, 2) AS f(x)",
        "SELECT * FROM a, unnest(ARRAY[1]) WITH ORDINALITY f(x, y)",
        "SELECT * FROM a, json_to_record('{}') AS (x int, y text)",
        "SELECT * FROM a, (SELECT 1) f(x)",
        "SELECT * FROM ROWS FROM (generate_series(1, 2), unnest(ARRAY[1])) AS f(x, y), a",
        "WITH f(x) AS (SELECT * FROM a) SELECT * FROM f",
        "WITH RECURSIVE f (x) AS (SELECT 1), g(y) AS NOT MATERIALIZED (SELECT 2) SELECT * FROM a, f, g",
        "SELECT * FROM a TABLESAMPLE f (5)",
        "SELECT * FROM a WHERE x IN (1) AND y = ANY (ARRAY[2]) OR NOT (z) AND EXISTS (SELECT 1)",
        "SELECT DISTINCT ON (x) y FROM a GROUP BY GROUPING SETS ((x), (y)), ROLLUP (x), CUBE (y)",
        "SELECT * FROM a FETCH FIRST (5) ROWS ONLY",
        "SELECT * FROM a JOIN (SELECT 1) x ON (true) LIMIT (5) OFFSET (6)",
        "SELECT x OPERATOR(pg_catalog.+) y FROM a",
    ],
    "mysql": [
        "SELECT * FROM a USE INDEX (i) WHERE x > (1)",
        "SELECT * FROM a FORCE INDEX FOR ORDER BY (i)",
        "SELECT * FROM a PARTITION (p0)",
        "SELECT x FROM a ORDER BY x LOCK IN SHARE MODE",
    ],
    "oracle": ["SELECT * FROM a WHERE a.x = a.y(+)"],
    "microsoft": ["SELECT TOP (5) * FROM a WITH (NOLOCK)"],
}


@pytest.mark.parametrize(
    ("vendor", "sql"), [(vendor, each) for vendor, many in NOT_CALLED.items() for each in many]
)
def test_other_names_before_a_bracket_are_no_calls(vendor: str, sql: str) -> None:
    assert read(sql, vendor) == {"a"}


UNKNOWN = {
    "postgresql": [
        ("SELECT current_price(5)", "current_price"),
        ("SELECT generate_invoice(5)", "generate_invoice"),
        ("SELECT quote_total(x) FROM a", "quote_total"),
        ("SELECT * FROM current_orders(5)", "current_orders"),
        ("SELECT * FROM search('x', 5)", "search"),
        ("SELECT shop.lower(x) FROM a", "shop.lower"),
        ('SELECT "Lower"(x) FROM a', "Lower"),
        ('SELECT "coalesce"(x) FROM a', "coalesce"),
        ("SELECT * FROM a, LATERAL shop.best(a.id) x", "shop.best"),
        ("SELECT * FROM ROWS FROM (unnest(x), f(1)) AS q(a, b)", "f"),
        ("SELECT * FROM f(1) AS (a int)", "f"),
        ("SELECT * FROM g(1) f(x)", "g"),
        ("SELECT f(1) FROM a f(x)", "f"),
        ("SELECT s.f(1) FROM a f(x)", "s.f"),
        ("SELECT f(1) FROM a AS f(x)", "f"),
        ("WITH f(x) AS (SELECT 1) SELECT f(1) FROM f", "f"),
        ("SELECT * FROM a, f(x) AS (y int)", "f"),
        ("SELECT DISTINCT ON (x) filter(y) FROM a", "filter"),
        ("SELECT DISTINCT ON (x) f(y) FROM a", "f"),
        ("SELECT f(x ORDER BY y) FILTER (WHERE z) OVER () FROM a", "f"),
        ("SELECT f(0.5) WITHIN GROUP (ORDER BY x) FROM a", "f"),
        ("SELECT f(VARIADIC x), lower(y) FROM a", "f"),
        ("SELECT filter(1)", "filter"),
        ("SELECT (a).full_name FROM a", "full_name"),
        ("SELECT (f(x)).y FROM a", "f"),
        ("SELECT x FROM a WHERE (SELECT f())", "f"),
        ("SELECT CASE WHEN x THEN f(y) END FROM a", "f"),
        ("SELECT x FROM a ORDER BY f(y) LIMIT 5", "f"),
        ("SELECT 1 FROM a GROUP BY f(x)", "f"),
        ("WITH x AS (SELECT f()) SELECT * FROM x", "f"),
        ("INSERT INTO a (x) VALUES (f())", "f"),
        ("UPDATE a SET x = f() WHERE id = 5", "f"),
        ("DELETE FROM a WHERE f()", "f"),
        ("CREATE TABLE b AS SELECT f()", "f"),
        ("DECLARE c CURSOR FOR SELECT f()", "f"),
        ("EXPLAIN ANALYZE SELECT f()", "f"),
        ("SELECT crosstab('SELECT 1')", "crosstab"),
        ("SELECT dblink('x', 'y')", "dblink"),
        ("SELECT lo_put(5, 0, 'x')", "lo_put"),
        ("SELECT st_fromflatgeobuftotable('a', 'b', 'c')", "st_fromflatgeobuftotable"),
    ],
    "mysql": [
        ("SELECT f(x) FROM a", "f"),
        ("SELECT shop.lower(x) FROM a", "shop.lower"),
        ("SELECT `lower`(x) FROM a", "lower"),
        ("SET @x = f()", "f"),
        ("DO f()", "f"),
        ("LOAD DATA INFILE 'x' INTO TABLE a (@x) SET y = f(@x)", "f"),
    ],
    "oracle": [("SELECT shop.total(x) FROM a", "shop.total"), ("SELECT * FROM TABLE(f())", "f")],
    "": [("SELECT f(x) FROM a", "f")],
}


@pytest.mark.parametrize(
    ("vendor", "sql", "name"),
    [(vendor, *each) for vendor, many in UNKNOWN.items() for each in many],
)
def test_any_other_may_read_and_write_anything(vendor: str, sql: str, name: str) -> None:
    observed = observe(sql, vendor)
    assert observed.unknown_read
    assert observed.unknown_write
    assert observed.unknown_functions == (name,)


@pytest.mark.parametrize(
    ("vendor", "sql", "name"),
    [
        ("sqlite", "SELECT total_of(x) FROM a", "total_of"),
        ("sqlite", "SELECT total_of(5)", "total_of"),
        ("sqlite", "SELECT * FROM fts('x')", "fts"),
        ("sqlite", "SELECT * FROM a WHERE x IN f(1)", "f"),
        ("sqlite", "SELECT x GLOB f(y) FROM a AS f(z)", "f"),
        ("sqlite", "WITH f(z) AS (SELECT 1) SELECT x GLOB f(y) FROM f", "f"),
        ("microsoft", "SELECT dbo.total_of(x) FROM a", "dbo.total_of"),
        ("postgresql", "EXPLAIN SELECT f()", ""),
    ],
)
def test_it_only_reads_where_no_function_can_write(vendor: str, sql: str, name: str) -> None:
    observed = observe(sql, vendor)
    assert observed.unknown_read
    assert not observed.unknown_write
    assert "".join(observed.unknown_functions) == name


@pytest.mark.parametrize(
    ("vendor", "call"),
    [
        ("postgresql", "query_to_xml('SELECT 1', true, true, '')"),
        ("postgresql", "table_to_xml('a', true, true, '')"),
        ("postgresql", "ts_stat('SELECT x FROM a')"),
        ("postgresql", "ts_rewrite(x, 'SELECT y FROM a')"),
        ("postgresql", "lo_get(5)"),
        ("mysql", "LOAD_FILE('a.csv')"),
    ],
)
def test_a_built_in_function_that_reads_tables_writes_none(vendor: str, call: str) -> None:
    observed = observe(f"SELECT {call}", vendor)
    assert brief(observed) == ({"?"}, set())
    assert observed.unknown_functions == ()


def test_mysql_may_call_a_function_to_explain_a_query() -> None:
    assert observe("EXPLAIN SELECT * FROM (SELECT f()) x", "mysql").unknown_write
    assert not observe("EXPLAIN UPDATE a SET x = 1", "mysql").changes


def test_a_function_of_sql_server_that_runs_queries_elsewhere_may_write() -> None:
    assert observe("SELECT * FROM OPENQUERY(s, 'x')", "mssql").unknown_write


DECLARED = KnownFunctions(
    pure=("f_*", "shop.price", "total"), reading=("shop.best_*", "f_reads", "similarity")
)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        ("total(x)", {"a"}),
        ("TOTAL(x)", {"a"}),
        ('"Total"(x)', {"a"}),
        ("shop.total(x)", {"a"}),
        ("f_unaccent(x)", {"a"}),
        ("shop.price(x)", {"a"}),
        ("shop.best_of(x)", {"a", "?"}),
        ("f_reads(x)", {"a", "?"}),
        ("similarity(x, y)", {"a", "?"}),
    ],
)
def test_an_application_declares_its_functions(call: str, wanted: set) -> None:
    assert read(f"SELECT {call} FROM a", "postgresql", DECLARED) == wanted


@pytest.mark.parametrize("call", ["price(x)", "my.price(x)", "best_of(x)", "totals(x)", "f(x)"])
def test_no_more_than_what_it_declares_is_known(call: str) -> None:
    assert observe(f"SELECT {call} FROM a", "postgresql", DECLARED).unknown_write


def test_a_call_among_others_that_look_alike_is_seen() -> None:
    functions = KnownFunctions(pure=("my-f",))
    calls = ['"my-f"(x)', '"my-g"(x)', '"my-f"(x)', '"my-f"(x)', '"my-f"(x)']
    observed = observe(f"SELECT * FROM a WHERE {' OR '.join(calls)}", "postgresql", functions)
    assert observed.unknown_functions == ("my-g",)


def test_two_caches_may_know_different_functions() -> None:
    one, other = KnownFunctions(pure=("f",)), KnownFunctions(reading=("f",))
    for _ in range(2):
        assert read("SELECT f(x) FROM a", "postgresql", one) == {"a"}
        assert read("SELECT f(x) FROM a", "postgresql", other) == {"a", "?"}
        assert observe("SELECT f(x) FROM a", "postgresql").unknown_write


@pytest.mark.parametrize(
    ("vendor", "sql", "shape"),
    [
        (
            "postgresql",
            "SELECT f('secret', 4111, $$secret$$, E'sec\\'ret') FROM \"a\" WHERE x = %s AND y = -1.5",
            'SELECT f(?, ?, ?, ?) FROM "a" WHERE x = ? AND y = - ?',
        ),
        ("mysql", "SELECT f(\"secret\", N'secret', x'4111') /* 1 */", "SELECT f(?, ?, ?)"),
        (
            "sqlite",
            'SELECT f(x) FROM "a" WHERE "a"."y" = "secret"',
            'SELECT f(x) FROM "a" WHERE "a"."y" = "…"',
        ),
        ("postgresql", "CREATE TABLE b AS SELECT f(5)", "CREATE TABLE b AS SELECT f(?)"),
    ],
)
def test_the_shape_of_a_statement_shows_no_value(vendor: str, sql: str, shape: str) -> None:
    observed = observe(sql, vendor)
    assert observed.unknown_functions == ("f",)
    assert observed.shape == shape


def test_names_and_shapes_are_bounded() -> None:
    calls = ", ".join(f"function_{number}(x)" for number in range(500))
    observed = observe(f"SELECT {calls}", "postgresql")
    assert len(observed.unknown_functions) <= 8
    assert len(observed.shape) < 400
