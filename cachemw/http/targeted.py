"""Cache-Control for some caches only (RFC 9213), such as CDN-Cache-Control.

A targeted field is a structured field: names have no capitals, a number is a number, and one slip
makes the whole field as if it were not there. Of what parses, a directive whose value is of the
wrong type is not consumed (§2.1), except where that would be the less careful reading: a refusal
counts, and a lifetime that is no number is zero (RFC 9111 §4.2.1).
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
    """Give what a response asks of this cache, whose target list is `targets` (RFC 9213 §2.2).

    Where a targeted field decides, it does so alone: `targeted` is set, and Expires does not count.
    """
    if fields.names.isdisjoint(targets):
        return parse(fields)
    targeted = targeted_control(fields, targets)
    return parse(fields) if targeted is None else targeted


def targeted_control(fields: Fields, names: tuple[bytes, ...]) -> CacheControl | None:
    """Read the first of these fields (lower-case names) that says anything, or give None."""
    for name in names:
        if name in fields and (control := _read(tuple(fields.values(name)))) is not None:
            return control
    return None


@lru_cache(maxsize=512)  # an application says the same few things over and over
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
    return max(0, min(value, MAX_SECONDS)) if type(value) is int else 0  # a bool is no number here
