"""From the text of a statement to one that is alike for every length of its lists.

Placeholders of every driver become `:c0`, `:c1`, …, which each dialect of the parser takes. Lists of
them after `IN`, rows of `VALUES` and branches of `CASE` that look alike are folded into one: so a
text that differs from another in their number only is parsed once. Comments go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Key", "Scanned", "scan"]

Key = int | str
"""Where a value stands in a statement's parameters: its position, or its name."""

_MARK, _END = "\x00", "\x01"


@dataclass(frozen=True, slots=True)
class Scanned:
    """A text as it goes to the parser, and which parameters its placeholders stand for."""

    statements: tuple[str, ...]
    groups: tuple[tuple[Key, ...], ...]
    """By the number of the placeholder: one key, or those of a list that was folded."""
    count: int
    """Positions that the parameters must have; -1 where it cannot be told which stands for which."""


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
    ),  # two minuses there; not to the parser
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


def scan(text: str, dialect: str | None) -> Scanned | None:
    """Read a text; None for one whose literals cannot be told from the rest of it."""
    if _MARK in text or _END in text or not _tells_quotes(text, dialect):
        return None
    token = _MYSQL if dialect == "mysql" else _PLAIN
    found = list(token.finditer(text))
    styles = {kind for each in found if (kind := each.lastgroup or "") in _STYLES}
    for own in (_PERCENT, {"numeric"}):
        if styles & own:  # then a question mark is an operator, and a colon a slice
            styles &= own
    pieces: list[str] = []
    keys: list[Key] = []
    at = 0
    for each in found:
        piece = _piece(each, styles, keys)
        if piece is None:
            return None
        pieces += (text[at : each.start()], piece)
        at = each.end()
    pieces.append(text[at:])
    return _folded("".join(pieces), keys, _count(keys) if len(styles) < 2 else -1)


_PERCENT = frozenset({"format", "pyformat"})
_STYLES = _PERCENT | {"question", "named", "numeric"}


def _tells_quotes(text: str, dialect: str | None) -> bool:
    if "\\" not in text or dialect == "mysql" or dialect in _PLAIN_BACKSLASH:
        return True
    return dialect == "postgres" and not _ESCAPES.search(text)


def _piece(each: re.Match[str], styles: set[str], keys: list[Key]) -> str | None:
    """Give what the parser is to see of a token, and note which parameter it stands for."""
    kind, text = each.lastgroup, each.group()
    if kind == "comment":
        # MySQL carries out what stands in these, and PostgreSQL nests them.
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


def _folded(text: str, keys: list[Key], count: int) -> Scanned:
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
    return Scanned(tuple(_numbered(folded)), tuple(groups), count)


def _numbered(text: str) -> list[str]:
    """Give every placeholder its number, and split the text into its statements."""
    first, *others = text.split(_MARK)
    named = first + "".join(f" :c{number}{other}" for number, other in enumerate(others))
    return [each for piece in named.split(_END) if (each := piece.strip())]
