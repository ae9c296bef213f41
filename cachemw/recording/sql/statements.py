"""From the text of a SQL statement to what it reads and writes.

A text is parsed once, and so is one that differs from another in the length of its lists only. What
cannot be understood is opaque: it may have read and written anything. Nothing is raised.

A table has one spelling, the last part of its name in lower case: two tables of that name in two
schemas are one here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import sqlglot

from cachemw.recording.sql.conditions import understand
from cachemw.recording.sql.observed import OPAQUE, QUIET, Observed, Write
from cachemw.recording.sql.tokens import scan

__all__ = ["observe", "table_name"]

_REMEMBERED = 1024
"""Texts, and as many folded ones: an application has some hundreds."""
_LONG = 8192
"""Characters of a text that is not remembered, which bounds the memory; the folded one may be."""
_TOO_LONG = 32768
"""Characters of a folded text that is not read: the parser would take a tenth of a second and more."""

_DIALECTS = {
    "postgresql": "postgres",
    "cockroachdb": "postgres",
    "redshift": "redshift",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
    "oracle": "oracle",
    "microsoft": "tsql",
    "mssql": "tsql",
    "snowflake": "snowflake",
    "duckdb": "duckdb",
}


def observe(sql: str, vendor: str) -> Observed:
    """Say what a text reads and writes, for a database by its vendor's name. Raises nothing."""
    try:
        return (_remembered if len(sql) <= _LONG else _look)(sql, vendor)
    except TypeError:  # drivers take more than texts
        return OPAQUE


def _look(sql: str, vendor: str) -> Observed:
    dialect = _DIALECTS.get(vendor)
    try:
        scanned = scan(sql, dialect)
        if scanned is None:
            return OPAQUE
        shape = _shape(scanned.statements, dialect)
    except Exception:  # the parser's own errors are the least of it: it is somebody else's text
        return OPAQUE
    if not (scanned.groups or scanned.count):
        return shape
    return replace(shape, groups=scanned.groups, count=scanned.count)


_remembered = lru_cache(maxsize=_REMEMBERED)(_look)


@lru_cache(maxsize=_REMEMBERED)
def _shape(statements: tuple[str, ...], dialect: str | None) -> Observed:
    if sum(map(len, statements)) > _TOO_LONG:
        return OPAQUE
    found = [_statement(each, dialect) for each in statements]
    return found[0] if len(found) == 1 else _joined(found)


def _joined(found: Iterable[Observed]) -> Observed:
    whole = QUIET
    for each in found:
        whole = Observed(
            reads=whole.reads + each.reads,
            writes=whole.writes + each.writes,
            unknown_read=whole.unknown_read or each.unknown_read,
            unknown_write=whole.unknown_write or each.unknown_write,
            boundary=each.boundary or whole.boundary,
        )
    return whole


# -- by the first word -----------------------------------------------------------------------------

_PARSED = {"select", "with", "insert", "update", "delete", "merge", "replace", "values", "truncate"}
_NEUTRAL = re.compile(
    r"""analyze|checkpoint|close|comment|deallocate|desc|describe|discard|explain|grant|listen|lock|notify
    |pragma|prepare|reindex|release|reset|revoke|savepoint|set|show|start|unlisten|unlock|use|vacuum
    |begin|commit|end|rollback|abort""",
    re.VERBOSE,
)
_HARMLESS = {"desc", "describe", "pragma", "release", "savepoint", "show"}
_ACTS = re.compile(
    r"\b(select|insert|update|delete|merge|replace|truncate|into|create|alter|drop|exec|execute|call"
    r"|perform|analyze)\b",
    re.IGNORECASE,
)
"""What makes a statement with a neutral first word one that reads or writes after all: a block, a
text of several without a semicolon, `EXPLAIN ANALYZE`."""
_EXPLAINED = re.compile(r"explain\s+(query\s+plan\s+)?select\b", re.IGNORECASE)
_BOUNDARIES = {
    "begin": "begin",
    "start": "begin",
    "commit": "commit",
    "end": "commit",
    "rollback": "rollback",
    "abort": "rollback",
}
_CURSOR = re.compile(
    r"declare\s+\S+\s[\w\s]*?\bcursor\b[\w\s]*?\bfor\s+(?=\(?\s*(select|with)\b)", re.I
)
_INDEX = re.compile(r"(create\s+(unique\s+)?|drop\s+)index\b", re.IGNORECASE)
_TABLE = re.compile(
    r"""(?P<word>create|alter|drop) \s+ (?:(?:global|local|temporary|temp|unlogged) \s+)* table \s+
    (?:if \s+ (?:not \s+)? exists \s+)? (?:only \s+)? (?P<name> [\w.$"`\[\]]+ ) (?P<rest> .* )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_FARTHER = re.compile(
    r"\b(rename|cascade|partition|inherit|swap|switch|exchange)\b|,", re.IGNORECASE
)


def _statement(text: str, dialect: str | None) -> Observed:
    word = re.match(r"[\s(]*(\w*)", text)[1].lower()  # type: ignore[index]  # it matches anything
    if word in _PARSED:
        return _parsed(text, word, dialect)
    if _NEUTRAL.fullmatch(word):
        return _neutral(text, word)
    if word in ("create", "alter", "drop"):
        return _definition(text)
    if cursor := _CURSOR.match(text):
        return _parsed(text[cursor.end() :], "select", dialect)
    if word == "fetch":
        return Observed(unknown_read=True)
    return OPAQUE


def _neutral(text: str, word: str) -> Observed:
    if word not in _HARMLESS and _ACTS.search(text, len(word)) and not _EXPLAINED.match(text):
        return OPAQUE
    if word == "rollback" and re.search(r"\bto\b", text, re.IGNORECASE):  # a savepoint
        return QUIET
    boundary = _BOUNDARIES.get(word)
    return Observed(boundary=boundary) if boundary else QUIET  # type: ignore[arg-type]


def _definition(text: str) -> Observed:
    """Read what makes or changes a table; anything else that it is may change what views give."""
    if _INDEX.match(text):
        return QUIET
    table = _TABLE.match(text)
    if table is None or (table["word"].lower() != "create" and _FARTHER.search(table["rest"])):
        return Observed(unknown_write=True)
    return Observed(writes=(Write(table_name(table["name"]), "whole"),))


def table_name(name: str) -> str:
    """Give the one spelling of a table's name, which may be quoted and qualified."""
    return re.split(r"[.\"`\[\]]+", name.rstrip('"`]'))[-1].casefold()


def _parsed(text: str, word: str, dialect: str | None) -> Observed:
    replaces = word == "replace"
    if replaces:  # which the parser knows after INSERT OR only
        text = re.sub("replace", "INSERT", text, count=1, flags=re.IGNORECASE)
    trees = sqlglot.parse(text, read=dialect)
    found = [OPAQUE if tree is None else understand(tree, replaces=replaces) for tree in trees]
    return found[0] if len(found) == 1 else _joined(found)
