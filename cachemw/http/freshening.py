"""How a 304, or the answer to a HEAD, updates a stored response.

Rules:

- A 304 with a strong ETag is about the response with the same ETag; with a weak one, about a response
  whose ETag matches weakly; with a Last-Modified, about one with the same date (RFC 9111 §4.3.4).
- A 304 without a validator is about the response that was validated (RFC 9111 §4.3.4).
- The answer to a HEAD is about the stored response if its validators and its Content-Length, where
  it has them, are equal to the stored ones (RFC 9111 §4.3.5).
- The headers of the update replace the stored ones, except those that describe the stored body and
  those of one connection (RFC 9111 §3.2, §3.1). The stored Date goes if the update has none.
"""

from __future__ import annotations

from cachemw.http.conditional import same_strong, same_weak
from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshness import not_stating_lifetime
from cachemw.http.hops import connection_fields

__all__ = ["freshened", "head_matches", "matches"]

# RFC 9111 §3.2: headers that describe the stored body stay as they came with it. So does the ETag: a
# weak match may bring another one. A cookie is for one client (I1), and Age is computed each time.
_NOT_UPDATED = frozenset(
    {
        b"age",
        b"content-encoding",
        b"content-length",
        b"content-md5",
        b"content-range",
        b"etag",
        b"set-cookie",
        b"set-cookie2",
    }
)


def matches(stored: Fields, update: Fields) -> bool:
    """Tell whether a 304 is about this stored response (RFC 9111 §4.3.4).

    If the 304 has an ETag, that decides; else its Last-Modified; if it has neither, it is about the
    response that was validated.
    """
    tag = update.first(b"etag")
    if tag is not None:
        stored_tag = stored.first(b"etag")
        if stored_tag is None:
            return False
        return same_weak(stored_tag, tag) if tag.startswith(b"W/") else same_strong(stored_tag, tag)
    modified = parse_date(update.first(b"last-modified"))
    return modified is None or modified == parse_date(stored.first(b"last-modified"))


def freshened(stored: Fields, update: Fields) -> Fields:
    """Return the stored headers, updated by a 304 or the answer to a HEAD (RFC 9111 §3.2).

    A header takes the place of the first one with its name; new ones are added at the end. Callers
    must apply `storable` again, because the new Cache-Control may name other headers.
    """
    stored = not_stating_lifetime(stored)
    if b"date" not in update:  # age and lifetime count from now on
        stored = stored.without((b"date",))
    not_updated = _NOT_UPDATED | connection_fields(update)
    fresh: dict[bytes, list[Pair]] = {}
    for pair in update:
        if pair[0] not in not_updated:
            fresh.setdefault(pair[0], []).append(pair)
    replaced = frozenset(fresh)
    pairs: list[Pair] = []
    for pair in stored:
        if pair[0] in fresh:
            pairs += fresh.pop(pair[0])
        elif pair[0] not in replaced:
            pairs.append(pair)
    for added in fresh.values():
        pairs += added
    return Fields(pairs)


def head_matches(stored: Fields, body_length: int, update: Fields) -> bool:
    """Tell whether the answer to a HEAD is about this stored response (RFC 9111 §4.3.5)."""
    for name in (b"etag", b"last-modified"):
        if name in update and update.values(name) != stored.values(name):
            return False
    return all(length == b"%d" % body_length for length in update.values(b"content-length"))
