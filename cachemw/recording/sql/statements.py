"""Analysis of the text of a SQL statement: what it reads and writes.

How a text is understood:

1. `observe` remembers its result by the text: applications run the same few hundred texts.
2. `tokens` normalises a new text: it removes comments, numbers the placeholders and folds lists, so
   that texts which differ in the length of their lists only are parsed once.
3. The first word decides. Queries and changes of rows are parsed (`syntax_trees`). `CREATE`, `ALTER` and
   `DROP` are matched with regular expressions, for databases differ too much in them. Statements about
   the connection (`SET`, `SAVEPOINT`, ...) read and write no table. All others are opaque.

Nothing is raised. A text that cannot be understood is opaque: it may read and write anything. So a
response made with it is purged by every write, and running it purges every response that read from a
database (I5).

A table has one spelling here: the last part of its name, in lower case. Two tables of one name in two
schemas count as one, which costs misses only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import sqlglot

from cachemw.recording.sql.observed import OPAQUE, QUIET, Observed, Write
from cachemw.recording.sql.syntax_trees import understand
from cachemw.recording.sql.tokens import normalise_text

__all__ = ["observe", "table_name"]

_REMEMBERED = 1024
"""Number of texts that are remembered, and of normalised ones: an application has some hundreds."""
_LONG = 8192
"""Characters from which on a text is not remembered, to bound the memory (I4). Its normalised text,
which is shorter, may be."""
_TOO_LONG = 32768
"""Characters from which on a normalised text is opaque: the parser would take 0.1 s and more."""

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
    """Return what a text reads and writes; `vendor` names the database. Raises nothing."""
    try:
        return (_remembered if len(sql) <= _LONG else _observe)(sql, vendor)
    except TypeError:  # not hashable: drivers accept more than texts
        return OPAQUE


def _observe(sql: str, vendor: str) -> Observed:
    dialect = _DIALECTS.get(vendor)
    try:
        text = normalise_text(sql, dialect)
        if text is None:
            return OPAQUE
        shape = _shape(text.statements, dialect)
    except Exception:  # the parser raises more than its own errors for odd texts (I3)
        return OPAQUE
    if not (text.groups or text.count):
        return shape
    return replace(shape, groups=text.groups, count=text.count)


_remembered = lru_cache(maxsize=_REMEMBERED)(_observe)


@lru_cache(maxsize=_REMEMBERED)
def _shape(statements: tuple[str, ...], dialect: str | None) -> Observed:
    if sum(map(len, statements)) > _TOO_LONG:
        return OPAQUE
    observed = [_statement(each, dialect) for each in statements]
    return observed[0] if len(observed) == 1 else _joined(observed)


def _joined(statements: Iterable[Observed]) -> Observed:
    whole = QUIET
    for each in statements:
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
"""Words by which a statement with a neutral first word may read or write after all: a block, several
statements without a semicolon, `EXPLAIN ANALYZE`."""
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
_REACHES_FURTHER = re.compile(
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
    if word == "rollback" and re.search(r"\bto\b", text, re.IGNORECASE):  # to a savepoint
        return QUIET
    boundary = _BOUNDARIES.get(word)
    return Observed(boundary=boundary) if boundary else QUIET  # type: ignore[arg-type]


def _definition(text: str) -> Observed:
    """Read CREATE, ALTER or DROP of a table. One of anything else may change what views return."""
    if _INDEX.match(text):
        return QUIET
    table = _TABLE.match(text)
    if table is None or (
        table["word"].lower() != "create" and _REACHES_FURTHER.search(table["rest"])
    ):
        return Observed(unknown_write=True)
    return Observed(writes=(Write(table_name(table["name"]), "whole"),))


def table_name(name: str) -> str:
    """Return the one spelling of a table's name, which may be quoted and qualified."""
    return re.split(r"[.\"`\[\]]+", name.rstrip('"`]'))[-1].casefold()


def _parsed(text: str, word: str, dialect: str | None) -> Observed:
    replaces = word == "replace"
    if replaces:  # the parser does not know it as the first word
        text = re.sub("replace", "INSERT", text, count=1, flags=re.IGNORECASE)
    trees = sqlglot.parse(text, read=dialect)
    observed = [OPAQUE if tree is None else understand(tree, replaces=replaces) for tree in trees]
    return observed[0] if len(observed) == 1 else _joined(observed)
