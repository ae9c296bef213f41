"""Analysis of the text of a SQL statement: what it reads and writes.

How a text is understood:

1. `observe` remembers its result by the text: applications run the same few hundred texts.
2. `lexical.tokens` normalises a new text: it removes comments, numbers the placeholders and folds lists, so
   that texts which differ in the length of their lists only are looked at once.
3. The first word decides. Queries and changes of rows are parsed (`syntax_trees`); `unparsed` looks at what
   the parser refuses. `definitions` reads `CREATE`, `ALTER` and `DROP`. Statements about the connection
   (`SET`, `SAVEPOINT`, ...) read and write no table. All others are opaque.
4. The functions that it calls are judged by their names (`functions`).

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
from typing import Any

from cachemw.recording.sql.definitions import DEFINITIONS
from cachemw.recording.sql.functions.known import BUILT_IN, KnownFunctions
from cachemw.recording.sql.functions.language import SqlLanguage, language_of
from cachemw.recording.sql.lexical.calls import count_aliases_by_as
from cachemw.recording.sql.lexical.parsing import parse
from cachemw.recording.sql.lexical.rewriting import prepare, write_text
from cachemw.recording.sql.lexical.shapes import shape_of
from cachemw.recording.sql.lexical.tokens import normalise_text
from cachemw.recording.sql.lexical.words import Words, read_words
from cachemw.recording.sql.observed import OPAQUE, QUIET, Observed
from cachemw.recording.sql.syntax_trees import count_aliases, understand
from cachemw.recording.sql.syntax_trees import count_changes as count_parsed_changes
from cachemw.recording.sql.unparsed import (
    ENDED_BY_SEMICOLON,
    count_changes,
    has_other_acts,
    look_at_words,
    with_calls,
    words_at,
)

__all__ = ["observe", "table_name"]

_REMEMBERED = 1024
"""Number of texts that are remembered, and of normalised ones: an application has some hundreds."""
_LONG = 8192
"""Characters from which on a text is not remembered, to bound the memory (I4). Its normalised text,
which is shorter, may be."""
_MOST_CHARACTERS = 400_000
"""Characters from which on a text is opaque: to look for its strings would take longer than 0.1 s."""
_MOST_NORMALISED = 65_536
"""The same of a normalised text: to look at its words would take as long."""


def observe(sql: Any, vendor: str, functions: KnownFunctions = BUILT_IN) -> Observed:
    """Return what a text reads and writes. Raises nothing.

    `sql` is a text, bytes of one, or an object that psycopg composes it from. `vendor` names the database,
    and `functions` are those that the application has declared.
    """
    if type(sql) is str and len(sql) <= _LONG:
        return _remembered(sql, vendor, functions)
    text = _text_of(sql)
    if text is None or len(text) > _MOST_CHARACTERS:
        return OPAQUE
    return (_remembered if len(text) <= _LONG else _observe)(text, vendor, functions)


def _text_of(sql: Any) -> str | None:
    try:
        if isinstance(sql, bytes | bytearray | memoryview):
            return bytes(sql).decode()
        return str(sql) if isinstance(sql, str) else str(sql.as_string(None))
    except Exception:  # what a driver accepts we need not know (I3)
        return None


def _observe(text: str, vendor: str, functions: KnownFunctions) -> Observed:
    try:
        normalised = normalise_text(text, language_of(vendor, functions).dialect)
        if normalised is None or sum(map(len, normalised.statements)) > _MOST_NORMALISED:
            return OPAQUE
        shape = _shape(normalised.statements, vendor, functions)
    except Exception:  # (I3)
        return OPAQUE
    if not (normalised.groups or normalised.count):
        return shape
    return replace(shape, groups=normalised.groups, count=normalised.count)


_remembered = lru_cache(maxsize=_REMEMBERED)(_observe)


@lru_cache(maxsize=_REMEMBERED)
def _shape(statements: tuple[str, ...], vendor: str, functions: KnownFunctions) -> Observed:
    language = language_of(vendor, functions)
    observed = [_with_shape(read_words(each, language.dialect), language) for each in statements]
    return observed[0] if len(observed) == 1 else _joined(observed)


def _with_shape(words: Words, language: SqlLanguage) -> Observed:
    observed = _statement(words, language)
    if observed.unknown_functions:
        return replace(observed, shape=shape_of(words, language.dialect))
    return observed


def _joined(statements: Iterable[Observed]) -> Observed:
    whole = QUIET
    for each in statements:
        whole = Observed(
            reads=whole.reads + each.reads,
            writes=whole.writes + each.writes,
            unknown_read=whole.unknown_read or each.unknown_read,
            unknown_write=whole.unknown_write or each.unknown_write,
            boundary=each.boundary or whole.boundary,
            unknown_functions=whole.unknown_functions + each.unknown_functions,
            shape=whole.shape or each.shape,
        )
    return whole


_BETWEEN_QUOTES = re.compile(r"""["`\]]\s*\.\s*["`\[]""")


def table_name(name: str) -> str:
    """Return the one spelling of a table's name, which is written as Django takes it.

    Django puts quotes around it, so a dot in it is a part of the name. Only `"schema"."table"`, or
    `schema"."table`, is qualified.
    """
    *qualifiers, last = _BETWEEN_QUOTES.split(name)
    if name[:1] + name[-1:] in ('""', "``", "[]"):
        last = last[:-1] if qualifiers else last[1:-1]
        last = last.replace('""', '"').replace("``", "`")
    return last.casefold()


# -- by the first word -----------------------------------------------------------------------------

_PARSED = frozenset(
    {"select", "with", "insert", "update", "delete", "merge", "replace", "values", "table", "from"}
)
_NEUTRAL = frozenset({
    "abort", "analyze", "begin", "check", "checkpoint", "checksum", "close", "cluster",
    "comment", "commit", "deallocate", "desc", "describe", "discard", "end", "flush", "grant",
    "kill", "listen", "lock", "notify", "optimize", "pragma", "prepare", "reindex", "release",
    "repair", "reset", "revoke", "rollback", "savepoint", "set", "show", "start", "unlisten",
    "unlock", "use", "vacuum",
})  # fmt: skip
_BOUNDARIES = {
    "begin": "begin",
    "start": "begin",
    "commit": "commit",
    "end": "commit",
    "rollback": "rollback",
    "abort": "rollback",
}
_OF_BEGIN = frozenset({
    "committed", "concurrent", "consistent", "deferrable", "deferred", "distributed",
    "exclusive", "immediate", "isolation", "level", "mode", "not", "only", "read", "repeatable",
    "serializable", "snapshot", "tran", "transaction", "uncommitted", "with", "work", "write",
})  # fmt: skip
"""Words of a BEGIN that begins a transaction, and no block of statements."""
_READ_CURSORS = frozenset({"fetch", "handler", "move"})
_EXPLAIN = frozenset({"explain", "desc", "describe", "analyze"})


def _statement(words: Words, language: SqlLanguage) -> Observed:
    place = 0
    while words.sign(place) == "(":
        place += 1
    word = words.word(place)
    if not word:
        return QUIET if not len(words) else OPAQUE
    if word in _PARSED:
        return _parsed(words, language)
    if word in _EXPLAIN and (inner := _explained(words)) is not None:
        return _explain(words, inner, language)
    if word in DEFINITIONS and not place:
        return _definition(words, language)
    if word == "declare" and (query := _query_of_cursor(words)):
        return _statement(words.part(query), language)
    if word == "do" and language.dialect == "mysql":
        return _values_only(words, language)
    if word in _READ_CURSORS:
        return Observed(unknown_read=True)
    return _neutral(words, word, language) if word in _NEUTRAL else OPAQUE


def _parsed(words: Words, language: SqlLanguage) -> Observed:
    keywords = language.functions.keywords
    words, replaces = prepare(words, language.dialect, keywords)
    calls = language.calls(words)
    tree = parse(write_text(words, calls), words, language.dialect)
    observed = None
    aliases = None
    if tree is not None and _has_all_changes(tree, words, language.dialect):
        observed = understand(tree, language.dialect, replaces=replaces)
        aliases = count_aliases(tree) - count_aliases_by_as(words)
    effects = language.effects(calls, aliases)
    if observed is None:
        return look_at_words(words, language, effects)
    return with_calls(observed, effects)


def _has_all_changes(tree: Any, words: Words, dialect: str | None) -> bool:
    """Tell whether the tree has all changes that the words begin: the parser may take one for an alias."""
    if dialect not in ENDED_BY_SEMICOLON and has_other_acts(words):
        return False
    return count_changes(words, dialect) <= count_parsed_changes(tree)


def _definition(words: Words, language: SqlLanguage) -> Observed:
    if words.word(0) == "copy" and words.sign(1) == "(":
        return _statement(words.part(2, words.partner.get(1)), language)
    return DEFINITIONS[words.word(0)](words, language)


# -- statements about the connection -----------------------------------------------------------------

_HARMLESS = frozenset(
    {"comment", "desc", "describe", "grant", "pragma", "release", "revoke", "savepoint", "show"}
)
_ACTS = frozenset({
    "alter", "call", "create", "delete", "drop", "exec", "execute", "insert", "into", "merge",
    "perform", "replace", "truncate", "update",
})  # fmt: skip
"""Words by which a statement about the connection may write after all: a block, several statements without
a semicolon, a prepared statement."""


def _neutral(words: Words, word: str, language: SqlLanguage) -> Observed:
    if word in _HARMLESS:
        return QUIET
    if any(words.word(each - 1) != "share" for each in words_at(words, *_ACTS)):
        return OPAQUE
    if word == "rollback" and words_at(words, "to"):  # to a savepoint
        return QUIET
    if word == "begin" and words.word(1) and not _begins_transaction(words):
        return OPAQUE
    boundary = _BOUNDARIES.get(word, "")
    if boundary:
        return Observed(boundary=boundary)  # type: ignore[arg-type]  # the values of `_BOUNDARIES`
    return _values_only(words, language)


def _begins_transaction(words: Words) -> bool:
    named = words.word(1) in ("tran", "transaction")  # SQL Server's may have a name
    return words.word(1) in _OF_BEGIN and (
        (named and len(words) <= 3)
        or all(
            words.word(place) in _OF_BEGIN for place in range(1, len(words)) if words.is_name(place)
        )
    )


def _values_only(words: Words, language: SqlLanguage) -> Observed:
    """Read a statement that only computes values: `SET @a = (SELECT ...)`, `DO f()`."""
    effects = language.effects(language.calls(words))
    reads = any(words.sign(place - 1) == "(" for place in words_at(words, *_QUERIES))
    return with_calls(Observed(unknown_read=True) if reads else QUIET, effects)


def _query_of_cursor(words: Words) -> int | None:
    """Return the place of the query in `DECLARE name CURSOR FOR query`."""
    for cursor in words_at(words, "cursor"):
        for place in range(cursor, len(words)):
            if words.word(place) == "for":
                is_query = words.word(place + 1) in _QUERIES or words.sign(place + 1) == "("
                return place + 1 if is_query else None
    return None


# -- EXPLAIN -----------------------------------------------------------------------------------------

_QUERIES = frozenset({"select", "table", "values", "with"})
_EXPLAINED = _QUERIES | {
    "create",
    "declare",
    "delete",
    "execute",
    "insert",
    "merge",
    "refresh",
    "replace",
    "update",
}


def _explained(words: Words) -> int | None:
    """Return the place of the statement that is explained; None where a table is described."""
    place = 1
    while place < len(words):
        if words.word(place) in _EXPLAINED:
            return None if words.word(place) == "table" and words.word(0) == "analyze" else place
        if words.sign(place) == "(":
            if words.word(place + 1) in _EXPLAINED or words.sign(place + 1) == "(":
                return place
            place = words.partner.get(place, len(words))
        place += 1
    return None


def _explain(words: Words, inner: int, language: SqlLanguage) -> Observed:
    """Read EXPLAIN: only with ANALYZE it executes the statement. The plan depends on what that reads."""
    observed = replace(_statement(words.part(inner), language), boundary="")
    options = words.part(0, inner)
    for place in words_at(options, "analyze", "analyse"):
        value = options[place + 1].text.lower() if place + 1 < len(options) else ""
        if value not in ("false", "off", "0"):
            return observed
    if language.dialect == "mysql" and observed.unknown_functions:
        return replace(observed, writes=())  # it may execute subqueries to plan
    return replace(observed, writes=(), unknown_write=False, unknown_functions=())
