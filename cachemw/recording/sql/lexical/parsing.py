"""Calls of the parser, bounded in time."""

from __future__ import annotations

import logging
import threading
from typing import Any

import sqlglot
from sqlglot.parser import Parser

from cachemw.recording.sql.lexical.words import Words

__all__ = ["parse"]

_MOST_WORDS = 2500
"""Most words of a statement that is parsed: it takes the parser about 20 µs for each."""
_DEEPEST = 20
"""How deep brackets may be nested: each level takes up to 28 nested calls, and Python allows 1000."""
_DEEPEST_ARRAY = 6
"""How deep arrays may be nested: each level doubles the parser's time. PostgreSQL allows 6 dimensions."""
_MOST_NODES = 6000
"""Most parts of a tree, and of the attempts to read one. Some releases of the parser bound them."""

_parsing = threading.local()


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not getattr(_parsing, "now", False)


# The parser warns of what it does not understand, with the statement. That is no matter of the application.
logging.getLogger("sqlglot").addFilter(_is_not_ours)


def parse(text: str, words: Words, dialect: str | None) -> Any | None:
    """Return the syntax tree of a statement; None where it would take long, or is not understood.

    `words` are those of the text.
    """
    if len(words) > _MOST_WORDS or words.depth > _DEEPEST or not words.is_balanced:
        return None
    if _depth_of_arrays(words) > _DEEPEST_ARRAY or _has_empty_operand(words):
        return None
    _parsing.now = True
    try:
        trees = sqlglot.parse(text, read=dialect, **_BOUNDS)
    except Exception:  # the parser raises more than its own errors for odd texts (I3)
        return None
    finally:
        _parsing.now = False
    return trees[0] if len(trees) == 1 else None


def _depth_of_arrays(words: Words) -> int:
    depth = deepest = 0
    for word in words:
        if word.kind == "sign" and word.text in "[]":
            depth += 1 if word.text == "[" else -1
            deepest = max(deepest, depth)
    return deepest


def _has_empty_operand(words: Words) -> bool:
    """Tell whether `UNION` or the like follows a bracket: it is a type to the parser, and doubles its time."""
    return any(
        words.sign(place) == "(" and words.word(place + 1) in ("except", "intersect", "union")
        for place in range(len(words))
    )


def _bounds() -> dict[str, Any]:
    bounds = {"max_nodes": _MOST_NODES}
    try:
        Parser(**bounds)
    except TypeError:  # an older release
        return {}
    return bounds


_BOUNDS = _bounds()
