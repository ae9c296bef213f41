"""Groups of responses that are invalidated together: Cache-Groups and Cache-Group-Invalidation.

Rules:

- Cache-Groups names the groups that a response belongs to (RFC 9875 §2).
- Cache-Group-Invalidation names the groups that a response to an unsafe request invalidates
  (RFC 9875 §3).
- A group is an opaque, case-sensitive string. It belongs to one origin, which the caller has to add
  when it makes a tag from a group (RFC 9875 §2.1).
- Both headers are lists of strings; a header that is anything else names no group (RFC 9651 §4.2).
"""

from __future__ import annotations

from functools import lru_cache

from cachemw.http.fields import Fields
from cachemw.http.structured import strings

__all__ = ["groups", "invalidated_groups"]

# RFC 9875 §2 and §3 ask every cache to support at least this many groups of this many characters.
# More of either does not count, so that no response can fill the index (I4).
MAX_GROUPS = 32
MAX_INVALIDATED = 128
MAX_CHARACTERS = 32
_MAX_CACHED = 512
"""Bytes. A longer header probably names groups of this response alone: parsing is not cached."""


def groups(fields: Fields) -> tuple[str, ...]:
    """Return the groups that a response belongs to (RFC 9875 §2), in order, each once."""
    if b"cache-groups" not in fields:
        return ()
    return _read(tuple(fields.values(b"cache-groups")), MAX_GROUPS)


def invalidated_groups(fields: Fields) -> tuple[str, ...]:
    """Return the groups that a response invalidates (RFC 9875 §3). Only for unsafe methods."""
    if b"cache-group-invalidation" not in fields:
        return ()
    return _read(tuple(fields.values(b"cache-group-invalidation")), MAX_INVALIDATED)


def _read(lines: tuple[bytes, ...], limit: int) -> tuple[str, ...]:
    short = sum(map(len, lines)) <= _MAX_CACHED
    return _parse_cached(lines, limit) if short else _parse(lines, limit)


def _parse(lines: tuple[bytes, ...], limit: int) -> tuple[str, ...]:
    named = dict.fromkeys(name for name in strings(lines) if len(name) <= MAX_CHARACTERS)
    return tuple(named)[:limit]


_parse_cached = lru_cache(maxsize=1024)(_parse)
