"""A table has one spelling, however odd its name is, in queries, changes and definitions alike."""

from __future__ import annotations

import pytest

from cachemw.recording.sql.statements import observe, table_name

ODD = [
    "my-stock",
    "my stock",
    "a.b",
    "a;b",
    "a, (b), (c), (d), (e",
    "a'b",
    "a--b",
    "a /* b */",
    "-- a",
    "a:b",
    "a?b",
    "a$1",
    "1a",
    "a\nb",
    "a\\b",
    "Ünïcode",
    "update",
    "or",
    "a OR b OR c OR d OR e",
    "in (:c0, :c0)",
    'with a "quote"',
    "with a `quote`",
]
QUOTES = [("postgresql", '""'), ("mysql", "``"), ("sqlite", '""'), ("sqlite", "``"), ("sqlite", "[]"),
          ("oracle", '""'), ("microsoft", "[]")]  # fmt: skip
STATEMENTS = [
    "SELECT * FROM {0} WHERE x = 5",
    "SELECT q.x FROM s.{0} AS q, {0} AS r, {0} AS t, {0} AS u",
    "INSERT INTO {0} (x) VALUES (1)",
    "UPDATE {0} SET x = 1 WHERE x = 5",
    "DELETE FROM s.{0}",
    "ALTER TABLE {0} ADD COLUMN z int",
    "DROP TABLE IF EXISTS {0}",
    "CREATE TABLE {0} (x int)",
    "TRUNCATE TABLE {0}",
]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(("vendor", "quotes"), QUOTES)
def test_every_statement_spells_a_table_alike(vendor: str, quotes: str, name: str) -> None:
    opening, closing = quotes
    quoted = opening + name.replace(closing, closing * 2) + closing
    for statement in STATEMENTS:
        observed = observe(statement.format(quoted), vendor)
        named = {each.table for each in (*observed.reads, *observed.writes)}
        assert named == {name.casefold()}, statement


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("shop_Product", "shop_product"),
        ("my-stock", "my-stock"),
        ("my stock", "my stock"),
        ("a.b", "a.b"),
        ("a(b)[c]", "a(b)[c]"),
        ('"shop"."Product"', "product"),
        ('shop"."product', "product"),
        ("shop`.`product", "product"),
        ('"SHOP"."A ""B"""', 'a "b"'),
        ("", ""),
    ],
)
def test_a_table_of_django_is_spelt_as_in_its_statements(name: str, spelt: str) -> None:
    assert table_name(name) == spelt
