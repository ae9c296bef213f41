"""Cache-Control for some caches only, such as CDN-Cache-Control.

Rules:

- The first header of the cache's target list that is valid and not empty decides alone: the others,
  Cache-Control and Expires do not count (RFC 9213 §2.2).
- It is a structured field, a dictionary: one syntax error makes it as if it were absent
  (RFC 9213 §2.1, RFC 9651 §4.2).
- A directive whose value has the wrong type does not count (RFC 9213 §2.1), unless ignoring it were
  the less careful reading: `no-store`, `no-cache` and `private` then count, and a lifetime that is
  not a number is zero (RFC 9111 §4.2.1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cachemw.http.cache_control import (
    FLAGS,
    MAX_SECONDS,
    QUALIFIED,
    SECONDS,
    CacheControl,
    parse,
    quoted_names,
)
from cachemw.http.fields import Fields
from cachemw.http.structured import dictionary

__all__ = ["effective_control", "targeted_control"]

_REFUSALS = frozenset({b"no-store", b"no-cache", b"private"})


def effective_control(fields: Fields, targets: tuple[bytes, ...]) -> CacheControl:
    """Return the directives for this cache, whose target list is `targets` (RFC 9213 §2.2).

    If a targeted header decides, `targeted` is set in the result, and Expires does not count.
    """
    if fields.names.isdisjoint(targets):
        return parse(fields)
    targeted = targeted_control(fields, targets)
    return parse(fields) if targeted is None else targeted


def targeted_control(fields: Fields, names: tuple[bytes, ...]) -> CacheControl | None:
    """Return the directives of the first of these headers (lower-case names) that is valid, or None."""
    for name in names:
        if name in fields and (control := _read(tuple(fields.values(name)))) is not None:
            return control
    return None


@lru_cache(maxsize=512)  # an application sends the same few values again and again
def _read(lines: tuple[bytes, ...]) -> CacheControl | None:
    members = dictionary(lines)
    if not members:
        return None
    found: dict[str, Any] = {"targeted": True}
    for key, value in members.items():
        name = key.encode("ascii")
        if isinstance(value, str) and name in QUALIFIED and (names := _names(value)):
            found[QUALIFIED[name]] = names
        elif name in FLAGS:
            if value is True or (name in _REFUSALS and value is not False):
                found[FLAGS[name]] = True
        elif name in SECONDS:
            found[SECONDS[name]] = _seconds(value)
    return CacheControl(**found)


def _names(value: str) -> frozenset[bytes]:
    return quoted_names(b'"%s"' % value.encode("ascii"))


def _seconds(value: Any) -> int:
    return max(0, min(value, MAX_SECONDS)) if type(value) is int else 0  # not a bool
