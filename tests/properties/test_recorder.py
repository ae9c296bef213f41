"""Whenever a write changes what a query gives, it purges a tag that the query's answer carries.

Random queries and writes run on a real SQLite database, which alone says what changed: each query
against all writes of one row by its key, which purge least, each write against all queries of rows by
a key, which note least, and the ones against the others.

Seen to fail with each of these rules broken: `OR`, `NOT`, `NOT IN`, `ON` and the scopes of others
restrict nothing; a table that is mentioned twice, or in a part of a `UNION`, is read twice; an update
of the key is one of all rows; a write of a row purges what was read by foreign keys, an insert by those
it gives, and by all where it leaves one to the database; an insert without a key is one of all rows,
and so are replaced and upserted ones; each row of several counts; what the database changes by itself,
also in steps and by `ON UPDATE`, is written.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachemw.recording.context import Recording
from cachemw.recording.sql.observed import Kind
from cachemw.recording.sql.read_rows import record
from cachemw.recording.sql.rows import Schema, Table
from cachemw.recording.sql.statements import observe
from cachemw.recording.sql.written_rows import written
from tests.support.examples import examples

EXAMPLES = int(os.environ.get("CACHEMW_SQL_EXAMPLES", "0")) or examples(300)

Params = list[Any]
Sql = tuple[str, Params]
Draw = Callable[[st.SearchStrategy[Any]], Any]

# The data -----------------------------------------------------------------------------------------

ACTIONS = ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE CASCADE ON UPDATE CASCADE"]
COLUMNS = {
    "shop": ("id", "name", "size"),
    "item": ("id", "shop_id", "name", "size"),
    "note": ("slug", "item_id", "shop_id", "size"),
}
FOREIGN = {"item": {"shop_id": "shop"}, "note": {"item_id": "item", "shop_id": "shop"}}
KEYS = {"shop": "id", "item": "id", "note": "slug"}

KEY_VALUES: dict[str, list[Any]] = {"shop": [1, 2, 3], "item": [1, 2, 3], "note": ["a", "b", "7"]}
VALUES: dict[str, list[Any]] = {"size": [1, 2], "name": ["x", "y"]}

numbers = st.integers(1, 4)
slugs = st.sampled_from(["a", "b", "B", "7", "é"])
maybe = st.one_of(st.none(), numbers)


def values_of(table: str, column: str) -> st.SearchStrategy[Any]:
    if column == "slug":
        return slugs
    if column in VALUES:
        return st.sampled_from(VALUES[column])
    return maybe if column in FOREIGN.get(table, {}) else numbers


def schema_for(actions: dict[str, str]) -> Schema:
    """Say of the tables what an integration would: an action is by the table and its column."""
    cascades: dict[str, set[str]] = {table: set() for table in COLUMNS}
    referenced: dict[str, set[str]] = {table: set() for table in COLUMNS}
    for child, columns in FOREIGN.items():
        for column, parent in columns.items():
            action = actions[f"{child}.{column}"]
            if action:
                cascades[parent].add(child)
            if "UPDATE" in action:
                referenced[parent].add(KEYS[parent])
    kinds: dict[str, dict[str, Kind]] = {
        "shop": {"id": "number"},
        "item": {"id": "number", "shop_id": "number"},
        "note": {"slug": "text", "item_id": "number", "shop_id": "number"},
    }
    return Schema(
        {
            table: Table(
                key=KEYS[table],
                foreign=frozenset(FOREIGN.get(table, {})),
                kinds=kinds[table],
                cascades=frozenset(cascades[table]),
                referenced=frozenset(referenced[table]),
            )
            for table in COLUMNS
        }
    )


def create(connection: sqlite3.Connection, actions: dict[str, str]) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE shop (id INTEGER PRIMARY KEY, name TEXT, size INTEGER)")
    for table, key, default in (("item", "id INTEGER", " DEFAULT 1"), ("note", "slug TEXT", "")):
        references = "".join(
            f", {column} INTEGER{default} REFERENCES {parent}{actions[f'{table}.{column}']}"
            for column, parent in FOREIGN[table].items()
        )
        plain = "".join(f", {c}" for c in COLUMNS[table] if c in ("name", "size"))
        connection.execute(f"CREATE TABLE {table} ({key} PRIMARY KEY{references}{plain})")


# Queries ------------------------------------------------------------------------------------------


@st.composite
def conditions(draw: Draw, scope: dict[str, str], depth: int = 2) -> Sql:
    """Draw a condition on the tables of a scope, by their aliases."""
    kinds = ["key", "key", "key", "foreign", "foreign", "in", "in", "odd", "plain", "chain"]
    if depth:
        kinds += ["and", "and", "or", "or", "not", "exists", "subquery"]
    kind = draw(st.sampled_from(kinds))
    alias = draw(st.sampled_from(sorted(scope)))
    table = scope[alias]
    if kind in ("and", "or"):
        left, left_params = draw(conditions(scope, depth - 1))
        right, right_params = draw(conditions(scope, depth - 1))
        return f"({left} {kind.upper()} {right})", left_params + right_params
    if kind == "not":
        inner, params = draw(conditions(scope, depth - 1))
        return f"NOT {inner}", params
    if kind in ("exists", "subquery"):
        return draw(nested(kind, alias, table))
    if kind == "chain":
        return draw(chains(alias, table))
    of_key = kind == "key" or draw(st.booleans())
    column = KEYS[table] if of_key else draw(st.sampled_from(COLUMNS[table]))
    if kind == "foreign":
        column = draw(st.sampled_from([*FOREIGN.get(table, {KEYS[table]: ""})]))
    return draw(comparisons(kind, named(draw, alias, column, scope), values_of(table, column)))


def named(draw: Draw, alias: str, column: str, scope: dict[str, str]) -> str:
    """Name a column, sometimes without its table where that is allowed."""
    having = [table for table in scope.values() if column in COLUMNS[table]]
    return column if len(having) == 1 and draw(st.booleans()) else f"{alias}.{column}"


@st.composite
def comparisons(draw: Draw, kind: str, column: str, values: st.SearchStrategy[Any]) -> Sql:
    if kind == "in":
        given_values = draw(st.lists(values, min_size=1, max_size=3))
        negated = draw(st.sampled_from(["", "", "", "NOT "]))
        return f"{column} {negated}IN ({', '.join('?' * len(given_values))})", given_values
    if kind == "odd":
        sign = draw(
            st.sampled_from(["<>", ">", "IS", "IS NOT", "+ 0 =", "LIKE", "= 1 +", "= 0 OR 1 ="])
        )
        value = draw(values)
        text = f"{column} {sign} ?"
        return (f"({text})" if "OR" in sign else text), [value]
    value = draw(values)
    form = draw(st.sampled_from(["param", "param", "text", "literal", "turned"]))
    if form == "literal" and isinstance(value, int):
        return f"{column} = {value}", []
    if form == "turned":
        return f"? = {column}", [value]
    return f"{column} = ?", [str(value) if form == "text" and value is not None else value]


@st.composite
def chains(draw: Draw, alias: str, table: str) -> Sql:
    """Draw alternatives that look alike, which are folded, between others that may bind closer."""
    columns = draw(st.lists(st.sampled_from(COLUMNS[table]), min_size=1, max_size=2, unique=True))
    literal = draw(st.booleans())
    texts, params = [], []
    for _ in range(draw(st.sampled_from([3, 4, 5, 70]))):
        values = [draw(values_of(table, column)) for column in columns]
        shown = ["NULL" if value is None else repr(value) for value in values]
        pairs = zip(columns, shown if literal else ["?"] * len(columns), strict=True)
        texts.append(" AND ".join(f"{alias}.{column} = {value}" for column, value in pairs))
        params += [] if literal else values
    around = draw(
        st.sampled_from(["({})", "({} AND {a}.size = 1)", "({a}.size = 1 AND {})", "NOT ({})"])
    )
    alternatives = " OR ".join(texts if draw(st.booleans()) else [f"({each})" for each in texts])
    return around.replace("{}", alternatives).replace("{a}", alias), params


@st.composite
def nested(draw: Draw, kind: str, alias: str, table: str) -> Sql:
    inner = draw(st.sampled_from(sorted(COLUMNS)))
    # Of the rows of the outer table, too, where their alias is not hidden.
    seen = {"i": inner, alias: table} if draw(st.booleans()) else {"i": inner}
    where, params = draw(conditions(seen, 1))
    if kind == "exists":
        own = draw(st.sampled_from(["i", alias])) if alias not in seen else "i"
        where = where.replace("i.", f"{own}.") if own != "i" else where
        link = f" AND {own}.size = {alias}.size"
        return f"EXISTS (SELECT 1 FROM {inner} {own} WHERE {where}{link})", params
    return f"{alias}.size IN (SELECT i.size FROM {inner} i WHERE {where})", params


JOINS = ["JOIN", "LEFT JOIN", "CROSS JOIN", ","]
if sqlite3.sqlite_version_info >= (3, 39):
    JOINS += ["RIGHT JOIN", "FULL JOIN"]


@st.composite
def selects(draw: Draw) -> Sql:
    tables = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=3))
    scope = {f"t{number}": table for number, table in enumerate(tables)}
    text, params = "", []
    for alias, table in scope.items():
        if not text:
            text = f"{table} {alias}"
            continue
        join = draw(st.sampled_from(JOINS))
        text += f"{join if join == ',' else ' ' + join} {table} {alias}"
        if "CROSS" not in join and join != ",":
            known = {each: scope[each] for each in list(scope) if each <= alias}
            text += f" ON {alias}.size = t0.size"
            if draw(st.booleans()):
                on, more = draw(conditions(known, 1))
                text += f" AND {on}"
                params = params + more
    what = draw(st.sampled_from(["rows", "rows", "count", "groups", "window", "distinct"]))
    columns = ", ".join(f"{alias}.{c}" for alias, table in scope.items() for c in COLUMNS[table])
    chosen = {
        "rows": columns,
        "count": "COUNT(*), MAX(t0.size), SUM(t0.size)",
        "groups": "t0.size, COUNT(*)",
        "window": f"{columns}, COUNT(*) OVER (PARTITION BY t0.size)",
        "distinct": "DISTINCT t0.size",
    }[what]
    sql = f"SELECT {chosen} FROM {text}"
    if draw(st.integers(0, 5)):
        where, more = draw(conditions(scope))
        sql, params = f"{sql} WHERE {where}", params + more
    return sql + (" GROUP BY t0.size HAVING COUNT(*) > 0" if what == "groups" else ""), params


@st.composite
def queries(draw: Draw) -> Sql:
    sql, params = draw(selects())
    form = draw(st.sampled_from(["plain"] * 5 + ["union", "derived", "cte", "cte", "alike"]))
    if form == "union":
        one, two = draw(st.sampled_from(sorted(COLUMNS))), draw(st.sampled_from(sorted(COLUMNS)))
        first, given_first = draw(conditions({"u": one}))
        second, given_second = draw(conditions({"u": two}))
        sign = draw(st.sampled_from(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"]))
        return (
            f"SELECT u.size FROM {one} u WHERE {first} {sign}"
            f" SELECT u.size FROM {two} u WHERE {second}",
            given_first + given_second,
        )
    if form == "derived":
        return f"SELECT COUNT(*) FROM ({sql})", params
    if form == "cte":
        return f"WITH picked AS ({sql}) SELECT * FROM picked", params
    if form == "alike":  # a name that hides a table's
        one, other = draw(st.permutations(sorted(COLUMNS)))[:2]
        where, params = draw(conditions({one: one}))
        hidden = draw(st.sampled_from(["", f", main.{other}"]))
        cte = f"WITH {other} AS (SELECT * FROM {one} WHERE {where})"
        return (
            f"{cte} SELECT COUNT(*), MAX({other}.size) FROM {other} {hidden and hidden + ' h'}",
            params,
        )
    return sql, params


# Writes -------------------------------------------------------------------------------------------


@st.composite
def inserts(draw: Draw) -> Sql:
    table = draw(st.sampled_from(sorted(COLUMNS)))
    columns = draw(st.one_of(st.just(list(COLUMNS[table])), subsets(table)))
    rows = draw(st.integers(1, 2))
    words = ["INSERT"] * 4 + ["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"]
    word = draw(st.sampled_from(words))
    params = [draw(values_of(table, column)) for _ in range(rows) for column in columns]
    row = f"({', '.join('?' * len(columns))})"
    end = draw(st.sampled_from(["", "", "", " ON CONFLICT DO UPDATE SET size = 3"]))
    sql = f"{word} INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
    return sql + (end if word == "INSERT" else ""), params


def subsets(table: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(COLUMNS[table]), min_size=1, unique=True)


@st.composite
def rows_of(draw: Draw, table: str) -> Sql:
    """Draw a condition for a write: mostly one row, for of those the least is purged."""
    if draw(st.integers(0, 4)):
        return f"{KEYS[table]} = ?", [draw(values_of(table, KEYS[table]))]
    return draw(conditions({table: table}, 1))


@st.composite
def updates(draw: Draw) -> Sql:
    table = draw(st.sampled_from(sorted(COLUMNS)))
    column = draw(st.sampled_from(COLUMNS[table]))
    where, params = draw(rows_of(table))
    return f"UPDATE {table} SET {column} = ? WHERE {where}", [
        draw(values_of(table, column)),
        *params,
    ]


@st.composite
def deletes(draw: Draw) -> Sql:
    table = draw(st.sampled_from(sorted(COLUMNS)))
    where, params = draw(rows_of(table))
    return f"DELETE FROM {table} WHERE {where}", params


def copies() -> st.SearchStrategy[Sql]:
    return st.just(("INSERT INTO item (size, name) SELECT size, name FROM shop", []))


writes = st.one_of(updates(), updates(), updates(), inserts(), inserts(), deletes(), copies())

# The property -------------------------------------------------------------------------------------


def families(tags: tuple[str, ...]) -> set[str]:
    """Add to an entry's tags what stands before each of their first three colons."""
    found = set(tags)
    for tag in tags:
        pieces = tag.split(":")
        found |= {":".join(pieces[:n]) + ":*" for n in range(1, min(len(pieces), 4))}
    return found


def given_by(connection: sqlite3.Connection, query: Sql) -> list[str]:
    try:
        return sorted(map(repr, connection.execute(*query).fetchall()))
    except sqlite3.OperationalError:  # a column of several tables, perhaps
        return []


def fill(connection: sqlite3.Connection, rows: list[tuple[str, dict[str, Any]]]) -> None:
    for table, row in rows:
        marks = ", ".join("?" * len(row))
        connection.execute(
            f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())
        )


def contents(seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Make up rows that refer to each other, parents first; of each table one may be missing."""
    chance = random.Random(seed)
    rows: list[tuple[str, dict[str, Any]]] = []
    for table, columns in COLUMNS.items():
        for key in chance.sample(KEY_VALUES[table], chance.randint(2, 3)):
            row: dict[str, Any] = {}
            for column in columns:
                parent = FOREIGN.get(table, {}).get(column)
                present = [each[KEYS[t]] for t, each in rows if t == parent]
                row[column] = chance.choice(VALUES.get(column, [None, *present]))
            rows.append((table, row | {KEYS[table]: key}))
    return rows


def actions_of() -> list[str]:
    return [f"{table}.{column}" for table, columns in FOREIGN.items() for column in columns]


actions_by_column = st.fixed_dictionaries(dict.fromkeys(actions_of(), st.sampled_from(ACTIONS)))


def probing_writes() -> Iterator[Sql]:
    """Give the writes that purge least: of one row, by its key."""
    for table, columns in COLUMNS.items():
        for key in KEY_VALUES[table]:
            where = f"WHERE {KEYS[table]} = ?"
            yield f"DELETE FROM {table} {where}", [key]
            for column in columns[1:]:
                parent = FOREIGN.get(table, {}).get(column)
                for value in VALUES.get(column, [None, *KEY_VALUES.get(parent or "", [])]):
                    yield f"UPDATE {table} SET {column} = ? {where}", [value, key]
            for number in range(4):
                row = [key] + [
                    VALUES[column][number % 2] if column in VALUES else (number or None)
                    for column in columns[1:]
                ]
                yield _insert(table, dict(zip(columns, row, strict=True)))
            for column in columns[1:]:  # which the database gives a default, perhaps
                yield _insert(
                    table, {KEYS[table]: key} | {each: 1 for each in columns[1:] if each != column}
                )


def _insert(table: str, row: dict[str, Any]) -> Sql:
    marks = ", ".join("?" * len(row))
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values())


def probing_queries() -> Iterator[Sql]:
    """Give the queries that note least: of one row by its key, of some by a foreign key."""
    for table in COLUMNS:
        for key in [*KEY_VALUES[table], 4]:
            yield f"SELECT * FROM {table} WHERE {KEYS[table]} = ?", [key]
        for column in FOREIGN.get(table, {}):
            for value in (1, 2, 3, 4):
                yield f"SELECT * FROM {table} WHERE {column} = ?", [value]
        yield f"SELECT * FROM {table}", []


def check(connection: sqlite3.Connection, schema: Schema, write: Sql, asked: list[Sql]) -> None:
    """Carry out a write, look, and take it back."""
    before = [given_by(connection, query) for query in asked]
    purged = set(written(observe(write[0], "sqlite"), write[1], schema))
    connection.execute("SAVEPOINT before")
    with suppress(sqlite3.Error):  # refused, and nothing is changed
        connection.execute(*write)
    for query, old in zip(asked, before, strict=True):
        if given_by(connection, query) != old:
            assert families(noted(query, schema)) & purged, (query, write)
    connection.execute("ROLLBACK TO before")
    connection.execute("RELEASE before")


def noted(query: Sql, schema: Schema) -> tuple[str, ...]:
    recording = Recording()
    record(recording, observe(query[0], "sqlite"), query[1], schema)
    return recording.close()


@contextmanager
def database(actions: dict[str, str], seed: int) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection, actions)
        fill(connection, contents(seed))
        yield connection


thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
seeds = st.integers(0, 1000)


@pytest.mark.parametrize("action", ACTIONS)
def test_writes_of_one_row_purge_all_that_queries_of_few_rows_may_have_read(action: str) -> None:
    actions = dict.fromkeys(actions_of(), action)
    for seed in range(3):
        with database(actions, seed) as connection:
            for write in probing_writes():
                check(connection, schema_for(actions), write, list(probing_queries()))


TRICKY = [
    "SELECT * FROM item WHERE id = 1 OR size = 2",
    "SELECT * FROM item WHERE NOT (id = 1)",
    "SELECT * FROM item WHERE id NOT IN (1, 2)",
    "SELECT * FROM item WHERE id = 1 IS FALSE",
    "SELECT * FROM item WHERE (id = 1) = 0",
    "SELECT * FROM shop t WHERE EXISTS (SELECT 1 FROM item i WHERE t.id = 1 AND i.size = t.size)",
    "SELECT * FROM shop i WHERE EXISTS (SELECT 1 FROM item i WHERE i.id = 1)",
    "SELECT * FROM item a JOIN item b ON a.size = b.size WHERE a.id = 1",
    "SELECT * FROM shop t LEFT JOIN item i ON i.id = 1",
    "SELECT * FROM item i LEFT JOIN shop t ON t.id = i.shop_id AND i.id = 1",
    "SELECT * FROM item i LEFT JOIN shop t ON t.id = i.shop_id AND i.id = 1 WHERE i.size > 0",
    "SELECT * FROM shop t LEFT JOIN item i ON i.size = t.size WHERE i.id = 1",
    "SELECT COUNT(*), (SELECT COUNT(*) FROM item) FROM item WHERE id = 1",
    "SELECT size, COUNT(*) FROM item GROUP BY size HAVING MAX(id) = 1",
    "SELECT COUNT(*) FILTER (WHERE id = 1), COUNT(*) FROM item",
    "SELECT COUNT(*) OVER () FROM item WHERE shop_id = 1",
    "SELECT * FROM item WHERE id = 1 UNION ALL SELECT * FROM item WHERE shop_id = 2",
    "SELECT * FROM (SELECT * FROM item) WHERE id = 1",
    "WITH item AS (SELECT * FROM shop WHERE id = 1) SELECT * FROM item, main.item other",
    "SELECT * FROM item WHERE id = (SELECT MIN(id) FROM item)",
    "SELECT * FROM item WHERE id = 0 + 1 OR id = 2",
    "SELECT * FROM item LIMIT 1",
    "SELECT * FROM note WHERE shop_id = 1 AND item_id = 2",
    "SELECT * FROM note WHERE shop_id IS NULL",
    "SELECT * FROM note WHERE slug = '7' AND slug IN ('a', 'b', '7')",
    "SELECT * FROM item WHERE (id, name, size) IN shop",
    "SELECT * FROM item WHERE id = 1 AND (id, name, size) NOT IN main.shop",
    "SELECT * FROM note WHERE slug = 'A' COLLATE NOCASE",
    "SELECT * FROM note WHERE slug COLLATE NOCASE = 'A'",
    "SELECT * FROM item WHERE size = 1 AND id = 1 OR id = 2 OR id = 3 OR id = 1 OR size = 2",
    "SELECT * FROM item WHERE id = 1 OR id = 2 OR id = 3 OR id = 2 AND size = 1",
    "SELECT * FROM item WHERE id = 1 AND name = 'x' OR shop_id = 1 OR shop_id = 2 OR shop_id = 3 OR id = 9",
    f"SELECT * FROM item WHERE {' OR '.join(f'(id = {n} AND size = 1)' for n in range(80))}",
    f"SELECT * FROM item WHERE id IN ({', '.join(str(n) for n in range(80))})",
    f"SELECT * FROM item WHERE id NOT IN ({', '.join(str(n) for n in range(2, 80))})",
    f"SELECT * FROM item WHERE (id, size) IN (VALUES {', '.join(f'({n}, 1)' for n in range(80))})",
]


@pytest.mark.parametrize("query", TRICKY)
def test_a_tricky_query_notes_all_that_a_write_of_one_row_may_change(query: str) -> None:
    actions = dict.fromkeys(actions_of(), ACTIONS[-1])
    for seed in range(10):
        with database(actions, seed) as connection:
            for write in probing_writes():
                check(connection, schema_for(actions), write, [(query, [])])


TRICKY_WRITES: list[Sql] = [
    ("UPDATE item SET id = 4 WHERE id = ?", [1]),
    ("UPDATE shop SET id = 4 WHERE id = ?", [1]),
    ("UPDATE item SET shop_id = ? WHERE shop_id = ?", [2, 1]),
    ("DELETE FROM note WHERE shop_id = ?", [1]),
    ("INSERT INTO item (shop_id, size) VALUES (?, 1)", [2]),
    ("INSERT INTO item (id, shop_id) VALUES (?, ?), (?, ?)", [5, 1, 4, 2]),
    ("INSERT INTO item (size, name) SELECT size, name FROM shop", []),
    ("INSERT OR REPLACE INTO item (id, shop_id, size) VALUES (?, ?, 2)", [1, 2]),
    ("REPLACE INTO shop (id, name) VALUES (?, 'new')", [1]),
    ("INSERT INTO note VALUES (?, 1, 1, 1) ON CONFLICT DO UPDATE SET shop_id = 2", ["a"]),
    (
        "INSERT INTO note (slug, item_id, shop_id) VALUES (?, 1, 1)"
        " ON CONFLICT DO UPDATE SET shop_id = 2, item_id = 2",
        ["a"],
    ),
    (
        "WITH few AS (SELECT id FROM item) UPDATE item SET size = 3 WHERE id IN (SELECT id FROM few)",
        [],
    ),
    ("DELETE FROM shop WHERE id IN (?, ?)", [1, 2]),
    ("DELETE FROM item", []),
    ("UPDATE OR REPLACE item SET id = 2 WHERE id = ?", [1]),
    ("UPDATE OR IGNORE item SET size = 3 WHERE id = ?", [1]),
    ("DELETE FROM item WHERE (id, name, size) IN shop", []),
    ("UPDATE item SET size = 3 WHERE id = 1 OR id = 2 OR id = 3 OR id = 1 OR size = 2", []),
    (f"DELETE FROM item WHERE {' OR '.join(['(id = ? AND size = ?)'] * 9)}", [1, 1] * 9),
    ("WITH few AS (SELECT 4, 'x', 1) REPLACE INTO shop SELECT * FROM few", []),
    (f"INSERT INTO item (id, size) VALUES {', '.join(f'({n}, 1)' for n in range(4, 90))}", []),
    (f"INSERT INTO item (size) VALUES {', '.join(['(1)'] * 9)}", []),
]


@pytest.mark.parametrize("write", TRICKY_WRITES, ids=[sql for sql, _ in TRICKY_WRITES])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("last", ["", ACTIONS[1]], ids=["in steps", "at once"])
def test_a_tricky_write_purges_all_that_a_query_of_few_rows_may_have_read(
    write: Sql, action: str, last: str
) -> None:
    actions = dict.fromkeys(actions_of(), action) | {"note.shop_id": last}
    for seed in range(10):
        with database(actions, seed) as connection:
            check(connection, schema_for(actions), write, list(probing_queries()))


@thorough
@given(actions=actions_by_column, seed=seeds, query=queries())
def test_a_query_notes_all_that_a_write_of_one_row_may_change(
    actions: dict[str, str], seed: int, query: Sql
) -> None:
    schema = schema_for(actions)
    with database(actions, seed) as connection:
        for write in probing_writes():
            check(connection, schema, write, [query])


@thorough
@given(actions=actions_by_column, seed=seeds, write=writes)
def test_a_write_purges_all_that_a_query_of_few_rows_may_have_read(
    actions: dict[str, str], seed: int, write: Sql
) -> None:
    with database(actions, seed) as connection:
        check(connection, schema_for(actions), write, list(probing_queries()))


@thorough
@given(
    actions=actions_by_column,
    seed=seeds,
    asked=st.lists(queries(), min_size=1, max_size=4),
    changed=st.lists(writes, min_size=1, max_size=4),
)
def test_whatever_a_write_changes_it_purges(
    actions: dict[str, str], seed: int, asked: list[Sql], changed: list[Sql]
) -> None:
    with database(actions, seed) as connection:
        for write in changed:
            check(connection, schema_for(actions), write, asked)


@pytest.mark.parametrize("strategy", [queries(), writes])
def test_what_is_tried_is_understood(strategy: st.SearchStrategy[Sql]) -> None:
    """Were it opaque, everything would be purged and the property could not fail."""

    @settings(max_examples=examples(100), deadline=None, database=None)
    @given(strategy)
    def look(drawn: Sql) -> None:
        observed = observe(drawn[0], "sqlite")
        assert not observed.unknown_read, drawn
        assert not observed.unknown_write, drawn

    look()
