"""Entity tags and the answers to conditional GETs (RFC 9110 §8.8, §13)."""

from __future__ import annotations

import re
from hashlib import blake2b

from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields, Pair

__all__ = [
    "NOT_MODIFIED_DROPS",
    "conditions",
    "entity_tag",
    "has_validator",
    "if_range",
    "is_conditional",
    "not_modified",
    "same_strong",
    "same_weak",
]

_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since"})
# RFC 9110 §15.4.5: a 304 carries no representation metadata beyond what guides cache updates.
NOT_MODIFIED_DROPS = frozenset(
    {b"content-type", b"content-length", b"content-encoding", b"content-language", b"content-range"}
)

# §8.8.3: a backslash or a comma in an entity tag is itself. What is no entity tag equals only itself.
_ENTITY_TAG = re.compile(rb'(?:W/)?"[^"]*"|[^\s,]+')


def entity_tag(body: bytes, encoding: bytes | None) -> bytes:
    """Make a strong entity tag out of a body and its content coding, the same in every process."""
    digest = blake2b(body, digest_size=12, person=b"cachemw-etag", key=(encoding or b"")[:64])
    return b'"%s"' % digest.hexdigest().encode("ascii")


def is_conditional(request: Fields) -> bool:
    """Say whether a 304 could answer this request."""
    return not _CONDITIONS.isdisjoint(request.names)


def not_modified(request: Fields, response: Fields) -> bool:
    """Say whether a GET or HEAD is answered with 304 (RFC 9110 §13.2.2, steps 3 and 4)."""
    if b"if-none-match" in request:
        tag = response.first(b"etag")
        wanted = _ENTITY_TAG.findall(b",".join(request.values(b"if-none-match")))
        if wanted == [b"*"]:
            return True
        return tag is not None and any(same_weak(tag, each) for each in wanted)  # §13.1.2
    # §13.1.3: with more than one member it is no date, and does not count.
    since = parse_date(b",".join(request.values(b"if-modified-since")))
    # RFC 9111 §4.3.2: what does not say when it was modified was so at its Date at the latest.
    named = b"last-modified" if b"last-modified" in response else b"date"
    modified = parse_date(response.first(named))
    return since is not None and modified is not None and modified <= since


def if_range(request: Fields, response: Fields) -> bool:
    """Say whether If-Range lets a part of this response be sent (RFC 9110 §13.1.5); absent, it does."""
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
    return quoted and wanted == response.first(b"etag")  # quoted and without W/: a strong one


def _strong_date(response: Fields) -> float | None:
    """Give the Last-Modified that no second change can hide behind (RFC 9110 §8.8.2.2)."""
    modified, date = (parse_date(response.first(name)) for name in (b"last-modified", b"date"))
    return modified if modified is not None and date is not None and modified < date else None


def has_validator(stored: Fields) -> bool:
    """Say whether a stored response can be asked about, rather than for, again."""
    tag = stored.first(b"etag")
    if tag is not None and tag.strip():
        return True
    return parse_date(stored.first(b"last-modified")) is not None


def conditions(stored: Fields) -> list[Pair]:
    """Give the conditions that ask whether a stored response is still good (RFC 9111 §4.3.1).

    Their values are what the origin said, to the byte: it may compare no more than that.
    """
    found = []
    tag = stored.first(b"etag")
    if tag is not None and tag.strip():
        found.append((b"if-none-match", tag))
    modified = stored.first(b"last-modified")
    if modified is not None and parse_date(modified) is not None:
        found.append((b"if-modified-since", modified))
    return found


def same_strong(tag: bytes, other: bytes) -> bool:
    """Compare two entity tags strongly (RFC 9110 §8.8.3.2): a weak one equals none."""
    return tag == other and not tag.startswith(b"W/")


def same_weak(tag: bytes, other: bytes) -> bool:
    """Compare two entity tags weakly (RFC 9110 §8.8.3.2): the W/ does not count."""
    return tag.removeprefix(b"W/") == other.removeprefix(b"W/")
