"""Which stored responses belong together, and which of them a response invalidates (RFC 9875).

A group is an opaque, case-sensitive string, and one of its origin only (§2.1): that is for whoever
keys them. A field that is no list of strings names no group.
"""

from __future__ import annotations

from functools import lru_cache

from cachemw.http.fields import Fields
from cachemw.http.structured import strings

__all__ = ["groups", "invalidated_groups"]

# What RFC 9875 §2 and §3 ask every cache to take: that many groups of that many characters. More
# of either is cut off, so that no response can fill an index.
MAX_GROUPS = 32
MAX_INVALIDATED = 128
MAX_CHARACTERS = 32
_MAX_REMEMBERED = 512
"""Bytes. What is longer names things of its own and does not come again: it is read, not remembered."""


def groups(fields: Fields) -> tuple[str, ...]:
    """Give the groups that a response belongs to (§2), in order, each once."""
    if b"cache-groups" not in fields:
        return ()
    return _read(tuple(fields.values(b"cache-groups")), MAX_GROUPS)


def invalidated_groups(fields: Fields) -> tuple[str, ...]:
    """Give the groups that a response invalidates (§3); not to be asked after a safe method."""
    if b"cache-group-invalidation" not in fields:
        return ()
    return _read(tuple(fields.values(b"cache-group-invalidation")), MAX_INVALIDATED)


def _read(lines: tuple[bytes, ...], most: int) -> tuple[str, ...]:
    short = sum(map(len, lines)) <= _MAX_REMEMBERED
    return _remembered(lines, most) if short else _named(lines, most)


def _named(lines: tuple[bytes, ...], most: int) -> tuple[str, ...]:
    named = dict.fromkeys(name for name in strings(lines) if len(name) <= MAX_CHARACTERS)
    return tuple(named)[:most]


_remembered = lru_cache(maxsize=1024)(_named)
