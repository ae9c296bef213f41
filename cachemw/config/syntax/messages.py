"""How a wrong value and the allowed values appear in an error message."""

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
    """Return a value as TOML writes it: on one line, shortened, without credentials of URLs.

    Of tables and lists only the type is shown: one in the wrong place may hold a secret.
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
    """Return a key as TOML writes it: in quotes if it needs them."""
    return name if _BARE_KEY.fullmatch(name) else show(name)


def either(names: Iterable[str]) -> str:
    """Return the allowed names as a text: `"low", "medium" or "high"`."""
    *first, last = (json.dumps(name) for name in names)
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `, did you mean "…"?` if one of the names is similar, else an empty text."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {json.dumps(close[0])}?" if close else ""


def _number(value: float) -> str:
    # An integer of thousands of digits cannot be printed at all (sys.set_int_max_str_digits).
    if isinstance(value, int) and abs(value) >= 10**_LIMIT:
        return "a number too large"
    return repr(value)


def _shortened(text: str) -> str:
    return text if len(text) <= _LIMIT else text[: _LIMIT - 1] + "…"
