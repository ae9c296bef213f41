"""The shape of a statement, for a log: its text without the values in it, which may be secret (I1)."""

from __future__ import annotations

from cachemw.recording.sql.lexical.words import Words

__all__ = ["shape_of"]

_MOST_CHARACTERS = 300
_TIGHT_BEFORE = frozenset({",", ")", "]", ".", "::"})
_TIGHT_BEHIND = frozenset({"(", "[", ".", "::"})
_BEFORE_TABLES = frozenset({"from", "join", "into", "update", "table"})


def shape_of(words: Words, dialect: str | None) -> str:
    """Return the shape of a statement: names and keywords, with `?` for each value."""
    text = ""
    for place in range(len(words)):
        shown = _shown(words, place, dialect)
        before = words.sign(place - 1)
        is_call = shown == "(" and words.is_name(place - 1)
        tight = shown in _TIGHT_BEFORE or before in _TIGHT_BEHIND or is_call
        text += shown if tight or not text else f" {shown}"
        if len(text) > _MOST_CHARACTERS:
            return f"{text[:_MOST_CHARACTERS]}…"
    return text


def _shown(words: Words, place: int, dialect: str | None) -> str:
    each = words[place]
    if each.kind == "value":
        return "?"
    if each.kind == "quoted" and dialect == "sqlite" and not _is_surely_name(words, place):
        return '"…"'
    return each.text


def _is_surely_name(words: Words, place: int) -> bool:
    """Tell whether a quoted text is a name. SQLite takes one that names nothing for a string."""
    beside = (words.sign(place - 1), words.sign(place + 1))
    return "." in beside or words.word(place - 1) in _BEFORE_TABLES
