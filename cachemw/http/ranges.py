"""Parts of a stored response (RFC 9110 §14): what Range asks for, and the 206 or 416 that answers it.

A server may ignore Range (§14.2), and then sends the whole. It does so here for
- what is malformed, or in another unit than bytes, or asked for on several lines;
- ranges that overlap and more than 16 of them: a few bytes of request would make megabytes of
  answer (without overlap the parts cannot be longer than the whole);
- several ranges of a body with a content coding: the coding is of the whole, and clients differ in
  whether they undo it before or after taking the parts out of a multipart body;
- an empty body: some clients ask every resource for its first bytes, and have all of them.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import pairwise

from msgspec import Struct

from cachemw.http.conditional import if_range
from cachemw.http.fields import Fields, Pair, split_list

__all__ = ["MAX_RANGES", "Partial", "Span", "partial", "select"]

MAX_RANGES = 16
_RANGES = re.compile(rb"bytes=(.+)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(rb"(\d*)-(\d*)")
_HUGE = 10**18
"""Longer than any body; int() of a million digits is an attack, not a position."""

# Said of the whole body (RFC 9110 §8.6, §14.4; RFC 1864; RFC 9530 §2).
_OF_THE_WHOLE = frozenset({b"content-digest", b"content-length", b"content-md5", b"content-range"})
# A 416 has no representation to describe.
_OF_A_BODY = _OF_THE_WHOLE | {
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"content-location",
    b"content-type",
    b"etag",
    b"last-modified",
    b"repr-digest",
}


class Span(Struct, frozen=True):
    """Positions of the first and the last byte, both within the body."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes it is."""
        return self.last - self.first + 1


class Partial(Struct, frozen=True, kw_only=True):
    """A 206 with what was asked for, or a 416 for what cannot be had."""

    status: int
    fields: Fields
    body: bytes


def select(request: Fields, response: Fields, body_length: int) -> tuple[Span, ...] | None:
    """Read which parts a GET asks for, in its order; none at all: 416, None: send the whole.

    `response` are a stored 200's fields: If-Range may name another (RFC 9110 §13.1.5).
    """
    lines = request.values(b"range")
    if len(lines) != 1 or not body_length or not if_range(request, response):
        return None
    read = _RANGES.fullmatch(lines[0].strip(b" \t"))
    ranges = list(split_list(read[1])) if read else []
    if not 0 < len(ranges) <= MAX_RANGES:
        return None
    spans = []
    for each in ranges:
        positions = _positions(each, body_length)
        if positions is None:
            return None
        if positions[0] < body_length:  # RFC 9110 §14.1.2: the others cannot be satisfied
            spans.append(Span(*positions))
    several = len(spans) > 1
    if several and (_overlap(spans) or b"content-encoding" in response):
        return None
    return tuple(spans)


def _positions(text: bytes, body_length: int) -> tuple[int, int] | None:
    """Read one range; the first position is past the end where it cannot be satisfied."""
    read = _RANGE.fullmatch(text)
    if read is None or text == b"-":
        return None
    first, last = read.groups()
    if not first:
        return max(0, body_length - _number(last)), body_length - 1
    start, end = _number(first), _number(last) if last else _HUGE
    return None if end < start else (start, min(end, body_length - 1))  # §14.1.1: then invalid


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= 18 else _HUGE


def _overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans, key=lambda span: span.first)
    return any(one.last >= other.first for one, other in pairwise(ordered))


def partial(fields: Fields, body: bytes, spans: tuple[Span, ...]) -> Partial:
    """Answer with parts of a stored 200, or say that there are none (RFC 9110 §15.3.7, §15.5.17)."""
    if not spans:
        return _unsatisfiable(fields, len(body))
    if len(spans) > 1:
        return _multipart(fields, body, spans)
    content = body[spans[0].first : spans[0].last + 1]
    described = fields.without(_OF_THE_WHOLE).plus(_content_range(spans[0], body), _length(content))
    return Partial(status=206, fields=described, body=content)


def _multipart(fields: Fields, body: bytes, spans: tuple[Span, ...]) -> Partial:
    """Put several parts into one body (RFC 9110 §14.6)."""
    parts = [body[span.first : span.last + 1] for span in spans]
    boundary = _boundary(parts)
    kind = fields.first(b"content-type")
    chunks = []
    for span, part in zip(spans, parts, strict=True):
        lines = [b"--" + boundary]
        if kind is not None:
            lines.append(b"content-type: " + kind)
        lines.append(b": ".join(_content_range(span, body)))
        chunks += [*(line + b"\r\n" for line in lines), b"\r\n", part, b"\r\n"]
    content = b"".join([*chunks, b"--", boundary, b"--\r\n"])
    described = fields.without({*_OF_THE_WHOLE, b"content-type"}).plus(
        (b"content-type", b"multipart/byteranges; boundary=" + boundary), _length(content)
    )
    return Partial(status=206, fields=described, body=content)


def _boundary(parts: list[bytes]) -> bytes:
    """Make a delimiter that no part holds (RFC 2046 §5.1.1), the same for the same parts."""
    digest = blake2b(digest_size=15, person=b"cachemw-parts")
    for part in parts:
        digest.update(part)
    while True:
        boundary = digest.hexdigest().encode("ascii")
        if not any(boundary in part for part in parts):
            return boundary
        digest.update(boundary)


def _unsatisfiable(fields: Fields, body_length: int) -> Partial:
    """Say how long the body is, and that nobody shall keep this answer for that of another request."""
    kept = [
        pair
        for pair in fields
        if pair[0] not in _OF_A_BODY and pair[0] != b"expires" and b"cache-control" not in pair[0]
    ]
    more: list[Pair] = [
        (b"cache-control", b"no-store"),
        (b"content-range", b"bytes */%d" % body_length),
        (b"content-type", b"text/plain"),  # which WSGI wants for a body of no bytes too
        (b"content-length", b"0"),
    ]
    return Partial(status=416, fields=Fields([*kept, *more]), body=b"")


def _content_range(span: Span, body: bytes) -> Pair:
    return b"content-range", b"bytes %d-%d/%d" % (span.first, span.last, len(body))


def _length(content: bytes) -> Pair:
    return b"content-length", b"%d" % len(content)
