"""Normalised text of a statement: the same text for every length of its lists.

The placeholders of every driver become `:c0`, `:c1`, ..., which the parser accepts in each dialect. Lists
that look alike are folded (`lexical.folding`), so texts that differ only in their number are parsed once.
Comments are removed.

A text whose quotes or comments may be read in two ways is refused: a word inside a string must not be
taken for SQL, nor SQL for a string (I5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from cachemw.recording.sql.lexical.folding import (
    MARK,
    NAME,
    STRING,
    UNKNOWN_VALUE,
    Item,
    Key,
    fold,
)

__all__ = ["Key", "NormalisedText", "normalise_text"]

_END = "\x01"
"""Stand-in for a semicolon while a text is being normalised."""
_MOST_TOKENS = 66_000
"""Most placeholders, strings and comments of a text: more take 0.1 s. PostgreSQL allows 65,535 parameters."""


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """A text for the parser, and the parameters that its placeholders stand for."""

    statements: tuple[str, ...]
    groups: tuple[tuple[Key, ...], ...]
    """The parameters of each placeholder, by its number: one, or those of a list that was folded."""
    count: int
    """The number of positional parameters; -1 where it is not sure which placeholder is which."""


# Each alternative begins with a character of its own: so the search for the next one is fast. Quantifiers
# are possessive where a text might end before what they look for.
_PLACEHOLDERS = r"""
  |(?P<percent> %% )
  |(?P<format> %s )
  |%\((?P<pyformat> [^()%]++ )\)[sbt]
  |(?P<question> \? )
  |(?P<cast> :: )
  |:(?<![\w\]:]:)(?P<named> [A-Za-z_]\w* )
  |\$(?<![\w$]\$)(?P<numeric> \d+ )
  |(?P<end> ; )
  |(?P<refused> \$(?:[^\W\d]\w*+)?\$ | ['"`] | /\* )
"""
# A comment that has another one in it is refused: PostgreSQL nests them, and others do not. So is `/*!`:
# MySQL executes what is in it.
_COMMENT = r"(?P<comment> --[^\n]*+ | /\*(?!M?!)(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/ )"
_STRING = r"|(?P<string> '[^']*+(?:''[^']*+)*+' )"
_QUOTED = r'|(?P<name> "[^"]*+(?:""[^"]*+)*+" | `[^`]*+(?:``[^`]*+)*+` )'


def _compiled(*parts: str) -> re.Pattern[str]:
    return re.compile("".join((*parts, _PLACEHOLDERS)), re.VERBOSE | re.DOTALL)


_PLAIN = _compiled(_COMMENT, _STRING, _QUOTED)
_BRACKETED = _compiled(
    _COMMENT, _STRING, _QUOTED, r"|(?P<bracketed> \[[^\]]*+(?:\]\][^\]]*+)*+\] )"
)
_POSTGRESQL = _compiled(
    _COMMENT,
    r"""|(?P<escaped> '(?<=[eE]')(?<![\w$][eE]')[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'
      |'(?<=[uU]&')(?<![\w$][uU]&')[^']*+(?:''[^']*+)*+' )
    |(?P<unicode> "(?<=[uU]&")(?<![\w$][uU]&") )
    |(?P<dollars> \$(?<![\w$]\$)(?P<tag> (?:[^\W\d]\w*+)? )\$.*?\$(?P=tag)\$ )
    |(?P<binary> %[bt](?!\w) )""",
    _STRING,
    _QUOTED,
)
_MYSQL = _compiled(
    # MySQL reads `5--3` as two minuses, and the parser as a comment.
    _COMMENT.replace("--", r"\#[^\n]*+ | --(?=\s|$)") + r"|(?P<minuses> -- )",
    r"""|(?P<string> '[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+' | "[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+" )
    |(?P<name> `[^`]*+(?:``[^`]*+)*+` )""",
)
_TOKENS = {
    "mysql": _MYSQL,
    "postgres": _POSTGRESQL,
    "sqlite": _BRACKETED,
    "tsql": _BRACKETED,
}
_PLAIN_BACKSLASH = frozenset({"sqlite", "oracle", "tsql"})
"""Dialects in which a backslash in a string is a backslash."""
_REFUSED = frozenset({"refused", "minuses", "unicode"})
_PERCENT = frozenset({"format", "pyformat", "binary"})
_STYLES = _PERCENT | {"question", "named", "numeric"}
_STAND_INS = re.compile(f"[{MARK}{_END}{STRING}{NAME}]")
_SIMPLE_STRING = re.compile(r"'[^'%\\\n]{0,100}'")
"""Strings that may be a key in a tag. The others only make the text longer."""
_SIMPLE_NAME = re.compile(r"\W(?!OR\W)[\w$]*\W", re.IGNORECASE)
"""Quoted names that cannot be taken for SQL: of letters and digits, and not the word `OR`."""


def normalise_text(text: str, dialect: str | None) -> NormalisedText | None:
    """Return the normalised text; None where strings cannot surely be told from the rest of it."""
    if _STAND_INS.search(text) or not _quotes_are_sure(text, dialect):
        return None
    found = _TOKENS.get(dialect or "", _PLAIN).finditer(text)
    matches = list(islice(found, _MOST_TOKENS))
    kinds = {each.lastgroup or "" for each in matches}
    if kinds & _REFUSED or len(matches) == _MOST_TOKENS:
        return None
    styles = _styles_of(kinds, dialect)
    pieces: list[str] = []
    items: list[Item] = []
    keys: list[Key] = []
    at = 0
    for each in matches:
        kind = each.lastgroup or ""
        start, end = each.span()
        if kind in styles:
            keys.append(_KEYS.get(kind, _position)(each, len(keys)))
            items.append((keys[-1],))
            piece = MARK
        else:
            piece = _STAND_IN_FOR.get(kind, _itself)(each.group(), items)
            start -= _length_of_prefix(text, start) if kind == "escaped" else 0
        pieces += (text[at:start], piece)
        at = end
    pieces.append(text[at:])
    folded, items = fold("".join(pieces), items)
    groups = tuple(each for each in items if isinstance(each, tuple))
    is_sure = len(styles - {"binary"}) < 2
    return NormalisedText(tuple(_restored(folded, items)), groups, _count(keys) if is_sure else -1)


_OTHER_QUOTES = re.compile(r"\b[nN]?[qQ]'")
"""The beginning of strings with other ends, in Oracle: `q'[it's]'`."""


def _quotes_are_sure(text: str, dialect: str | None) -> bool:
    if dialect == "oracle" and _OTHER_QUOTES.search(text):
        return False
    return "\\" not in text or dialect in ("mysql", "postgres") or dialect in _PLAIN_BACKSLASH


def _length_of_prefix(text: str, quote: int) -> int:
    """Return the length of what stands before the quote of an escape string: `E`, or `U&`."""
    return 2 if text[quote - 1] == "&" else 1


def _styles_of(kinds: set[str], dialect: str | None) -> set[str]:
    """Return the styles of the placeholders."""
    styles = _STYLES & kinds
    if dialect == "postgres":  # no driver of it uses `?`, which is an operator
        styles -= {"question"}
    for own in (_PERCENT, frozenset({"numeric"})):
        if styles & own:  # then `?` is an operator, and `:` part of a slice
            styles &= own
    return set(styles)


def _position(_: re.Match[str], position: int) -> Key:
    return position


_KEYS: dict[str, Callable[[re.Match[str], int], Key]] = {
    "numeric": lambda each, _: int(each["numeric"]) - 1,
    "pyformat": lambda each, _: each["pyformat"],
    "named": lambda each, _: each["named"],
}
"""The parameter that a placeholder stands for, by its kind; others stand for the next one."""


def _itself(text: str, _: list[Item]) -> str:
    return text


def _string(text: str, items: list[Item]) -> str:
    items.append(text if _SIMPLE_STRING.fullmatch(text) else UNKNOWN_VALUE)
    return STRING


def _name(text: str, items: list[Item]) -> str:
    if _SIMPLE_NAME.fullmatch(text):
        return text
    items.append(text)
    return NAME


_STAND_IN_FOR: dict[str, Callable[[str, list[Item]], str]] = {
    "bracketed": _name,
    "comment": lambda *_: " ",
    "dollars": _string,
    "end": lambda *_: _END,
    "escaped": _string,
    "name": _name,
    "percent": lambda *_: "%",
    "string": _string,
}
"""What returns the text in place of a token, by its kind, and adds what that stands for to the items."""


def _count(keys: list[Key]) -> int:
    return max((key + 1 for key in keys if isinstance(key, int)), default=0)


def _restored(text: str, items: list[Item]) -> list[str]:
    """Put names and strings back, number the placeholders, and split the text into its statements."""
    pieces = re.split(f"([{MARK}{STRING}{NAME}])", text)
    number = 0
    for place, item in zip(range(1, len(pieces), 2), items, strict=True):
        if isinstance(item, tuple):
            pieces[place] = f" :c{number}"
            number += 1
        else:
            pieces[place] = item
    # A semicolon inside of a quoted name is no end of a statement.
    statements: list[list[str]] = [[]]
    for place, piece in enumerate(pieces):
        first, *others = piece.split(_END) if place % 2 == 0 else (piece,)
        statements[-1].append(first)
        statements += [[each] for each in others]
    return [each for pieces in statements if (each := "".join(pieces).strip())]
