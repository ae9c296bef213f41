"""Text from outside, made safe to print on a terminal, in a log line or on a page.

Keys and tags in Redis, error texts and requests may hold escape sequences that rewrite a terminal, line ends
that forge a line, and characters that reverse the direction of the text behind them. All of these are
shown as Python writes them: `\\x1b`, `\\n`, `\\u202e`.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

__all__ = ["printable", "printable_in"]

_T = TypeVar("_T")

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: C0, DEL and C1
    "\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"  # format characters (Unicode: Cf)
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # of direction and of width, and two line ends
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff]"  # halves of characters, which no terminal can be sent
)


def printable(text: str, *, keep: str = "") -> str:
    """Return a text in which every character can be seen; the characters in `keep` stay as they are."""
    return _UNPRINTABLE.sub(
        lambda found: found[0] if found[0] in keep else _escaped(found[0]), text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_in(value: _T) -> _T:
    """Return a copy of a value in which every text is printable: in dataclasses, tuples, lists and dicts."""
    return cast(_T, _printable_in(value))


def _printable_in(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, tuple):
        return tuple(_printable_in(each) for each in value)
    if isinstance(value, list):
        return [_printable_in(each) for each in value]
    if isinstance(value, dict):
        return {_printable_in(key): _printable_in(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changes = {each.name: _printable_in(getattr(value, each.name)) for each in fields(value)}
        return replace(value, **changes)
    return value
