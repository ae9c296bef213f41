"""Entity tags, and conditional requests: those of clients, and ours to the application.

Rules:

- If-None-Match decides before If-Modified-Since, which then does not count (RFC 9110 §13.2.2).
- If-None-Match compares weakly; `*` matches anything that is there (RFC 9110 §13.1.2).
- If-Modified-Since with anything but one date does not count (RFC 9110 §13.1.3). Without
  Last-Modified, Date is compared (RFC 9111 §4.3.2).
- If-Range compares strongly: an entity tag without `W/`, or a date that is a strong validator
  (RFC 9110 §13.1.5, §8.8.2.2).
- A 304 leaves out headers that describe the body (RFC 9110 §15.4.5).
- To validate a stored response, its ETag goes into If-None-Match and its Last-Modified into
  If-Modified-Since, unchanged (RFC 9111 §4.3.1).
"""

from __future__ import annotations

import re
from hashlib import blake2b

from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields, Pair

__all__ = [
    "NOT_MODIFIED_DROPS",
    "conditions",
    "entity_tag",
    "has_own_tag",
    "has_validator",
    "if_range",
    "is_conditional",
    "not_modified",
    "same_strong",
    "same_weak",
    "wanted_tags",
]

_OWN_TAG = re.compile(rb'"[0-9a-f]{24}"')
"""The form of the entity tags that `entity_tag` makes."""
_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
# RFC 9110 §15.4.5: a 304 carries only the metadata that a cache needs for its update.
NOT_MODIFIED_DROPS = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"content-language", b"content-range"}
)

# RFC 9110 §8.8.3: a comma or a backslash in an entity tag has no special meaning. A member that is
# not an entity tag equals only itself.
_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"|[^\s,]+')


def entity_tag(body: bytes, encoding: bytes | None) -> bytes:
    """Return a strong entity tag for a body and its content coding, the same in every process."""
    digest = blake2b(body, digest_size=12, person=b"cachemw-etag", key=(encoding or b"")[:64])
    return b'"%s"' % digest.hexdigest().encode("ascii")


def has_own_tag(response: Fields, body: bytes) -> bool:
    """Tell whether the entity tag of a response is the one that `entity_tag` makes for its body."""
    tag = response.first(b"etag")
    if tag is None or not _OWN_TAG.fullmatch(tag):
        return False
    return tag == entity_tag(body, response.first(b"content-encoding"))


def is_conditional(request: Fields) -> bool:
    """Tell whether a 304 could answer this request (RFC 9110 §13.1.2, §13.1.3)."""
    return not _CONDITIONS.isdisjoint(request.names)


def wanted_tags(request: Fields) -> list[bytes]:
    """Return the entity tags in If-None-Match (RFC 9110 §13.1.2); `*` stays as it is."""
    return _ENTITY_TAG.findall(b",".join(request.values(b"if-none-match")))


def not_modified(request: Fields, response: Fields) -> bool:
    """Tell whether a GET or HEAD is answered with 304 (RFC 9110 §13.2.2, steps 3 and 4)."""
    if b"if-none-match" in request:
        tag = response.first(b"etag")
        wanted = wanted_tags(request)
        if wanted == [b"*"]:
            return True
        return tag is not None and any(same_weak(tag, each) for each in wanted)  # RFC 9110 §13.1.2
    # RFC 9110 §13.1.3: several lines or members make no valid date, and then it does not count.
    since = parse_date(b",".join(request.values(b"if-modified-since")))
    # RFC 9111 §4.3.2: without Last-Modified, the response was modified at its Date at the latest.
    named = b"last-modified" if b"last-modified" in response else b"date"
    modified = parse_date(response.first(named))
    return since is not None and modified is not None and modified <= since


def if_range(request: Fields, response: Fields) -> bool:
    """Tell whether If-Range is absent or allows a part of this response (RFC 9110 §13.1.5)."""
    lines = request.values(b"if-range")
    if not lines:
        return True
    if len(lines) > 1:
        return False
    wanted = lines[0].strip(b" \t")
    date = parse_date(wanted)
    if date is not None:
        return date == _strong_date(response)
    quoted = len(wanted) > 1 and wanted.startswith(b'"') and wanted.endswith(b'"')
    return quoted and wanted == response.first(b"etag")  # quotes, and no W/ before them: strong


def _strong_date(response: Fields) -> float | None:
    """Return Last-Modified where it is a strong validator (RFC 9110 §8.8.2.2), or None.

    It is strong if it is before Date: then no second change within the same second is possible.
    """
    modified, date = (parse_date(response.first(name)) for name in (b"last-modified", b"date"))
    return modified if modified is not None and date is not None and modified < date else None


def has_validator(stored: Fields) -> bool:
    """Tell whether a stored response can be validated with a conditional request (RFC 9111 §4.3.1)."""
    tag = stored.first(b"etag")
    if tag is not None and tag.strip():
        return True
    return parse_date(stored.first(b"last-modified")) is not None


def conditions(stored: Fields) -> list[Pair]:
    """Return the condition headers that validate a stored response (RFC 9111 §4.3.1).

    Their values are exactly the application's bytes, since it may compare bytes and nothing else.
    """
    pairs = []
    tag = stored.first(b"etag")
    if tag is not None and tag.strip():
        pairs.append((b"if-none-match", tag))
    modified = stored.first(b"last-modified")
    if modified is not None and parse_date(modified) is not None:
        pairs.append((b"if-modified-since", modified))
    return pairs


def same_strong(tag: bytes, other: bytes) -> bool:
    """Compare two entity tags strongly (RFC 9110 §8.8.3.2): a weak tag never matches."""
    return tag == other and not tag.startswith(b"W/")


def same_weak(tag: bytes, other: bytes) -> bool:
    """Compare two entity tags weakly (RFC 9110 §8.8.3.2): `W/` does not count."""
    return tag.removeprefix(b"W/") == other.removeprefix(b"W/")
