"""The words of a statement: names, keywords, values, signs and brackets, with their places.

Works on normalised text (`tokens`): there are no comments in it, placeholders are
`:c0`, `:c1`, ..., and strings end where they seem to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = ["Kind", "Word", "Words", "read_words"]

Kind = Literal["word", "quoted", "value", "sign"]
"""A name or keyword; a quoted name; a string, number or placeholder; anything else."""


class Word(NamedTuple):
    """One word of a statement."""

    kind: Kind
    text: str
    """As it is written, with its quotes."""
    name: str = ""
    """A quoted name without its quotes; a word in lower case; empty for values and signs."""


_NUMBER = r"\d[\w.]*+ | \.\d\w*+ | :c\d++"
_VALUE = rf"(?P<value> {_NUMBER} | [bnxBNX]?'[^']*+(?:''[^']*+)*+' )"
_NAME = r"|(?P<word> [^\W\d][\w$]*+ )"
_DOUBLE = r'|(?P<quoted> "[^"]*+(?:""[^"]*+)*+"'
_BACKQUOTE = r"`[^`]*+(?:``[^`]*+)*+`"
_BRACKETS = r"\[[^\]]*+(?:\]\][^\]]*+)*+\]"
# `(+)` marks an outer join in Oracle.
_SIGN = r"|(?P<sign> \(\+\) | ::|:=|<=>|<=|>=|<>|!=|=>|\|\||&&|->>|->|\S )"


def _compiled(*parts: str) -> re.Pattern[str]:
    return re.compile("".join(parts), re.VERBOSE | re.DOTALL)


_PLAIN = _compiled(_VALUE, _NAME, f"{_DOUBLE} | {_BACKQUOTE} )", _SIGN)
_MYSQL = _compiled(
    rf"""(?P<value> {_NUMBER} | [bnxBNX]?'[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'
      | "[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+" )""",
    _NAME,
    f"|(?P<quoted> {_BACKQUOTE} )",
    _SIGN,
)
_BRACKETED = _compiled(_VALUE, _NAME, f"{_DOUBLE} | {_BACKQUOTE} | {_BRACKETS} )", _SIGN)
_POSTGRESQL = _compiled(
    _VALUE,
    _NAME,
    f"{_DOUBLE} )",
    # An operator ends in `+` or `-` only if it has one of these other signs in it.
    r"""|(?P<sign> ::|:= | (?=[-+*/<>=]*+[~!@\#%^&|`?])[-+*/<>=~!@\#%^&|`?]++
      | [*/<>=]++ | [-+]++[*/<>=]++ | [-+] | \S )""",
)
_FORMS = {
    "mysql": _MYSQL,
    "postgres": _POSTGRESQL,
    "redshift": _POSTGRESQL,
    "sqlite": _BRACKETED,
    "tsql": _BRACKETED,
}
_OPENED_BY = {")": "(", "]": "[", "end": "case"}
_OPENING = frozenset(_OPENED_BY.values())


class Words(Sequence[Word]):
    """The words of a statement, in order."""

    __slots__ = ("_words", "depth", "is_balanced", "partner")

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self.partner: dict[int, int] = {}
        """For the place of a bracket, the place of the one that closes or opens it."""
        self.depth = 0
        """How deep brackets and `CASE` are nested in each other."""
        self.is_balanced = self._pair()

    def _pair(self) -> bool:
        opened: list[tuple[str, int]] = []
        for place, (kind, text, name) in enumerate(self._words):
            bracket = text if kind == "sign" else name if kind == "word" else ""
            if bracket in _OPENING:
                opened.append((bracket, place))
                self.depth = max(self.depth, len(opened))
            elif wanted := _OPENED_BY.get(bracket):
                if opened and opened[-1][0] == wanted:
                    _, other = opened.pop()
                    self.partner[place], self.partner[other] = other, place
                elif bracket != "end":  # which may be a statement, too
                    return False
        return not opened

    def __getitem__(self, place: int) -> Word:  # type: ignore[override]  # slices: see `part`
        return self._words[place]

    def __len__(self) -> int:
        return len(self._words)

    def __iter__(self) -> Iterator[Word]:
        return iter(self._words)

    def part(self, start: int, end: int | None = None) -> Words:
        """Return the words from a place on, up to another."""
        return Words(self._words[start:end])

    def word(self, place: int) -> str:
        """Return the keyword or unquoted name at a place, in lower case; empty if there is none."""
        each = self._words[place] if 0 <= place < len(self._words) else None
        return each.name if each is not None and each.kind == "word" else ""

    def sign(self, place: int) -> str:
        """Return the sign at a place; empty if there is none."""
        each = self._words[place] if 0 <= place < len(self._words) else None
        return each.text if each is not None and each.kind == "sign" else ""

    def is_name(self, place: int) -> bool:
        """Tell whether there is a name, quoted or not, or a keyword at a place."""
        return 0 <= place < len(self._words) and self._words[place].kind in ("word", "quoted")

    def qualified_name(self, place: int) -> tuple[tuple[str, ...], int]:
        """Return the parts of the name that begins at a place, and the place behind it."""
        parts: list[str] = []
        while self.is_name(place):
            parts.append(self._words[place].name)
            place += 1
            if self.sign(place) != ".":
                break
            place += 1
        return tuple(parts), place


def read_words(text: str, dialect: str | None) -> Words:
    """Return the words of a normalised statement."""
    form = _FORMS.get(dialect or "", _PLAIN)
    words: list[Word] = []
    for each in form.finditer(text):
        kind, written = each.lastgroup, each.group()
        if kind == "word":
            words.append(Word("word", written, written.lower()))
        elif kind == "quoted":
            words.append(Word("quoted", written, unquoted(written)))
        else:
            words.append(Word(kind, written))  # type: ignore[arg-type]  # the groups are the kinds
    return Words(words)


def unquoted(name: str) -> str:
    """Return a quoted name without its quotes."""
    end = name[-1]
    return name[1:-1].replace(end * 2, end)
