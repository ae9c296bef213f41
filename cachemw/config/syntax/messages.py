"""How a wrong value, or a choice of right ones, reads in an error message."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping

__all__ = ["did_you_mean", "either", "key", "show"]

_LIMIT = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_CREDENTIALS = re.compile(r"//[^\s]*@")


def show(value: object) -> str:
    """Give a value as TOML would write it: on one line, shortened, any URL's credentials blanked.

    Tables and lists are named, not printed: a misplaced one may hold a secret.
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(_shortened(_CREDENTIALS.sub("//***@", value)), ensure_ascii=False)
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case int() | float():
            return _number(value)
    return _shortened(_CREDENTIALS.sub("//***@", repr(value)))


def key(name: str) -> str:
    """Write a key as TOML does: quoted where it has to be."""
    return name if _BARE_KEY.fullmatch(name) else show(name)


def either(names: Iterable[str]) -> str:
    """Join the allowed names: `"low", "medium" or "high"`."""
    *first, last = (json.dumps(name) for name in names)
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Give `, did you mean "…"?` where one of the names is close, else nothing."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {json.dumps(close[0])}?" if close else ""


def _number(value: float) -> str:
    # An integer of thousands of digits cannot be printed at all (sys.set_int_max_str_digits).
    if isinstance(value, int) and abs(value) >= 10**_LIMIT:
        return "a number too large"
    return repr(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
