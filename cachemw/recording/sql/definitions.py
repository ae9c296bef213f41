"""Statements that define tables or write all of them: `CREATE`, `ALTER`, `DROP`, `TRUNCATE`, `COPY`, ...

They are read by their words, for databases differ too much in them. A definition of anything else than a
table may change what views and functions return, so it may write anything.
"""

from __future__ import annotations

from collections.abc import Callable

from cachemw.recording.sql.functions.language import SqlLanguage
from cachemw.recording.sql.lexical.words import Words
from cachemw.recording.sql.observed import OPAQUE, QUIET, Observed, Read, Write
from cachemw.recording.sql.unparsed import table_name_of, with_calls

__all__ = ["DEFINITIONS"]

_UNKNOWN = Observed(unknown_write=True)
_BEFORE_TABLE = frozenset(
    {"or", "replace", "global", "local", "temporary", "temp", "unlogged", "transient"}
)
_BEFORE_NAME = frozenset({"if", "not", "exists", "only", "concurrently"})
_REACHES_FURTHER = frozenset({
    "attach", "cascade", "detach", "exchange", "inherit", "partition", "rename", "swap",
    "switch",
})  # fmt: skip
"""Words of an ALTER or DROP by which rows of other tables come or go, or views stop to work."""
_NO_CALLS = frozenset({"include", "index", "key"})
"""Words before the columns of a key."""
_QUERIES = frozenset({"select", "with", "values", "table", "execute"})


def _names(words: Words, place: int) -> tuple[list[str], int]:
    """Return the tables of a list, and the place behind it."""
    names: list[str] = []
    while True:
        while words.word(place) in _BEFORE_NAME:
            place += 1
        parts, place = words.qualified_name(place)
        if parts:
            names.append(table_name_of(parts))
        if words.sign(place) == "*":
            place += 1
        if words.sign(place) != ",":
            return names, place
        place += 1


def _whole(names: list[str]) -> Observed:
    return Observed(writes=tuple(Write(name, "whole") for name in names)) if names else _UNKNOWN


def _has(words: Words, start: int, wanted: frozenset[str]) -> bool:
    return any(words.word(place) in wanted for place in range(start, len(words)))


def _behind(words: Words, place: int, skipped: frozenset[str]) -> int:
    while words.word(place) in skipped:
        place += 1
    return place


def _define(words: Words, language: SqlLanguage) -> Observed:
    """Read CREATE, ALTER or DROP."""
    word = words.word(0)
    place = _behind(words, 1, _BEFORE_TABLE)
    if words.word(_behind(words, place, frozenset({"unique", "fulltext", "spatial"}))) == "index":
        return QUIET
    if word == "create" and (words.word(place), words.word(place + 1)) == ("materialized", "view"):
        place += 1
    elif words.word(place) != "table":
        return _UNKNOWN
    names, behind = _names(words, place + 1)
    if word == "create":
        return _create(names, words.part(behind), language)
    if _has(words, behind, _REACHES_FURTHER) or (word == "alter" and len(names) > 1):
        return _UNKNOWN
    calls = [each for each in language.calls(words.part(behind)) if each.name not in _NO_CALLS]
    if word == "alter" and language.effects(calls).writes:
        return _UNKNOWN  # a default or a conversion that calls an unknown function
    return _whole(names)


def _create(names: list[str], rest: Words, language: SqlLanguage) -> Observed:
    """Read what follows the name in CREATE TABLE: columns, or a query whose rows go into the table."""
    for place in range(len(rest)):
        if rest.word(place) in _QUERIES:
            calls = language.effects(language.calls(rest.part(place)))
            changes = _has(
                rest, place, frozenset({"insert", "update", "delete", "merge", "execute"})
            )
            return OPAQUE if changes else with_calls(_whole(names), calls)
    return _whole(names)


def _truncate(words: Words, _: SqlLanguage) -> Observed:
    names, behind = _names(words, 1 + (words.word(1) == "table"))
    return OPAQUE if _has(words, behind, frozenset({"cascade"})) else _whole(names)


def _refresh(words: Words, _: SqlLanguage) -> Observed:
    if (words.word(1), words.word(2)) != ("materialized", "view"):
        return OPAQUE
    return _whole(_names(words, 3)[0])


def _load(words: Words, language: SqlLanguage) -> Observed:
    """Read `LOAD DATA ... INTO TABLE name ...` of MySQL."""
    for place in range(len(words) - 2):
        if (words.word(place), words.word(place + 1)) == ("into", "table"):
            names, behind = _names(words, place + 2)
            calls = language.effects(language.calls(words.part(behind)))
            return with_calls(_whole(names), calls)
    return OPAQUE


def _copy(words: Words, language: SqlLanguage) -> Observed:
    """Read `COPY name FROM ...` and `COPY name TO ...` of PostgreSQL."""
    parts, place = words.qualified_name(1)
    if not parts or language.dialect != "postgres":
        return OPAQUE
    name = table_name_of(parts)
    if words.sign(place) == "(":
        place = words.partner.get(place, len(words)) + 1
    if words.word(place) == "to":
        return Observed(reads=(Read(name),))
    return _whole([name])


DEFINITIONS: dict[str, Callable[[Words, SqlLanguage], Observed]] = {
    "create": _define,
    "alter": _define,
    "drop": _define,
    "truncate": _truncate,
    "refresh": _refresh,
    "load": _load,
    "copy": _copy,
}
"""What reads a statement, by its first word."""
