"""Cutting: taking the pieces that are for one client out of a response, before it is stored.

I1: what is stored holds no piece of anybody. The pieces are known exactly, because the code that made them
told so while the response was made. Each must be found in the body, as it is. If one is not, the
application has done something to it (coded it, put it into a header), and the response must not be stored.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from msgspec import Struct

from cachemw.engine.lookup.nonces import without_nonces
from cachemw.engine.model.holes import NONCE, Hole, Piece
from cachemw.http.fields import Fields
from cachemw.http.messages import Head

__all__ = ["Cut", "cut", "cut_head"]

_OF_THE_BODY = frozenset(
    {b"content-digest", b"content-length", b"content-md5", b"digest", b"repr-digest"}
)
"""Headers that describe the very bytes of a body (RFC 9110 §8.6, RFC 9530)."""
_GZIP = frozenset({b"gzip", b"x-gzip"})
_WITH_HEADER = 31
"""zlib's window bits for the format of gzip, with the largest window."""


class Cut(Struct, frozen=True):
    """A response without the pieces."""

    head: Head
    body: bytes
    holes: tuple[Hole, ...]


def cut(head: Head, body: bytes, pieces: Sequence[Piece], max_size: int) -> Cut | None:
    """Return a response with holes in place of its pieces; None if a piece cannot be followed.

    A body in gzip is unpacked, to at most `max_size` bytes, and stays so.
    """
    headers = cut_head(head, pieces).headers
    coding = headers.first(b"content-encoding")
    if coding is not None:
        unpacked = _unpacked(coding, body, max_size)
        if unpacked is None:
            return None
        body, headers = unpacked, headers.without((b"content-encoding",))
    if any(piece.text and piece.text in value for piece in pieces for _, value in headers.pairs):
        return None
    found = _places(body, pieces)
    if found is None:
        return None
    kept, holes, at, size = [], [], 0, 0
    for place, piece in found:
        if place < at:  # two pieces share bytes
            return None
        kept.append(body[at:place])
        size += place - at
        holes.append(Hole(size, piece.name, piece.arguments))
        at = place + len(piece.text)
    kept.append(body[at:])
    if any(piece.name == NONCE for piece in pieces):  # there may be none in the body
        holes.append(Hole(size + len(kept[-1]), NONCE, ("",)))
    headers = headers.without(_OF_THE_BODY)
    return Cut(Head(status=head.status, headers=headers), b"".join(kept), tuple(holes))


def cut_head(head: Head, pieces: Sequence[Piece]) -> Head:
    """Return the head without what belongs to pieces: cookies, and nonces in its policies."""
    headers = without_nonces(head.headers, pieces)
    names = {piece.cookie for piece in pieces if piece.cookie}
    if not names or b"set-cookie" not in headers:
        return Head(status=head.status, headers=headers)
    pairs = [
        (name, value)
        for name, value in headers.pairs
        if name != b"set-cookie" or value.partition(b"=")[0].strip() not in names
    ]
    return Head(status=head.status, headers=Fields(pairs))


def _places(body: bytes, pieces: Sequence[Piece]) -> list[tuple[int, Piece]] | None:
    """Return where the pieces are, in order; None if one that is required is nowhere."""
    found: list[tuple[int, Piece]] = []
    for piece in pieces:
        if not piece.text:  # only its cookie counts
            found.append((len(body), piece))
            continue
        before, at = len(found), body.find(piece.text)
        while at >= 0:
            found.append((at, piece))
            at = body.find(piece.text, at + len(piece.text))
        if piece.required and len(found) == before:
            return None
    return sorted(found, key=lambda each: each[0])


def _unpacked(coding: bytes, body: bytes, max_size: int) -> bytes | None:
    """Return a body without its coding; None if that is not gzip, or the result is too large or broken."""
    if coding.strip().lower() not in _GZIP:
        return None
    unpacker = zlib.decompressobj(_WITH_HEADER)
    try:
        unpacked = unpacker.decompress(body, max_size + 1)
    except zlib.error:
        return None
    whole = unpacker.eof and not unpacker.unused_data and len(unpacked) <= max_size
    return unpacked if whole else None
