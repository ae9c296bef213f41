"""Pieces of a response that are for one client: `hole`, for applications.

    <p>Basket: {{ hole("basket") }}</p>

The application names a function that makes such a piece from a request (`Cache(holes=…)`, or `holes` in the
configuration), and calls `hole` where the piece belongs. If the response may be stored, `hole` returns a
placeholder, which is cut out of what is stored; each client gets what the function returns for it. If not,
`hole` calls the function at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex

from cachemw.engine.model.holes import Fill, Piece
from cachemw.recording.context import open_recording, passing

__all__ = ["hole"]

_RANDOM = 16
"""Bytes that make a placeholder unlike any other text: nobody can guess it (I1)."""


class _Markup(str):
    """A text that templates do not escape."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def hole(name: str, *arguments: str) -> str:
    """Return a piece for one client to put into a response, as text that templates do not escape.

    `name` is that of a function given to `Cache(holes=…)` or named in the configuration. It is called
    with the request and `arguments`: for this response or, if the response is stored, at each hit.
    Raises LookupError outside of a request that passes through a cache with such a function, and what
    the function raises if it is called at once.
    """
    recording = open_recording()
    known = passing.get() if recording is None else recording.client
    if known is None:
        raise LookupError(
            f"hole({name!r}): no request is being answered by a cache with holes here"
        )
    fills, request = known
    if name not in fills:
        raise LookupError(f"hole({name!r}): no function of that name; there are {_names(fills)}")
    if recording is not None and recording.has_open_holes:
        placeholder = f"cachemw-hole-{token_hex(_RANDOM)}"
        text = placeholder.encode("ascii")
        recording.add_piece(Piece(text=text, name=name, arguments=arguments, placeholder=True))
        return _Markup(placeholder)
    text = fills[name](request).text(*arguments)
    if recording is not None:
        recording.lose_piece(text)
    return _Markup(text.decode())


def _names(fills: Mapping[str, Fill]) -> str:
    return ", ".join(sorted(name for name in fills if name[0] != ":")) or "none"
