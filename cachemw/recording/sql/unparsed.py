"""Analysis of statements that were not parsed, by their words alone.

The parser refuses some statements, and long or deeply nested ones are not given to it. Such a statement
reads unknown tables. Whether it writes, its words tell: those that begin a change, and the functions that it
calls. In doubt it may write anything.
"""

from __future__ import annotations

from cachemw.recording.sql.functions.language import CallEffects, SqlLanguage
from cachemw.recording.sql.lexical.words import Words
from cachemw.recording.sql.observed import OPAQUE, Observed, Write

__all__ = [
    "ENDED_BY_SEMICOLON",
    "count_changes",
    "has_other_acts",
    "look_at_words",
    "table_name_of",
    "with_calls",
    "words_at",
]

_CHANGES = frozenset({"insert", "update", "delete", "merge", "replace"})
_OTHER_ACTS = frozenset({
    "alter", "analyze", "call", "copy", "create", "do", "drop", "exec", "execute", "grant",
    "import", "load", "lock", "perform", "prepare", "refresh", "rename", "revoke", "truncate",
    "vacuum",
})  # fmt: skip
"""Words that begin a statement which may write, or part of one, if they stand where none is expected."""
_QUERIES = frozenset({"select", "with", "values", "table"})
_WITHOUT_INTO = frozenset({"mysql", "sqlite"})
"""Dialects in which `SELECT ... INTO` makes no table."""
ENDED_BY_SEMICOLON = frozenset(
    {"duckdb", "mysql", "oracle", "postgres", "redshift", "snowflake", "sqlite"}
)
"""Dialects in which no statement begins before the last one has ended. In SQL Server it may."""
_ONE_TARGET = frozenset({"mysql", "postgres", "sqlite"})
"""Dialects in which INSERT, UPDATE and DELETE surely name the table that they write."""


def look_at_words(words: Words, language: SqlLanguage, calls: CallEffects) -> Observed:
    """Return what a statement surely does that begins with a query or a change."""
    place = 0
    while words.sign(place) == "(":
        place += 1
    first = words.word(place)
    if not words.is_balanced or has_other_acts(words, place + 1):
        return OPAQUE
    changes = count_changes(words, language.dialect)
    if first in _QUERIES:
        into = words_at(words, "into") if language.dialect not in _WITHOUT_INTO else []
        return OPAQUE if changes or into else with_calls(Observed(unknown_read=True), calls)
    table = _only_target(words, first, language) if place == 0 and changes == 1 else None
    if table is None:
        return OPAQUE
    return with_calls(Observed(writes=(Write(table, "whole"),), unknown_read=True), calls)


def with_calls(observed: Observed, calls: CallEffects) -> Observed:
    """Return what a statement does, with what the functions may do that it calls."""
    if not (calls.reads or calls.writes):
        return observed
    return Observed(
        reads=observed.reads,
        writes=observed.writes,
        unknown_read=True,
        unknown_write=observed.unknown_write or calls.writes,
        unknown_functions=calls.unknown,
    )


def words_at(words: Words, *wanted: str) -> list[int]:
    """Return the places of these words, where they are no names: not behind or before a dot."""
    return [
        place
        for place in range(len(words))
        if words.word(place) in wanted and "." not in (words.sign(place - 1), words.sign(place + 1))
    ]


def count_changes(words: Words, dialect: str | None) -> int:
    """Return the number of words that begin a change of rows."""
    return sum(1 for place in words_at(words, *_CHANGES) if _begins_change(words, place, dialect))


def _begins_change(words: Words, place: int, dialect: str | None) -> bool:
    if (
        words.word(place) in ("insert", "replace") and words.sign(place + 1) == "("
    ):  # functions of MySQL
        return False
    if dialect not in ENDED_BY_SEMICOLON:
        return words.word(place - 1) not in ("as", "do", "for", "key", "on", "or", "then")
    return place == 0 or (words.sign(place - 1) in ("(", ")") and words.is_name(place + 1))


def has_other_acts(words: Words, start: int = 1) -> bool:
    """Tell whether there are words, from a place on, that may begin a statement which writes."""
    return any(
        place >= start
        and words.word(place - 1) not in ("as", "for")
        and (words.sign(place + 1) != "(" or words.word(place) in ("exec", "execute"))
        and words.word(place + 1) not in ("nothing", "update")  # DO, of ON CONFLICT
        for place in words_at(words, *_OTHER_ACTS)
    )


def _only_target(words: Words, first: str, language: SqlLanguage) -> str | None:
    """Return the table that a change of one table writes; None where it may be another, or several."""
    if language.dialect not in _ONE_TARGET or len(words_at(words, "into")) != (first == "insert"):
        return None
    place = 1
    if first == "insert" and words.word(place) == "or":
        place += 2
    for word in {"insert": ("into",), "delete": ("from",), "update": ()}.get(first, ("no other",)):
        if words.word(place) != word:
            return None
        place += 1
    if words.word(place) == "only":
        place += 1
    name, behind = words.qualified_name(place)
    if not name or words.sign(behind) == ",":
        return None
    if first == "update" and "," in _signs_until(words, behind, "set"):
        return None
    if first != "insert" and language.dialect != "postgres" and words_at(words, "join", "using"):
        return None
    return table_name_of(name)


def _signs_until(words: Words, place: int, word: str) -> str:
    signs = ""
    while place < len(words) and words.word(place) != word:
        signs += words.sign(place)
        place += 1
    return signs


def table_name_of(parts: tuple[str, ...]) -> str:
    """Return the one spelling of a table's name."""
    return parts[-1].casefold()
