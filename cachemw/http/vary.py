"""The request headers that select one of several stored responses.

Rules:

- The names in Vary, over all its lines, are the selecting headers (RFC 9111 §4.1, RFC 9110 §12.5.5).
- A response with a content coding was chosen by Accept-Encoding (RFC 9110 §12.5.3), also where its Vary
  does not say so: a client that does not know the coding could not read it.
- `*` selects on something outside the headers, so nothing matches it (RFC 9111 §4.1).
- Several lines of a request header are combined with commas (RFC 9110 §5.2).
- A header that is absent matches only one that is absent (RFC 9111 §4.1).
- Values that mean the same are made equal; see `negotiation` (RFC 9111 §4.1).
"""

from __future__ import annotations

import re

from cachemw.http.fields import Fields
from cachemw.http.negotiation import normalised

__all__ = ["ACCEPT_ENCODING", "Selecting", "is_coded", "naming_coding", "selecting", "varies_on"]

ACCEPT_ENCODING = b"accept-encoding"

Selecting = tuple[tuple[bytes, bytes | None], ...]
"""Selecting headers, sorted by name, with the request's combined, normalised value; None: absent."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def varies_on(fields: Fields) -> tuple[bytes, ...] | None:
    """Return the names in Vary, in lower case and sorted; None if one of them is `*`.

    A member that is not a header name counts as `*`: nobody knows which headers were meant. With a
    content coding, Accept-Encoding counts as named.
    """
    if b"vary" not in fields:
        return (ACCEPT_ENCODING,) if is_coded(fields) else ()
    names = {name.lower() for name in fields.members(b"vary")}
    if any(name == b"*" or not _NAME.fullmatch(name) for name in names):
        return None
    if is_coded(fields):
        names.add(ACCEPT_ENCODING)
    return tuple(sorted(names))


def is_coded(fields: Fields) -> bool:
    """Tell whether a response has a content coding other than `identity` (RFC 9110 §8.4)."""
    return b"content-encoding" in fields and any(
        coding.lower() != b"identity" for coding in fields.members(b"content-encoding")
    )


def naming_coding(fields: Fields) -> Fields:
    """Return the headers of a response with Accept-Encoding in Vary, if the response has a coding.

    Caches on the way to the client must not send a coded response to everybody either.
    """
    if not is_coded(fields) or ACCEPT_ENCODING in map(bytes.lower, fields.members(b"vary")):
        return fields
    if b"vary" not in fields:
        return fields.plus((b"vary", b"Accept-Encoding"))
    pairs = list(fields.pairs)
    last = max(index for index, (name, _) in enumerate(pairs) if name == b"vary")
    named = pairs[last][1].strip(b" \t,")
    # One line, because some frameworks hold one value for each name.
    pairs[last] = (b"vary", (named + b", " if named else b"") + b"Accept-Encoding")
    return Fields(pairs)


def selecting(names: tuple[bytes, ...], fields: Fields) -> Selecting:
    """Return the selecting headers of a request. A header with an empty value is not absent."""
    chosen: list[tuple[bytes, bytes | None]] = []
    for name in names:
        lines = fields.values(name)
        chosen.append((name, normalised(name, b", ".join(lines)) if lines else None))
    return tuple(chosen)
