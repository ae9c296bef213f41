"""What is taken out of a page for one client: what is put in again gives the page, and no more is lost."""

from __future__ import annotations

import gzip
from types import SimpleNamespace
from typing import Any

from cachemw.engine.keeping.cutting import cut
from cachemw.engine.lookup.filling import fill, is_current
from cachemw.engine.lookup.nonces import nonce_pieces
from cachemw.engine.model.holes import NONCE, Filling, Piece
from cachemw.http.fields import Fields
from cachemw.http.messages import Head, Request

from .inputs import fields, sections

__all__ = ["fuzz_cutting"]

_LIMIT = 1 << 16


def fuzz_cutting(data: bytes) -> None:
    """A request's head, a response's head, the pieces, one a line, and the body."""
    asked, lines, texts, body = sections(data, 4)
    head = Head(status=200, headers=fields(lines))
    pieces = tuple(
        Piece(text=each, name="a", arguments=(str(number),), cookie=b"own", required=number > 0)
        for number, each in enumerate(texts.split(b"\n"))
        if each
    )
    nonces = nonce_pieces(head)
    parts = cut(head, body, pieces + nonces, _LIMIT)
    if parts is None:
        return
    by_index = {piece.arguments[0]: piece.text for piece in pieces}
    in_header = {piece.arguments[0]: piece.text for piece in nonces}
    engine: Any = SimpleNamespace(
        fills={
            "a": lambda _: Filling(text=by_index.__getitem__, state=b"ann"),
            NONCE: lambda _: Filling(text=lambda index: in_header.get(index, b"")),
        }
    )
    request = Request(
        method="GET",
        scheme="http",
        mount="",
        path="/",
        raw_path=b"/",
        query=b"",
        headers=fields(asked),
    )
    answer = fill(engine, parts.head.headers.pairs, parts.body, parts.holes, request)
    coded = b"content-encoding" in head.headers
    assert answer.body == (gzip.decompress(body) if coded else body)
    assert _policies(Fields(answer.headers)) == _policies(head.headers)
    assert [line for line in parts.head.headers.values(b"set-cookie") if _is_own(line)] == [] or (
        not pieces
    )
    is_current(request, answer)


def _policies(headers: Fields) -> list[bytes]:
    return [line.lower() for line in headers.values(b"content-security-policy")]


def _is_own(line: bytes) -> bool:
    return line.partition(b"=")[0].strip() == b"own"
