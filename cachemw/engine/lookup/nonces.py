"""Nonces: a page whose Content-Security-Policy has a nonce, with another one for each client.

A nonce says which scripts in a page are the page's own. Whoever knows it can run scripts in the page, so each
response needs another one (CSP 3 §7.1). On a route that asks for it, the nonce that the header names is cut
out of the body and out of the header, and each client gets a new one in both places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cachemw.engine.model.holes import NONCE, Filling, Piece
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Head
from cachemw.http.storing import POLICIES

__all__ = ["nonce_pieces", "with_nonces", "without_nonces"]

_SOURCE = re.compile(rb"'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.IGNORECASE)
_SHORTEST = 16
"""Characters. CSP 3 §7.1 asks for 128 bits; what is shorter may be in a page for another reason."""
_PLACE = re.compile(rb"\{cachemw-nonce-([0-9]+)\}")


def nonce_pieces(head: Head) -> tuple[Piece, ...]:
    """Return the nonces that the header names, as pieces; none if one of them is too short."""
    nonces = dict.fromkeys(
        nonce
        for name in POLICIES
        for line in head.headers.values(name)
        for nonce in _SOURCE.findall(line)
    )
    if any(len(nonce) < _SHORTEST for nonce in nonces):
        return ()
    return tuple(
        Piece(text=nonce, name=NONCE, arguments=(str(index),), required=False)
        for index, nonce in enumerate(nonces)
    )


def without_nonces(headers: Fields, pieces: Iterable[Piece]) -> Fields:
    """Return headers with a place for each nonce in the policies."""
    places = {
        piece.text: b"{cachemw-nonce-%s}" % piece.arguments[0].encode("ascii")
        for piece in pieces
        if piece.name == NONCE
    }
    if not places:
        return headers
    return Fields(
        [
            (
                name,
                _SOURCE.sub(lambda found: places[found[1]], value) if name in POLICIES else value,
            )
            for name, value in headers.pairs
        ]
    )


def with_nonces(headers: Iterable[Pair], filling: Filling) -> list[Pair]:
    """Return headers with the nonces of one client in their places."""

    def source(found: re.Match[bytes]) -> bytes:
        return b"'nonce-%s'" % filling.text(found[1].decode("ascii"))

    return [
        (name, _PLACE.sub(source, value) if name in POLICIES else value) for name, value in headers
    ]
