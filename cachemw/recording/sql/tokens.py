"""Normalised text of a statement: the same text for every length of its lists.

The placeholders of every driver become `:c0`, `:c1`, ..., which the parser accepts in each dialect.
Placeholders in a list after `IN`, rows of `VALUES` and branches of `CASE` that look alike are folded into
one. So texts that differ only in their number are parsed once. Comments are removed.

A text whose quotes or comments may be read in two ways is refused: a word inside a string must not be
taken for SQL, nor SQL for a string (I5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Key", "NormalisedText", "normalise_text"]

Key = int | str
"""The place of a value in a statement's parameters: its position, or its name."""

_MARK, _END = "\x00", "\x01"
"""Stand-ins for a placeholder and for a semicolon while a text is being normalised."""


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """A text for the parser, and the parameters that its placeholders stand for."""

    statements: tuple[str, ...]
    groups: tuple[tuple[Key, ...], ...]
    """The parameters of each placeholder, by its number: one, or those of a list that was folded."""
    count: int
    """The number of positional parameters; -1 where it is not sure which placeholder is which."""


_SHARED = r"""
  |(?P<refused> \$(?:[A-Za-z_]\w*)?\$ )
  |(?P<percent> %% )
  |(?P<format> %s )
  |%\((?P<pyformat> [^)]+ )\)s
  |(?P<question> \? )
  |(?P<cast> :: )
  |(?<![\w\]:]):(?P<named> [A-Za-z_]\w* )
  |(?<!\w)\$(?P<numeric> \d+ )
  |(?P<end> ; )
"""
_PLAIN = re.compile(
    r"""(?P<comment> --[^\n]* | /\*.*?\*/ )
  |(?P<quoted> '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` )"""
    + _SHARED,
    re.VERBOSE | re.DOTALL,
)
_MYSQL = re.compile(
    r"""(?P<comment> --(?=\s|$)[^\n]* | \#[^\n]* | /\*.*?\*/ )
  |(?P<quoted> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`]|``)*` )"""
    + _SHARED.replace(
        "(?P<refused> ", "(?P<refused> -- | "
    ),  # MySQL reads `5--3` as two minuses, and the parser as a comment
    re.VERBOSE | re.DOTALL,
)
_PLAIN_BACKSLASH = frozenset({"sqlite", "oracle", "tsql"})
_ESCAPES = re.compile(r"\b[eE]'|[uU]&['\"]")

_RUN = re.compile(
    rf"""(?P<list> \bIN\s*\(\s* ) (?P<item> {_MARK}(?:::\w+)? ) (?:\s*,\s*(?P=item))+ \s*\)
      |(?P<values> \bVALUES\s* ) (?P<row> \([^()]*\) ) (?:\s*,\s*(?P=row))+
      |(?P<when> \bWHEN\s\([^()]*\)\sTHEN\s{_MARK}(?:::\w+)?\s ) (?P=when)+
      |{_MARK}""",
    re.VERBOSE | re.IGNORECASE,
)


def normalise_text(text: str, dialect: str | None) -> NormalisedText | None:
    """Return the normalised text; None where strings cannot surely be told from the rest of it."""
    if _MARK in text or _END in text or not _quotes_are_sure(text, dialect):
        return None
    token = _MYSQL if dialect == "mysql" else _PLAIN
    matches = list(token.finditer(text))
    styles = {kind for each in matches if (kind := each.lastgroup or "") in _STYLES}
    for own in (_PERCENT, {"numeric"}):
        if styles & own:  # then `?` is an operator of PostgreSQL, and `:` part of a slice
            styles &= own
    pieces: list[str] = []
    keys: list[Key] = []
    at = 0
    for each in matches:
        piece = _piece(each, styles, keys)
        if piece is None:
            return None
        pieces += (text[at : each.start()], piece)
        at = each.end()
    pieces.append(text[at:])
    return _folded("".join(pieces), keys, _count(keys) if len(styles) < 2 else -1)


_PERCENT = frozenset({"format", "pyformat"})
_STYLES = _PERCENT | {"question", "named", "numeric"}


def _quotes_are_sure(text: str, dialect: str | None) -> bool:
    if "\\" not in text or dialect == "mysql" or dialect in _PLAIN_BACKSLASH:
        return True
    return dialect == "postgres" and not _ESCAPES.search(text)


def _piece(each: re.Match[str], styles: set[str], keys: list[Key]) -> str | None:
    """Return the text for the parser in place of a token, and add the parameter it stands for to `keys`."""
    kind, text = each.lastgroup, each.group()
    if kind == "comment":
        # MySQL executes what is inside of `/*! */`, and PostgreSQL nests comments.
        return None if text.startswith(("/*!", "/*M!")) or "/*" in text[2:] else " "
    if kind == "refused":
        return None
    if kind == "percent":
        return "%"
    if kind == "end":
        return _END
    if kind not in styles:
        return text
    if kind == "numeric":
        keys.append(int(each[kind]) - 1)
    elif kind in ("pyformat", "named"):
        keys.append(each[kind])
    else:
        keys.append(len(keys))
    return _MARK


def _count(keys: list[Key]) -> int:
    return max((key + 1 for key in keys if isinstance(key, int)), default=0)


def _folded(text: str, keys: list[Key], count: int) -> NormalisedText:
    groups: list[tuple[Key, ...]] = []
    taken = 0

    def fold(run: re.Match[str]) -> str:
        nonlocal taken
        number = run.group().count(_MARK)
        own = keys[taken : taken + number]
        taken += number
        if run["list"]:
            groups.append(tuple(own))
            return f"{run['list']}{run['item']})"
        if one := run["row"] or run["when"]:
            if every := one.count(_MARK):
                groups.extend(tuple(own[nth::every]) for nth in range(every))
                return f"{run['values'] or ''}{one}"
            return run.group()
        groups.extend((key,) for key in own)
        return run.group()

    folded = _RUN.sub(fold, text)
    return NormalisedText(tuple(_numbered(folded)), tuple(groups), count)


def _numbered(text: str) -> list[str]:
    """Number the placeholders, and split the text into its statements."""
    first, *others = text.split(_MARK)
    named = first + "".join(f" :c{number}{other}" for number, other in enumerate(others))
    return [each for piece in named.split(_END) if (each := piece.strip())]
