"""What a 304, or the answer to a HEAD, makes of a stored response (RFC 9111 §3.2, §4.3.4, §4.3.5)."""

from __future__ import annotations

from cachemw.http.conditional import same_strong, same_weak
from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields, Pair
from cachemw.http.hops import connection_fields

__all__ = ["freshened", "head_matches", "matches"]

# RFC 9111 §3.2: what describes the stored body stays as it came with it, and the tag that names it
# (a weak match may bring another). A cookie is one client's, and Age is made anew each time.
_KEPT_OUT = frozenset(
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
    """Say whether a 304 is about this stored response (RFC 9111 §4.3.4).

    Its ETag decides where it has one, else its Last-Modified; one with neither is about what was
    asked for.
    """
    tag = update.first(b"etag")
    if tag is not None:
        held = stored.first(b"etag")
        if held is None:
            return False
        return same_weak(held, tag) if tag.startswith(b"W/") else same_strong(held, tag)
    modified = parse_date(update.first(b"last-modified"))
    return modified is None or modified == parse_date(stored.first(b"last-modified"))


def freshened(stored: Fields, update: Fields) -> Fields:
    """Give the stored fields as a 304 or the answer to a HEAD updates them (RFC 9111 §3.2).

    A field takes the place of the first of its name, new ones go behind. `storable` has to be asked
    again: the new Cache-Control may name other fields.
    """
    kept_out = _KEPT_OUT | connection_fields(update)
    fresh: dict[bytes, list[Pair]] = {}
    for pair in update:
        if pair[0] not in kept_out:
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
    """Say whether the answer to a HEAD is about this stored response (RFC 9111 §4.3.5)."""
    for name in (b"etag", b"last-modified"):
        if name in update and update.values(name) != stored.values(name):
            return False
    return all(length == b"%d" % body_length for length in update.values(b"content-length"))
