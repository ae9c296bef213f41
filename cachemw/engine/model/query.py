"""The query as a route reads it.

I7: the same bytes are part of the key and are what the application sees, so a parameter that is not in the
key cannot change the response.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_plus

__all__ = ["QueryReader", "query_reader"]

QueryReader = Callable[[bytes], bytes]


def query_reader(read: tuple[str, ...] | None, ignored: tuple[str, ...]) -> QueryReader:
    """Return a function that reduces a query to the parameters that a route reads, or does not ignore.

    The pieces stay raw bytes: `a` is not `a=`, and `%FF` is not `%FE`. If the route lists its parameters,
    their order does not count: pieces are sorted by name, and repeated ones keep their order.
    """
    if read is not None:
        listed = frozenset(read)
        return lambda query: _join(
            sorted((p for p in _pieces(query) if p[0] in listed), key=lambda piece: piece[0])
        )
    if ignored:
        exact = frozenset(name for name in ignored if not name.endswith("*"))
        prefixes = tuple(name[:-1] for name in ignored if name.endswith("*"))
        return lambda query: _join(
            [p for p in _pieces(query) if p[0] not in exact and not p[0].startswith(prefixes)]
        )
    return lambda query: query


def _pieces(query: bytes) -> list[tuple[str, bytes]]:
    if not query:
        return []
    return [
        (unquote_plus(piece.partition(b"=")[0].decode("latin-1"), errors="replace"), piece)
        for piece in query.split(b"&")
    ]


def _join(pieces: list[tuple[str, bytes]]) -> bytes:
    return b"&".join(raw for _, raw in pieces)
