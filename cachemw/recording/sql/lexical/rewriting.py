"""The text of a statement for the parser, in words that it surely understands.

The parser knows functions, operators and keywords of all databases together, but not all of each database.
What it takes for something else would be misunderstood, and what it does not know be refused. So here

- every call gets one name that no database has, but for those with a syntax of their own;
- operators of PostgreSQL that the parser may not know become one that it does;
- modifiers of MySQL and SQLite that change nothing of what is read and written are left out, and statements
  that can be written in two ways are written in the one that the parser understands.
"""

from __future__ import annotations

from collections.abc import Iterable

from cachemw.recording.sql.lexical.calls import FunctionCall, ends_operand
from cachemw.recording.sql.lexical.words import Word, Words

__all__ = ["prepare", "write_text"]

FUNCTION = "cachemw_f"
"""The name that calls get."""

_OWN_SYNTAX = frozenset({
    "array", "cast", "convert", "exists", "interval", "json_table", "match", "row", "try_cast",
    "try_convert", "unnest", "values", "xmltable",
})  # fmt: skip
"""Functions that the parser must read by their names."""
_MAY_HAVE_OWN_SYNTAX = frozenset({
    "char", "extract", "group_concat", "json_array", "json_arrayagg", "json_exists",
    "json_object", "json_objectagg", "json_query", "json_value", "overlay", "position",
    "substr", "substring", "treat", "trim", "weight_string", "xmlelement", "xmlexists",
    "xmlforest", "xmlparse", "xmlpi", "xmlroot", "xmlserialize",
})  # fmt: skip
_WORDS_OF_OWN_SYNTAX = frozenset({
    "as", "both", "content", "document", "for", "from", "in", "key", "leading", "name", "on",
    "passing", "placing", "returning", "separator", "trailing", "using", "value",
})  # fmt: skip
"""Words between the arguments of these others: `TRIM(BOTH 'x' FROM y)`, `CHAR(77 USING utf8mb4)`."""

_BINARY, _UNARY = Word("sign", "&"), Word("sign", "-")
_INTO, _FROM = Word("word", "INTO", "into"), Word("word", "FROM", "from")
_INSERT = Word("word", "INSERT", "insert")


def prepare(words: Words, dialect: str | None, keywords: frozenset[str]) -> tuple[Words, bool]:
    """Return the words as the parser understands them.

    The second value tells whether rows that are in the way of new or changed ones are replaced.
    """
    replaces = False
    if dialect in ("mysql", "sqlite", "tsql"):
        words, replaces = _without_modifiers(words, dialect)
    if dialect in ("postgres", "redshift"):
        words = _with_plain_operators(words, keywords)
    elif dialect in ("mysql", "sqlite"):
        arrows = ("->", "->>")
        words = Words([_BINARY if each.text in arrows else each for each in words])
    return words, replaces


def write_text(words: Words, calls: Iterable[FunctionCall]) -> str:
    """Return the text for the parser. `calls`: those whose names are replaced."""
    replaced: dict[int, str] = {}
    for call in calls:
        if not call.is_sure or (_has_own_syntax(words, call) and not call.quoted):
            continue
        replaced[call.place] = FUNCTION
        for before in range(call.place - call.schema.count(".") * 2 - 2, call.place):
            if call.schema:
                replaced[before] = ""
    return " ".join(replaced.get(place, each.text) for place, each in enumerate(words))


def _has_own_syntax(words: Words, call: FunctionCall) -> bool:
    if call.schema or call.name not in _MAY_HAVE_OWN_SYNTAX:
        return not call.schema and call.name in _OWN_SYNTAX
    place, end = call.place + 2, words.partner.get(call.place + 1, 0)
    while place < end:
        if words.word(place) in _WORDS_OF_OWN_SYNTAX or words.sign(place) == ":":
            return True
        place = max(place, words.partner.get(place, 0)) + 1
    return False


# -- PostgreSQL --------------------------------------------------------------------------------------

_PLAIN = frozenset({
    "=", "<", ">", "<=", ">=", "<>", "!=", "+", "-", "*", "/", "%", "^", "||", "=>", "::", ":=",
    ".", ",", "(", ")", "[", "]", ":", ";",
})  # fmt: skip
"""Signs that mean the same to the parser."""


def _with_plain_operators(words: Words, keywords: frozenset[str]) -> Words:
    found: list[Word] = []
    place = 0
    while place < len(words):
        each = words[place]
        if words.word(place) == "operator" and words.sign(place + 1) == "(":
            found.append(_BINARY)
            place = words.partner.get(place + 1, place + 1)
        elif each.kind == "sign" and each.text not in _PLAIN:
            found.append(_BINARY if ends_operand(words, place - 1, keywords) else _UNARY)
        else:
            found.append(each)
        place += 1
    return Words(found)


# -- MySQL, SQLite and SQL Server --------------------------------------------------------------------

_MODIFIERS = {
    "insert": {"low_priority", "delayed", "high_priority", "ignore"},
    "replace": {"low_priority", "delayed"},
    "update": {"low_priority", "ignore"},
    "delete": {"low_priority", "quick", "ignore", "history"},
}
_NO_START = frozenset({"for", "on", "key", "do", "then", "or"})
"""Words behind which no statement begins: `FOR UPDATE`, `ON DUPLICATE KEY UPDATE`, `INSERT OR REPLACE`."""
_NOT_INSERTED_INTO = frozenset({"into", "or", "overwrite", "top"})


def _without_modifiers(words: Words, dialect: str) -> tuple[Words, bool]:
    found: list[Word] = []
    replaces = False
    place = 0
    while place < len(words):
        word = words.word(place)
        starts = word in _MODIFIERS and words.word(place - 1) not in _NO_START
        if not starts or words.sign(place + 1) in ("(", ".") or words.sign(place - 1) == ".":
            found.append(words[place])
            place += 1
            continue
        behind = _behind_modifiers(words, place, word) if dialect == "mysql" else place + 1
        if word == "update" and words.word(behind) == "or":
            replaces |= words.word(behind + 1) == "replace"
            behind += 2
        if word == "replace" and (words.word(behind) == "into" or place == 0):
            replaces = True
            word = "insert"
            found.append(_INSERT)
        else:
            found.append(words[place])
        if word == "insert" and words.is_name(behind):
            if words.word(behind) not in _NOT_INSERTED_INTO and dialect != "sqlite":
                found.append(_INTO)
        elif word == "delete":
            behind = _delete(words, behind, found)
        place = behind
    return Words(found), replaces


def _behind_modifiers(words: Words, place: int, word: str) -> int:
    place += 1
    while words.word(place) in _MODIFIERS[word] and words.sign(place + 1) not in (",", "."):
        place += 1
    return place


def _delete(words: Words, place: int, found: list[Word]) -> int:
    """Write `DELETE FROM a, b USING ...` as `DELETE a, b FROM ...`; return the place behind it."""
    start = place + (words.word(place) == "from")
    tables: list[Word] = []
    behind = start
    while True:
        first = behind
        _, behind = words.qualified_name(behind)
        if behind == first:
            return place
        last = behind - 1 if words.sign(behind - 1) == "." else behind
        tables += (words[each] for each in range(first, last))
        if words.sign(behind) == "*":
            behind += 1
        if words.sign(behind) != ",":
            break
        tables.append(words[behind])
        behind += 1
    if start == place and words.word(behind) != "from":
        return place
    if start > place and words.word(behind) != "using":
        return place
    found += (*tables, _FROM)
    return behind + 1
