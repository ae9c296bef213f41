"""The calls of functions in a statement, found by how they are written: a name before a bracket.

A name before a bracket is no call where it stands for a keyword, a type, a new name with columns (`AS t (a)`,
`WITH t (a) AS`), or a table that is written (`INTO t (a)`). An alias may also stand without `AS`, behind an
operand. It is reported, with `is_sure` false: only the syntax tree tells whether it is an alias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from cachemw.recording.sql.lexical.words import Words

__all__ = ["FunctionCall", "count_aliases_by_as", "ends_operand", "find_calls", "find_fields"]


class FunctionCall(NamedTuple):
    """A call, or what looks like one."""

    place: int
    """The place of the name's last part."""
    schema: str
    """What stands before the name, with dots; empty if nothing does."""
    name: str
    """In lower case, unless it is quoted."""
    quoted: bool
    is_sure: bool
    """Whether only an operand can stand there, and so no alias."""

    @property
    def written(self) -> str:
        """The name with what stands before it."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


_BEHIND_OPERANDS = frozenset({"against", "columns", "escape", "filter", "over", "passing"})
"""Keywords behind an operand, before a bracket. Elsewhere they may be names of functions."""
_BEFORE_NEW_NAMES = frozenset({"as", "index", "into", "key", "references", "tablesample", "type"})
"""Words behind which a name before a bracket is no function: it is a new name, a table or a type."""
_QUERIES = frozenset({"select", "with", "values", "insert", "update", "delete", "merge", "table"})
_CONSTANTS = frozenset({"null", "true", "false", "end", "default"})
"""Keywords that are operands."""


def find_calls(words: Words, keywords: frozenset[str]) -> Iterator[FunctionCall]:
    """Yield what may be a call. `keywords`: words before a bracket that are no function's name."""
    for place in range(1, len(words)):
        if words.sign(place) == "(" and words.is_name(place - 1):
            call = _call(words, place - 1, keywords)
            if call is not None:
                yield call


def _call(words: Words, place: int, keywords: frozenset[str]) -> FunctionCall | None:
    start = _start_of_name(words, place)
    schema = ".".join(words[each].name or words[each].text for each in range(start, place, 2))
    if not schema and _is_keyword(words, place, keywords):
        return None
    before = words.word(start - 1)
    if before in _BEFORE_NEW_NAMES or words.sign(start - 1) == "::":
        return None
    if _is_common_table(words, place, start):
        return None
    kind, _, name = words[place]
    return FunctionCall(
        place, schema, name, kind == "quoted", _stands_for_operand(words, start, keywords)
    )


def _start_of_name(words: Words, place: int) -> int:
    while words.sign(place - 1) == "." and place > 1:
        place -= 2
    return place


def _is_keyword(words: Words, place: int, keywords: frozenset[str]) -> bool:
    name = words.word(place)
    if name in keywords:
        return True
    if name in _BEHIND_OPERANDS:
        return ends_operand(words, place - 1, keywords)
    return name in ("first", "next") and words.word(place - 1) == "fetch"


def ends_operand(words: Words, place: int, keywords: frozenset[str]) -> bool:
    """Tell whether an operand ends at a place, so that none can begin behind it."""
    if place < 0:
        return False
    if words[place].kind == "sign":
        if words.sign(place) == ")":  # `SELECT DISTINCT ON (a) f(b)`, and `SELECT TOP (1) f(b)`
            return words.word(words.partner.get(place, 0) - 1) not in ("on", "top")
        return words.sign(place) == "]"
    name = words.word(place)
    return not name or name in _CONSTANTS or name not in keywords


def _stands_for_operand(words: Words, start: int, keywords: frozenset[str]) -> bool:
    return start == 0 or not ends_operand(words, start - 1, keywords)


def _is_common_table(words: Words, place: int, start: int) -> bool:
    """Tell whether a name begins a common table expression: `name (columns) AS (SELECT ...`."""
    if words.word(start - 1) not in ("with", "recursive") and words.sign(start - 1) != ",":
        return False
    behind = words.partner.get(place + 1, len(words)) + 1
    if words.word(behind) != "as":
        return False
    behind += 1
    while words.word(behind) in ("not", "materialized"):
        behind += 1
    inner = words.word(behind + 1)
    return words.sign(behind) == "(" and (inner in _QUERIES or words.sign(behind + 1) == "(")


def find_fields(words: Words) -> Iterator[FunctionCall]:
    """Yield the fields of rows, `(row).name`: PostgreSQL calls the function of this name if there is one."""
    for place in range(2, len(words)):
        if words.sign(place - 1) != "." or words.sign(place - 2) != ")":
            continue
        if not words.is_name(place) or words.sign(place + 1) == "(":
            continue
        if not _is_result_of_call(words, place - 2):
            kind, _, name = words[place]
            yield FunctionCall(place, "", name, kind == "quoted", True)


def _is_result_of_call(words: Words, close: int) -> bool:
    """Tell whether brackets hold nothing but a call: its own name says what is known of its fields."""
    inner = words.partner.get(close - 1)
    opened = words.partner.get(close, 0)
    if inner is None or words.sign(inner) != "(" or not words.is_name(inner - 1):
        return False
    return _start_of_name(words, inner - 1) == opened + 1


def count_aliases_by_as(words: Words) -> Counter[str]:
    """Return how often each name stands behind `AS` and before a bracket."""
    return Counter(
        words[place].name.lower()
        for place in range(1, len(words) - 1)
        if words.word(place - 1) == "as" and words.is_name(place) and words.sign(place + 1) == "("
    )
