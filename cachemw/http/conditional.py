"""Entity tags and the answers to conditional GETs (RFC 9110 §8.8, §13)."""

from __future__ import annotations

import re
from hashlib import blake2b

from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields

__all__ = ["NOT_MODIFIED_DROPS", "entity_tag", "is_conditional", "not_modified"]

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
    return b"if-none-match" in request or b"if-modified-since" in request


def not_modified(request: Fields, response: Fields) -> bool:
    """Say whether a GET or HEAD is answered with 304 (RFC 9110 §13.2.2, steps 3 and 4)."""
    if b"if-none-match" in request:
        tag = response.first(b"etag")
        wanted = _ENTITY_TAG.findall(b",".join(request.values(b"if-none-match")))
        if wanted == [b"*"]:
            return True
        # §13.1.2: weak comparison, the W/ does not count.
        return tag is not None and _opaque(tag) in map(_opaque, wanted)
    # §13.1.3: with more than one member it is no date, and does not count.
    since = parse_date(b",".join(request.values(b"if-modified-since")))
    modified = parse_date(response.first(b"last-modified"))
    return since is not None and modified is not None and modified <= since


def _opaque(tag: bytes) -> bytes:
    return tag.removeprefix(b"W/")
