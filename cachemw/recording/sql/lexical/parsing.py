"""Calls of the parser, bounded in time.

The parser tries one reading of a text after the other. Where it goes back at each level of nested brackets,
its time doubles with each level. So its steps are counted, and a text that takes it too many is not
understood. The steps of the compiled parser (`sqlglot[c]`) cannot be counted. There the parts of the tree
are, which most of such texts have too many of.
"""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import Any

from sqlglot.dialects.dialect import Dialect
from sqlglot.parser import Parser

from cachemw.recording.sql.lexical.words import Words

__all__ = ["parse"]

_MOST_WORDS = 2500
"""Most words of a statement that is parsed: it takes the parser about 20 µs for each."""
_DEEPEST = 20
"""How deep brackets may be nested: each level takes up to 28 nested calls, and Python allows 1000."""
_STEPS_FOR_EACH_WORD, _FIRST_STEPS = 6, 2000
"""Most steps of the parser. It needs 1.2 for each word of a statement of an ORM. 10,000 take 0.05 s."""
_MOST_NODES = 6000
"""Most parts of a tree, and of the attempts to read one; for the releases of the parser that count them."""

_parsing = threading.local()


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not getattr(_parsing, "now", False)


# The parser warns of what it does not understand, with the statement. That is no matter of the application.
logging.getLogger("sqlglot").addFilter(_is_not_ours)


class _TooLong(Exception):
    """The parser has gone too many steps."""


def parse(text: str, words: Words, dialect: str | None) -> Any | None:
    """Return the syntax tree of a statement; None where it would take long, or is not understood.

    `words` are those of the text.
    """
    if len(words) > _MOST_WORDS or words.depth > _DEEPEST or not words.is_balanced:
        return None
    _parsing.now = True
    try:
        parser = _parser_class(dialect)(dialect=dialect, **_bounds())
        if hasattr(parser, "steps_left"):
            parser.steps_left = len(words) * _STEPS_FOR_EACH_WORD + _FIRST_STEPS
        trees = parser.parse(Dialect.get_or_raise(dialect).tokenize(text), text)
    except Exception:  # the parser raises more than its own errors for odd texts (I3)
        return None
    finally:
        _parsing.now = False
    return trees[0] if len(trees) == 1 else None


@cache
def _parser_class(dialect: str | None) -> Any:
    """Return the parser of a dialect, which counts its steps if it can."""
    base: Any = Dialect.get_or_raise(dialect).parser_class

    class Counting(base):  # type: ignore[misc]  # it is not known here which one it is
        steps_left = 1

        def _advance(self, times: int = 1) -> None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise _TooLong
            super()._advance(times)

    try:
        Counting()
    except TypeError:  # it is compiled
        return base
    return Counting


@cache
def _bounds() -> dict[str, Any]:
    bounds: dict[str, Any] = {"max_nodes": _MOST_NODES}
    try:
        Parser(**bounds)
    except TypeError:  # an older release
        return {}
    return bounds
