"""What statements write."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.statements import observe
from tests.unit.recording.sql.brief import brief, written

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
    "with an unknown function": (
        "UPDATE a SET x = f(x) WHERE id = 1",
        {"?"},
        {"update a[id]", "!"},
    ),
}


@pytest.mark.parametrize("case", WRITES)
def test_writes_are_seen_wherever_they_stand(case: str) -> None:
    sql, reads, writes = WRITES[case]
    assert brief(observe(sql, "postgresql")) == (reads, writes)


OTHERS = {
    "postgresql": [
        ("UPDATE ONLY shop.a SET x = 1 WHERE id = 5", {"update a[id]"}),
        ("UPDATE a SET (x, y) = (1, 2) WHERE id = 5", {"update a[id]"}),
        ("INSERT INTO a AS q (id) VALUES (1) ON CONFLICT DO UPDATE SET x = q.x", {"update a"}),
        ("COPY a (x) FROM STDIN", {"whole a"}),
        ('COPY "my a" FROM STDIN WITH (FORMAT csv)', {"whole my a"}),
        ("COPY (DELETE FROM a RETURNING *) TO STDOUT", {"delete a"}),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY s.a", {"whole a"}),
        ("CREATE MATERIALIZED VIEW a AS SELECT * FROM b", {"whole a"}),
        ("CREATE TABLE a AS SELECT * FROM b", {"whole a"}),
        ("CREATE TABLE a AS WITH d AS (DELETE FROM b) SELECT 1", {"!"}),
        ("SELECT * INTO TEMP TABLE a FROM b", {"whole a"}),
        ("TRUNCATE a, ONLY b RESTART IDENTITY", {"whole a", "whole b"}),
        ("EXPLAIN (ANALYZE, BUFFERS) UPDATE a SET x = 1 WHERE id = 5", {"update a[id]"}),
        ("EXPLAIN ANALYZE VERBOSE DELETE FROM a", {"delete a"}),
        ("EXPLAIN ANALYZE CREATE TABLE a AS SELECT 1", {"whole a"}),
        ("EXPLAIN ANALYZE EXECUTE p", {"!"}),
        (
            "WITH i AS (INSERT INTO a (x) VALUES (1) RETURNING id), u AS (UPDATE b SET y = 1)"
            " SELECT * FROM i",
            {"insert a1(x)", "update b"},
        ),
        ('ALTER TABLE "my-stock" ADD COLUMN z int DEFAULT 7', {"whole my-stock"}),
        ('ALTER TABLE "my stock" ADD z int', {"whole my stock"}),
        ('ALTER TABLE shop."a.b" ADD z numeric(10, 2)', {"whole a.b"}),
        ('ALTER TABLE "a""b" ADD z int', {'whole a"b'}),
        ('ALTER TABLE "A (b)" ADD z int', {"whole a (b)"}),
        ("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b (id)", {"whole a"}),
        ("ALTER TABLE a ALTER x TYPE varchar(20) USING lower(x)", {"whole a"}),
        ("ALTER TABLE a ADD COLUMN z int DEFAULT f()", {"!"}),
        ("ALTER TABLE a ATTACH PARTITION b DEFAULT", {"!"}),
        ("ALTER TABLE a INHERIT b", {"!"}),
        ("ALTER TABLE a DROP COLUMN x CASCADE", {"!"}),
        ('DROP TABLE a, "b c"', {"whole a", "whole b c"}),
        ("DROP TABLE a CASCADE", {"!"}),
        ("DROP VIEW v", {"!"}),
        ("CREATE TABLE a (x int DEFAULT f(), FOREIGN KEY (x) REFERENCES b (id))", {"whole a"}),
    ],
    "mysql": [
        ("UPDATE LOW_PRIORITY a SET x = 1 WHERE id = 5", {"update a[id]"}),
        ("UPDATE IGNORE a SET x = 1", {"update a"}),
        ("UPDATE LOW_PRIORITY IGNORE a AS q SET x = 1 WHERE q.id = 5", {"update a[id]"}),
        ("DELETE QUICK FROM a WHERE id = 5", {"delete a[id]"}),
        ("DELETE LOW_PRIORITY QUICK IGNORE FROM a", {"delete a"}),
        ("DELETE HISTORY FROM a", {"delete a"}),
        ("DELETE FROM a, b USING a JOIN b ON a.id = b.id", {"whole a", "whole b"}),
        ("DELETE FROM s.a.*, b USING a JOIN b ON a.id = b.id", {"whole a", "whole b"}),
        ("DELETE a, b FROM a JOIN b ON a.id = b.id", {"whole a", "whole b"}),
        ("DELETE a.*, b.* FROM a JOIN b ON a.id = b.id", {"whole a", "whole b"}),
        ("DELETE quick, b FROM quick JOIN b ON true", {"whole quick", "whole b"}),
        ("UPDATE a, b SET a.x = b.y WHERE a.id = 5", {"whole a", "whole b"}),
        ("UPDATE a JOIN (SELECT 1) q ON true SET a.x = 1", {"whole a"}),
        ("WITH q AS (SELECT 1) UPDATE a JOIN q ON true SET a.x = 1", {"whole a"}),
        ("UPDATE a PARTITION (p0) SET x = 1 WHERE id = 5", {"update a"}),
        ("INSERT DELAYED INTO a (x) VALUES (1)", {"insert a1(x)"}),
        ("INSERT LOW_PRIORITY INTO a (x) VALUES (1)", {"insert a1(x)"}),
        ("INSERT HIGH_PRIORITY IGNORE a (x) VALUES (1)", {"insert a1(x)"}),
        ("INSERT a SET x = 1", {"insert a1(x)"}),
        ("INSERT INTO a TABLE b", {"update a"}),
        ("REPLACE a SET x = 1", {"whole a"}),
        ("REPLACE DELAYED INTO a (x) VALUES (1)", {"whole a"}),
        ("REPLACE LOW_PRIORITY a SELECT * FROM b", {"whole a"}),
        ("LOAD DATA LOCAL INFILE 'x' REPLACE INTO TABLE `my a` (x)", {"whole my a"}),
        ("LOAD XML INFILE 'x' INTO TABLE a", {"whole a"}),
        ("TRUNCATE `my stock`", {"whole my stock"}),
        ("ALTER TABLE `my stock` ADD COLUMN z INT, ADD INDEX i (z)", {"whole my stock"}),
        ("RENAME TABLE a TO b", {"!"}),
        ("CREATE TABLE a SELECT * FROM b", {"whole a"}),
        ("CREATE OR REPLACE TABLE a (x INT)", {"whole a"}),
        ("ANALYZE FORMAT=JSON UPDATE a SET x = 1", {"update a"}),
        ("XA COMMIT 'x'", {"!"}),
        ("SELECT 1 /*! INTO a */", {"!"}),
    ],
    "sqlite": [
        ("UPDATE OR REPLACE a SET x = 1 WHERE id = 5", {"whole a"}),
        ("UPDATE OR IGNORE a SET x = 1 WHERE id = 5", {"update a[id]"}),
        ("UPDATE a SET x = 1 WHERE id IN b", {"update a"}),
        ("INSERT OR REPLACE INTO a (id) VALUES (?)", {"whole a"}),
        ("INSERT OR ROLLBACK INTO a (id) VALUES (?)", {"insert a1(id)"}),
        ("INSERT INTO a (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET x = 2", {"update a"}),
        ("WITH q AS (SELECT 1) REPLACE INTO a SELECT * FROM q", {"whole a"}),
        ("ALTER TABLE [my stock] ADD COLUMN z", {"whole my stock"}),
        ("DROP TABLE main.[a.b]", {"whole a.b"}),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE b SET x = 1; END", {"!"}),
        ("VACUUM INTO 'x'", {"!"}),
    ],
    "microsoft": [
        ("UPDATE q SET q.x = 1 FROM a AS q WHERE q.id = 5", {"whole a", "whole q"}),
        ("DELETE q FROM a q WHERE q.id = 5", {"whole a", "whole q"}),
        ("INSERT INTO a (x) OUTPUT inserted.id VALUES (1)", {"insert a1(x)"}),
        ("SELECT * INTO #a FROM b", {"whole a"}),
    ],
}


@pytest.mark.parametrize(
    ("vendor", "sql", "wanted"),
    [(vendor, *each) for vendor, many in OTHERS.items() for each in many],
)
def test_each_database_writes_in_ways_of_its_own(vendor: str, sql: str, wanted: set) -> None:
    assert written(sql, vendor) == wanted


def test_many_rows_that_are_written_in_the_text_are_any_rows() -> None:
    """Were they folded into one row, the one key that a driver tells would count as all of theirs."""
    rows = ", ".join(f"({number}, 'x')" for number in range(100))
    assert written(f"INSERT INTO a (x, y) VALUES {rows}", "sqlite") == {"update a"}
    rows = ", ".join(["('x')"] * 9)
    assert written(f"INSERT INTO a (x) VALUES {rows}", "sqlite") == {"update a"}


SUBQUERY_SITES = [
    "SELECT * FROM a WHERE id = 5 AND x IN {}",
    "SELECT * FROM a JOIN b ON b.x = {}",
    "SELECT coalesce({}, 1), f(extract(year FROM {})), cast({} AS int), trim({}) FROM a",
    "SELECT CASE {} WHEN {} THEN {} ELSE {} END FROM a",
    "SELECT sum(x) FILTER (WHERE {}) OVER (PARTITION BY {} ORDER BY {}) FROM a",
    "SELECT 1 FROM a GROUP BY {} HAVING {} ORDER BY {} LIMIT 5",
    "SELECT * FROM a, {} q",
    "SELECT 1 UNION {}",
    "WITH q AS {} SELECT * FROM q, a",
    "SELECT substring({} from 1), position({} in 'x') FROM a",
    "VALUES ({}), (2)",
    "INSERT INTO a (x) VALUES ({}) RETURNING {}",
    "INSERT INTO a (x) {}",
    "UPDATE a SET x = {} WHERE y = {}",
    "DELETE FROM a WHERE x = {}",
]


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite"])
@pytest.mark.parametrize("sql", SUBQUERY_SITES)
def test_a_subquery_is_read_wherever_it_stands(sql: str, vendor: str) -> None:
    for query in ("(SELECT y FROM hidden)", "(SELECT 1 WHERE EXISTS (SELECT y FROM hidden))"):
        observed = observe(sql.replace("{}", query), vendor)
        assert "hidden" in {each.table for each in observed.reads} or observed.unknown_read


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT * FROM a WHERE id IN b", {"a", "b"}),
        ("SELECT * FROM a WHERE id NOT IN main.b AND a.id = 5", {"a[id]", "b"}),
        ('SELECT * FROM a WHERE (x, y) IN "my b"', {"a", "my b"}),
        ("DELETE FROM a WHERE id IN b RETURNING id", {"a", "b"}),
        ("SELECT 1 FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id IN c)", {"a", "b", "c"}),
    ],
)
def test_sqlite_reads_a_table_that_stands_for_a_list(sql: str, wanted: set) -> None:
    assert brief(observe(sql, "sqlite"))[0] == wanted


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
