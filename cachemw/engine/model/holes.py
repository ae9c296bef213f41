"""Holes: places in a stored body that are filled anew for each client.

An application puts a piece into its response that is for one client only: the token of a form, the number
of things in a basket. It says so while it makes the response, and the piece is cut out of what is stored
(`keeping.cutting`). Each client gets a piece of its own put in (`lookup.filling`).

What says so is the code that makes the piece: nothing is searched for that merely looks like a token.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cachemw.http.fields import Pair
from cachemw.http.messages import Request

__all__ = ["NONCE", "Fill", "Filling", "Hole", "Piece"]


NONCE = ":nonce"
"""The name of the holes for nonces. Names with a colon are not for applications."""


class Hole(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A place in a stored body."""

    at: int
    """Where it is: bytes of the stored body before it."""
    name: str
    """What fills it: a key of `Engine.fills`."""
    arguments: tuple[str, ...] = ()


class Piece(Struct, frozen=True, kw_only=True):
    """A piece that the application put into a response, for one client."""

    text: bytes
    """The piece as it is in the body: so long and so random that nothing else can be equal to it."""
    name: str
    arguments: tuple[str, ...] = ()
    cookie: bytes = b""
    """The name of the cookie that belongs to it. The stored response does not set that."""
    placeholder: bool = False
    """Whether the text stands for the piece, and may go out to nobody."""
    required: bool = True
    """Whether the response may be stored only if the piece is found in it."""


class Filling(Struct, frozen=True, kw_only=True):
    """The text and headers for one client, for all holes of one name."""

    text: Callable[..., bytes]
    """Returns the piece for a hole, by the arguments of the hole."""
    headers: tuple[Pair, ...] = ()
    """Headers for this client, such as a Set-Cookie."""
    state: bytes | None = None
    """What of the client decides whether a page that it has is still good for it. None: unknown.

    It becomes part of the entity tag, as a digest, so that a 304 is sent only while it is the same.
    """


Fill = Callable[[Request], Filling]
"""Returns what a client gets. It is called at every hit, so it must be fast, and must not wait."""
