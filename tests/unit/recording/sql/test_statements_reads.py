"""No statement that surely only reads counts as a write of anything."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.statements import observe
from tests.unit.recording.sql.brief import brief, opaque, read

READS = {
    "postgresql": [
        ("SELECT set_config('app.tenant', '5', true)", set()),
        ("SELECT count(*) FROM a WHERE attrs ? 'color'", {"a"}),
        ("SELECT count(*) FROM a WHERE attrs @? '$.x' AND id = 5", {"a[id]"}),
        ("SELECT * FROM a WHERE x ?| array['y'] AND z ?& array['w'] AND id = %s", {"a[id]"}),
        ("SELECT * FROM a WHERE x <-> y < 5 AND @ z = 1 AND id = %s", {"a[id]"}),
        (r"SELECT * FROM a WHERE x ~ E'^\\w\'' AND id = 5", {"a[id]"}),
        ("SELECT U&'\\0041' FROM a WHERE id = 5", {"a[id]"}),
        ("SELECT $q$ it's $q$ FROM a WHERE id = 5", {"a[id]"}),
        ("SELECT a.x -> 'y' ->> 'z' FROM a WHERE a.id = 5", {"a[id]"}),
        ("NOTIFY chan, 'update 5'", set()),
        ("LISTEN chan", set()),
        ("SET application_name = 'bulk-update'", set()),
        ("SET LOCAL app.x TO 'insert'", set()),
        ("SHOW search_path", set()),
        ("LOCK TABLE a IN SHARE UPDATE EXCLUSIVE MODE", set()),
        ("GRANT SELECT, UPDATE ON a TO b", set()),
        ("COMMENT ON TABLE a IS 'x'", set()),
        ("EXPLAIN SELECT * FROM a WHERE id = 5", {"a[id]"}),
        ("EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM a", {"a"}),
        ("EXPLAIN ANALYZE VERBOSE SELECT * FROM a", {"a"}),
        ("EXPLAIN (FORMAT JSON) (SELECT * FROM a)", {"a"}),
        ("EXPLAIN UPDATE a SET x = 1", set()),
        ("EXPLAIN (ANALYZE false) DELETE FROM a", set()),
        ("EXPLAIN EXECUTE p", {"?"}),
        ('DECLARE "my c" BINARY CURSOR WITH HOLD FOR SELECT * FROM a WHERE id = 5', {"a[id]"}),
        ("FETCH 100 FROM c", {"?"}),
        ("MOVE 5 IN c", {"?"}),
        ("CLOSE c", set()),
        ("TABLE a", {"a"}),
        ("SELECT 1 UNION TABLE a", {"a"}),
        ("VALUES (1), (2)", set()),
        ("COPY a TO STDOUT", {"a"}),
        ("COPY (SELECT * FROM a WHERE id = 5) TO STDOUT", {"a[id]"}),
        ("PREPARE p AS SELECT 1", set()),
        ("SELECT delete, a.update FROM a WHERE (replace > 1)", {"a"}),
        ("SELECT * FROM a FOR NO KEY UPDATE", {"a"}),
        (b"SELECT * FROM a WHERE id = 5", {"a[id]"}),
        (bytearray(b"SELECT * FROM a"), {"a"}),
    ],
    "mysql": [
        ("SELECT x INTO @y FROM a", {"a"}),
        ("SELECT x FROM a INTO OUTFILE 'y'", {"?"}),
        ("SELECT @x := y FROM a", {"a"}),
        ("SET @x = (SELECT count(*) FROM a)", {"?"}),
        ("SET NAMES utf8mb4", set()),
        ("SHOW CREATE TABLE a", set()),
        ("DESCRIBE a", set()),
        ("DESC a", set()),
        ("EXPLAIN FORMAT=JSON UPDATE a SET x = 1", set()),
        ("EXPLAIN ANALYZE SELECT * FROM a WHERE id = 5", {"a[id]"}),
        ("ANALYZE FORMAT=JSON SELECT * FROM a", {"a"}),
        ("ANALYZE TABLE a", set()),
        ("HANDLER a READ FIRST", {"?"}),
        ("DO SLEEP(1)", set()),
        ("FLUSH TABLES", set()),
    ],
    "sqlite": [
        ("EXPLAIN QUERY PLAN SELECT * FROM a", {"a"}),
        ("SELECT * FROM a WHERE x MATCH 'delete from a' AND id = 5", {"a[id]"}),
        ("SELECT * FROM [a 'b] WHERE id = 5", {"a 'b[id]"}),
        ("SELECT * FROM a WHERE x -> '$.y' = 1 AND id = 5", {"a[id]"}),
    ],
}


@pytest.mark.parametrize(
    ("vendor", "sql", "wanted"),
    [(vendor, *each) for vendor, many in READS.items() for each in many],
)
def test_a_plain_read_writes_nothing(vendor: str, sql: object, wanted: set) -> None:
    assert read(sql, vendor) == wanted


class Composed:
    """A statement as psycopg composes it."""

    def as_string(self, context: object) -> str:
        assert context is None
        return 'SELECT * FROM "a" WHERE "id" = 5'


def test_a_composed_statement_is_read() -> None:
    assert read(Composed()) == {"a[id]"}


NOT_PARSED = [
    "SELECT x FROM a ORDER BY x USING >",
    "SELECT * FROM ONLY (a) WHERE id = 5",
    "SELECT * FROM a JOIN b USING (x) AS j",
    "WITH x AS (SELECT 1) SELECT * FROM ONLY (x)",
    f"SELECT {'(' * 40}1{')' * 40} FROM a",
    f"SELECT {'ARRAY[' * 30}1{']' * 30} FROM a",
    f"SELECT {', '.join(f'x + {number} AS c{number}' for number in range(1000))} FROM a",
    f"SELECT * FROM a WHERE {' OR '.join(f'c{number} = %s' for number in range(900))}",
]


@pytest.mark.parametrize("sql", NOT_PARSED, ids=range(len(NOT_PARSED)))
def test_a_query_that_is_not_parsed_reads_unknown_tables(sql: str) -> None:
    assert read(sql) == {"?"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * INTO b FROM ONLY (a)",
        "WITH d AS (DELETE FROM ONLY (a)) SELECT 1",
        "WITH d AS (UPDATE ONLY (a) SET x = 1) SELECT 1",
        "INSERT INTO a WITH d AS (DELETE FROM b RETURNING *) SELECT * FROM ONLY (d)",
        "SELECT f() FROM ONLY (a)",
    ],
)
def test_what_is_not_parsed_and_may_write_is_a_write(sql: str) -> None:
    assert opaque(sql)


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        ("DELETE FROM shop.a WHERE CURRENT OF c", "a"),
        ("UPDATE ONLY a SET x = 1 WHERE CURRENT OF c", "a"),
        (f"UPDATE a SET x = {'(' * 40}1{')' * 40}", "a"),
        (f'INSERT INTO "my a" (x) VALUES ({"(" * 40}1{")" * 40}) ON CONFLICT DO NOTHING', "my a"),
    ],
)
def test_a_change_that_is_not_parsed_writes_its_table(sql: str, table: str) -> None:
    assert brief(observe(sql, "postgresql")) == ({"?"}, {f"whole {table}"})


OPAQUE = [
    "CALL refresh()",
    "EXECUTE prepared(1)",
    "DO $$ BEGIN DELETE FROM a; END $$",
    "BEGIN UPDATE a SET x = 1; END;",
    "SET NOCOUNT ON INSERT INTO a (x) VALUES (1)",
    "PREPARE p AS DELETE FROM a",
    "WITH x AS (SELECT * FROM a) DELETE FROM x",
    "UPDATE (SELECT * FROM a) SET x = 1",
    "TRUNCATE a CASCADE",
    "CREATE TABLE b AS EXECUTE p",
    "SELECT 'no end",
    'SELECT U&"a"',
    "SELECT 1 /* /* */ FROM a */",
    "no SQL at all",
    "SELECT \x00",
    "SELECT ((1)",
    "SELECT 1) FROM a",
    "(TRUNCATE a)",
    "5",
]


@pytest.mark.parametrize("sql", OPAQUE)
def test_what_is_in_doubt_may_have_done_anything(sql: str) -> None:
    assert opaque(sql)


NOT_LESS: dict[str, list[str]] = {
    "microsoft": [
        "SELECT 1 UPDATE a SET x = 1",
        "SELECT 1 x DELETE FROM a",
        "SELECT 1 DELETE FROM a",
        "INSERT INTO b SELECT 1 DELETE FROM a",
        "SELECT * FROM a EXEC (@sql)",
        "SELECT * FROM a EXECUTE ('DELETE FROM b')",
        "SELECT * FROM a EXEC p",
        "BEGIN p(1); END;",
        "BEGIN p; END;",
        "DELETE FROM a OUTPUT deleted.id INTO b WHERE id = 5",
        "DELETE FROM x FROM a x",
        "UPDATE TOP (5) a SET x = 1",
    ],
    "oracle": [
        "INSERT ALL INTO a (x) VALUES (1) INTO b (x) VALUES (1) SELECT * FROM c",
        "SELECT q'[it's]', shop.f('x]') FROM a",
        "SELECT q'!'!', shop.f(), q'!'!' FROM a",
        "BEGIN p; END;",
        "UPDATE (SELECT * FROM a) SET x = 1",
    ],
}
NOT_LESS[""] = NOT_LESS["microsoft"]


@pytest.mark.parametrize(
    ("vendor", "sql"), [(v, sql) for v, many in NOT_LESS.items() for sql in many]
)
def test_statements_of_other_databases_are_not_taken_for_less(vendor: str, sql: str) -> None:
    assert observe(sql, vendor).unknown_write


@pytest.mark.parametrize(
    "sql", ["BEGIN TRANSACTION", "BEGIN TRAN x", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY"]
)
def test_the_beginning_of_a_transaction_is_no_block(sql: str) -> None:
    observed = observe(sql, "microsoft")
    assert (observed.boundary, observed.changes) == ("begin", False)
