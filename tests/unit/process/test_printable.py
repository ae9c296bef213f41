"""Text from outside, as a terminal, a log line and a page are given it."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass

import pytest

from cachemw.process.printable import printable, printable_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("product:17 é 日本 \\ \U0001f600", "product:17 é 日本 \\ \U0001f600"),
        ("\x1b]0;evil\x07\x1b[2J", "\\x1b]0;evil\\x07\\x1b[2J"),
        ("\x00\t\n\r\x7f", "\\x00\\t\\n\\r\\x7f"),
        ("\x85\x9b31m", "\\x85\\x9b31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        (
            "\u2066\u2069\u200b\u200f\u2028\u2029\ufeff\xad",
            "\\u2066\\u2069\\u200b\\u200f\\u2028\\u2029\\ufeff\\xad",
        ),
        ("\U000e0041", "\\U000e0041"),
        ("\udc9b", "\\udc9b"),
    ],
)
def test_what_cannot_be_seen_is_escaped_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_no_character_of_control_format_or_line_end_is_left_out() -> None:
    """Unicode's categories: control, format, surrogate, and the separators of lines and paragraphs."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in hidden:
            assert printable(chr(code)).isascii(), hex(code)
            assert printable(chr(code)).isprintable(), hex(code)


def test_what_is_kept_stays() -> None:
    assert printable("a\n\x1bb\r\n", keep="\n") == "a\n\\x1bb\\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    tags: tuple[str, ...] | None
    more: int = 0


def test_every_text_in_a_value_is_made_printable() -> None:
    value = {"a\x1b": [_Row(tags=("\x9b", "b"), more=1), _Row(tags=None)], "c": None, "d": 1.5}
    assert printable_in(value) == {
        "a\\x1b": [_Row(tags=("\\x9b", "b"), more=1), _Row(tags=None)],
        "c": None,
        "d": 1.5,
    }
    assert printable_in(_Row) is _Row
