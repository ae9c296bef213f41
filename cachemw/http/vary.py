"""The request headers that select one of several stored responses.

Rules:

- The names in Vary, over all its lines, are the selecting headers (RFC 9111 §4.1, RFC 9110 §12.5.5).
- `*` selects on something outside the headers, so nothing matches it (RFC 9111 §4.1).
- Several lines of a request header are combined with commas (RFC 9110 §5.2).
- A header that is absent matches only one that is absent (RFC 9111 §4.1).
- Values that mean the same are made equal; see `negotiation` (RFC 9111 §4.1).
"""

from __future__ import annotations

import re

from cachemw.http.fields import Fields
from cachemw.http.negotiation import normalised

__all__ = ["Selecting", "selecting", "varies_on"]

Selecting = tuple[tuple[bytes, bytes | None], ...]
"""Selecting headers, sorted by name, with the request's combined, normalised value; None: absent."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def varies_on(fields: Fields) -> tuple[bytes, ...] | None:
    """Return the names in Vary, in lower case and sorted; None if one of them is `*`.

    A member that is not a header name counts as `*`: nobody knows which headers were meant.
    """
    if b"vary" not in fields:
        return ()
    names = {name.lower() for name in fields.members(b"vary")}
    if any(name == b"*" or not _NAME.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


def selecting(names: tuple[bytes, ...], fields: Fields) -> Selecting:
    """Return the selecting headers of a request. A header with an empty value is not absent."""
    chosen: list[tuple[bytes, bytes | None]] = []
    for name in names:
        lines = fields.values(name)
        chosen.append((name, normalised(name, b", ".join(lines)) if lines else None))
    return tuple(chosen)
