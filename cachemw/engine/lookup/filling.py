"""Filling: putting the pieces of one client into the holes of a stored response.

What varies from client to client is no part of the stored entity tag, so a client gets another one: a weak
tag (RFC 9110 §8.8.1: the bytes differ from answer to answer) that also depends on the client's state. So
what a client has is called current only while its own pieces in it are. Where that state is unknown there
is no entity tag, and always the whole answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct

from cachemw.engine.core.engine import Engine
from cachemw.engine.lookup.nonces import with_nonces
from cachemw.engine.model.holes import NONCE, Filling, Hole
from cachemw.http.conditional import same_weak, wanted_tags
from cachemw.http.fields import Pair
from cachemw.http.messages import Request

__all__ = ["FillError", "Filled", "fill", "is_current"]

_REPLACED = frozenset({b"accept-ranges", b"content-length", b"etag", b"last-modified"})
"""Headers of a stored response that are not true of a filled one."""


class FillError(Exception):
    """A function of the application that fills a hole has raised; the cause says what."""


class Filled(Struct, frozen=True):
    """A response for one client."""

    headers: list[Pair]
    body: bytes


def fill(
    engine: Engine, headers: Sequence[Pair], body: bytes, holes: Sequence[Hole], request: Request
) -> Filled:
    """Fill the holes of a response for the client of a request.

    Raises FillError where the function for a hole is not known here, or raises.
    """
    try:
        return _fill(engine, headers, body, holes, request)
    except Exception as error:
        names = ", ".join(sorted({hole.name for hole in holes}))
        raise FillError(f"cannot fill {names}: {error!r}") from error


def _fill(
    engine: Engine, headers: Sequence[Pair], body: bytes, holes: Sequence[Hole], request: Request
) -> Filled:
    fillings: dict[str, Filling] = {}
    texts: dict[tuple[str, tuple[str, ...]], bytes] = {}
    parts: list[bytes] = []
    at = 0
    for hole in holes:
        same = hole.name, hole.arguments
        text = texts.get(same)
        if text is None:
            filling = fillings.get(hole.name)
            if filling is None:
                filling = fillings[hole.name] = engine.fills[hole.name](request)
            text = texts[same] = filling.text(*hole.arguments)
        parts += (body[at : hole.at], text)
        at = hole.at
    parts.append(body[at:])
    whole = b"".join(parts)
    own = [pair for pair in headers if pair[0] not in _REPLACED]
    if NONCE in fillings:
        own = with_nonces(own, fillings[NONCE])
    own.append((b"content-length", b"%d" % len(whole)))
    tag = _entity_tag(headers, fillings)
    if tag is not None:
        own.append((b"etag", tag))
    for filling in fillings.values():
        own += filling.headers
    return Filled(own, whole)


def is_current(request: Request, filled: Filled) -> bool:
    """Tell whether the client has this very response, with its own pieces (RFC 9110 §13.1.2).

    A time, or `*`, tells nothing about the pieces.
    """
    tags = [value for name, value in filled.headers if name == b"etag"]
    return any(same_weak(tag, each) for tag in tags for each in wanted_tags(request.headers))


def _entity_tag(headers: Sequence[Pair], fillings: dict[str, Filling]) -> bytes | None:
    stored = [value for name, value in headers if name == b"etag"]
    if not stored:
        return None
    digest = blake2b(stored[0], digest_size=15)
    for name, filling in sorted(fillings.items()):
        if filling.state is None:
            return None
        digest.update(b"\0%s\0%s" % (name.encode(), filling.state))
    return b'W/"%s"' % digest.hexdigest().encode("ascii")
