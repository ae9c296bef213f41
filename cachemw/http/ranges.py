"""Parts of a stored response: what Range asks for, and the 206 or 416 that answers it.

Rules:

- If-Range may ask for the whole response instead (RFC 9110 §13.1.5).
- One part is a 206 with Content-Range (RFC 9110 §15.3.7.1); several parts are one
  multipart/byteranges body (RFC 9110 §15.3.7.2, §14.6).
- If no part is within the body, the answer is 416 with the body's length (RFC 9110 §15.5.17).

A server may ignore Range and send the whole response (RFC 9110 §14.2). This module does so for:

- a Range that is malformed, has another unit than bytes, or comes on several lines (RFC 9110 §14.2);
- ranges that overlap, or more than 16 of them: with few bytes a client could ask for megabytes
  (RFC 9110 §17.15). Parts that do not overlap cannot be longer than the whole;
- several ranges of a body with a content coding: the coding is that of the whole body, and clients
  differ in whether they decode before or after they take the parts out (RFC 9110 §14.6);
- a body with a content coding whose entity tag is the application's: it may have given the same tag to
  the body without the coding, and the client may have parts of that one. Nor does a date in If-Range
  tell the two apart (RFC 9110 §8.8.3.3, §13.1.5);
- an empty body: some clients ask every resource for its first bytes, and here they have all of it
  (RFC 9110 §14.1.2).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import pairwise

from msgspec import Struct

from cachemw.http.conditional import has_own_tag, if_range
from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields, Pair, split_list
from cachemw.http.vary import is_coded

__all__ = ["MAX_RANGES", "Partial", "Span", "may_cut", "partial", "select"]

MAX_RANGES = 16
"""RFC 9110 §17.15 suggests that servers ignore a Range of many parts. It gives no number."""
_RANGES = re.compile(rb"bytes=(.+)", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(rb"(\d*)-(\d*)")
_HUGE = 10**18
"""More than the length of any body. int() of a million digits would cost seconds of CPU."""

# Headers that describe the whole body (RFC 9110 §8.6, §14.4; RFC 1864; RFC 9530 §2).
_WHOLE_BODY_HEADERS = frozenset(
    {b"content-digest", b"content-length", b"content-md5", b"content-range"}
)
# Headers that describe a representation. A 416 has none.
_REPRESENTATION_HEADERS = _WHOLE_BODY_HEADERS | {
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
        """Its number of bytes."""
        return self.last - self.first + 1


class Partial(Struct, frozen=True, kw_only=True):
    """A 206 with the parts, or a 416 where there are none."""

    status: int
    fields: Fields
    body: bytes


def may_cut(request: Fields, response: Fields, body: bytes) -> bool:
    """Tell whether parts of this stored body belong to the parts that the client may have already."""
    if not is_coded(response):
        return True
    # Only a tag of ours is made from the coded bytes themselves.
    dated = any(parse_date(line) is not None for line in request.values(b"if-range"))
    return not dated and has_own_tag(response, body)


def select(request: Fields, response: Fields, body_length: int) -> tuple[Span, ...] | None:
    """Return the parts that a GET asks for, in its order. Empty: 416. None: send the whole.

    `response` are the headers of a stored 200, which If-Range is compared with (RFC 9110 §13.1.5).
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
        if positions[0] < body_length:  # RFC 9110 §14.1.2: others cannot be satisfied
            spans.append(Span(*positions))
    several = len(spans) > 1
    if several and (_overlap(spans) or b"content-encoding" in response):
        return None
    return tuple(spans)


def _positions(text: bytes, body_length: int) -> tuple[int, int] | None:
    """Return first and last position of one range, or None if it is malformed (RFC 9110 §14.1.2).

    If the range cannot be satisfied, the first position is after the end of the body.
    """
    read = _RANGE.fullmatch(text)
    if read is None or text == b"-":
        return None
    first, last = read.groups()
    if not first:
        return max(0, body_length - _number(last)), body_length - 1
    start, end = _number(first), _number(last) if last else _HUGE
    return None if end < start else (start, min(end, body_length - 1))  # RFC 9110 §14.1.1


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= 18 else _HUGE


def _overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans, key=lambda span: span.first)
    return any(one.last >= other.first for one, other in pairwise(ordered))


def partial(fields: Fields, body: bytes, spans: tuple[Span, ...]) -> Partial:
    """Return the 206 with parts of a stored 200, or the 416 (RFC 9110 §15.3.7, §15.5.17)."""
    if not spans:
        return _unsatisfiable(fields, len(body))
    if len(spans) > 1:
        return _multipart(fields, body, spans)
    content = body[spans[0].first : spans[0].last + 1]
    described = fields.without(_WHOLE_BODY_HEADERS).plus(
        _content_range(spans[0], body), _content_length(content)
    )
    return Partial(status=206, fields=described, body=content)


def _multipart(fields: Fields, body: bytes, spans: tuple[Span, ...]) -> Partial:
    """Return a 206 with several parts in one body (RFC 9110 §14.6, §15.3.7.2)."""
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
    described = fields.without({*_WHOLE_BODY_HEADERS, b"content-type"}).plus(
        (b"content-type", b"multipart/byteranges; boundary=" + boundary), _content_length(content)
    )
    return Partial(status=206, fields=described, body=content)


def _boundary(parts: list[bytes]) -> bytes:
    """Return a delimiter that no part contains (RFC 2046 §5.1.1), the same for the same parts."""
    digest = blake2b(digest_size=15, person=b"cachemw-parts")
    for part in parts:
        digest.update(part)
    while True:
        boundary = digest.hexdigest().encode("ascii")
        if not any(boundary in part for part in parts):
            return boundary
        digest.update(boundary)


def _unsatisfiable(fields: Fields, body_length: int) -> Partial:
    """Return a 416 with the length of the body (RFC 9110 §15.5.17), which no cache may store."""
    kept = [
        pair
        for pair in fields
        if pair[0] not in _REPRESENTATION_HEADERS
        and pair[0] != b"expires"
        and b"cache-control" not in pair[0]
    ]
    more: list[Pair] = [
        (b"cache-control", b"no-store"),
        (b"content-range", b"bytes */%d" % body_length),
        (b"content-type", b"text/plain"),  # checkers of WSGI want a type even for an empty body
        (b"content-length", b"0"),
    ]
    return Partial(status=416, fields=Fields([*kept, *more]), body=b"")


def _content_range(span: Span, body: bytes) -> Pair:
    return b"content-range", b"bytes %d-%d/%d" % (span.first, span.last, len(body))


def _content_length(content: bytes) -> Pair:
    return b"content-length", b"%d" % len(content)
