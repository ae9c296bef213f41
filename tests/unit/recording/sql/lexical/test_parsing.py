"""The parser is bounded in time, and says nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from sqlglot.dialects.dialect import Dialect

from cachemw.recording.sql.lexical import parsing
from cachemw.recording.sql.lexical.parsing import parse
from cachemw.recording.sql.lexical.words import read_words
from cachemw.recording.sql.statements import observe

NESTED: dict[str, Callable[[int], str]] = {
    "arrays": lambda n: "SELECT " + "ARRAY[" * n + "1" + "]" * n,
    "bare arrays": lambda n: "SELECT " + "[" * n + "1" + "]" * n,
    "brackets": lambda n: "SELECT * FROM a WHERE " + "(" * n + "x = 1" + ")" * n,
    "types": lambda n: "SELECT " + "CHAR(" * n + "x" + ")" * n,
    "types that are words": lambda n: "SELECT " + "union(" * n + "x" + ")" * n,
    "limits": lambda n: "SELECT " + "CAST LIMIT xml (" * n + "x" + ")" * n,
    "calls": lambda n: "SELECT " + "f(" * n + "x" + ")" * n,
    "branches": lambda n: "SELECT " + "CASE WHEN x THEN " * n + "1" + " END" * n,
    "subqueries": lambda n: "SELECT * FROM " + "(SELECT * FROM " * n + "a" + ") x" * n,
    "alternatives": lambda n: (
        "SELECT * FROM a WHERE " + "(x = 1 AND (y = 2 OR " * n + "z" + "))" * n
    ),
    "never closed": lambda n: "SELECT " + "(" * n,
}


STOCK: Any = Dialect.get_or_raise("postgres").parser_class


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How far the parser has gone: once for each step."""
    if parsing._parser_class("postgres") is STOCK:
        pytest.skip("the parser is compiled")
    taken: list[int] = []

    class Noting(parsing._parser_class("postgres")):  # type: ignore[misc]
        def _advance(self, times: int = 1) -> None:
            taken.append(times)
            super()._advance(times)

    monkeypatch.setattr(parsing, "_parser_class", lambda _: Noting)
    return taken


@pytest.mark.parametrize("case", NESTED)
def test_the_parser_goes_few_steps_however_deep_a_text_is_nested(
    case: str, steps: list[int]
) -> None:
    for depth in (5, 10, 15, 20, 100, 1000):
        steps.clear()
        words = read_words(NESTED[case](depth), "postgres")
        parse(NESTED[case](depth), words, "postgres")
        assert len(steps) <= len(words) * 7 + 2010


def test_an_ordinary_text_takes_far_fewer(steps: list[int]) -> None:
    sql = f"SELECT {', '.join(f'a.c{n}' for n in range(50))} FROM a JOIN b ON a.x = b.y WHERE a.id = 5"
    words = read_words(sql, "postgres")
    assert parse(sql, words, "postgres") is not None
    assert len(steps) < len(words) * 2


def test_a_long_text_is_not_parsed(steps: list[int]) -> None:
    sql = f"SELECT {', '.join(f'c{n}' for n in range(3000))} FROM a"
    assert parse(sql, read_words(sql, "postgres"), "postgres") is None
    assert steps == []


class Compiled(STOCK):  # type: ignore[misc]
    """As a compiled parser: no class can be derived from it, and it takes no other attributes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self) is not Compiled:
            raise TypeError("interpreted classes cannot inherit from compiled")
        super().__init__(*args, **kwargs)

    def __setattr__(self, name: str, value: object) -> None:
        assert name != "steps_left"
        super().__setattr__(name, value)


def test_a_compiled_parser_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(Dialect.get_or_raise("postgres")), "parser_class", Compiled)
    parsing._parser_class.cache_clear()
    try:
        assert parse("SELECT 1", read_words("SELECT 1", "postgres"), "postgres") is not None
        assert parsing._parser_class("postgres") is Compiled
    finally:
        parsing._parser_class.cache_clear()


LOUD = [
    ("postgresql", "WITH x AS (SHOW y) SELECT * FROM x"),
    ("mysql", "WITH x AS (CALL y) SELECT * FROM x"),
    ("postgresql", "SELECT JSON_VALUE(x, 'a b[') FROM a"),
    ("duckdb", "SELECT x -> 'a b[' FROM a"),
    ("postgresql", "TRUNCATE a FROBNICATE 5"),
]


@pytest.mark.parametrize(("vendor", "sql"), LOUD)
def test_the_parser_writes_nothing_into_the_log(
    vendor: str, sql: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    observe(sql, vendor)
    assert caplog.records == []


def test_the_application_may_have_the_parser_log(caplog: pytest.LogCaptureFixture) -> None:
    observe("SELECT 1", "sqlite")
    logging.getLogger("sqlglot").warning("of its own")
    assert [each.getMessage() for each in caplog.records] == ["of its own"]
