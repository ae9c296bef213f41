"""The knowledge of all kinds as one document, which the processes of a namespace share.

Each process adds what it has learned since it last read the document, and goes on with the result. So all
of them know what one has learned, and a process that starts knows it from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from cachemw.learning.kinds import LearnedKind
from cachemw.learning.lifetimes import Lifetimes

__all__ = ["Exchange", "name_of", "share"]

Exchange = Callable[[Callable[[bytes | None], bytes]], None]
"""Reads a document, and replaces it by what the function returns for it, unless it was changed meanwhile:
then it does so again. Raises an error if it could not."""

_DOCUMENT = msgspec.json.Decoder(dict[str, LearnedKind])


def name_of(namespace: str) -> bytes:
    """Return the name of the document in Redis."""
    return f"cachemw:{{{namespace}}}:learned".encode()


def share(lifetimes: Lifetimes, names: Iterable[str], exchange: Exchange) -> None:
    """Add to the document what this process has learned, and take over what others have.

    `names` are the kinds of the configuration. Others are left out, so that the document is bounded.
    """
    wanted = frozenset(names)

    def updated(stored: bytes | None) -> bytes:
        known = {name: kind for name, kind in _read(stored).items() if name in wanted}
        return msgspec.json.encode(lifetimes.merge(known))

    exchange(updated)
    lifetimes.adopt()


def _read(stored: bytes | None) -> dict[str, LearnedKind]:
    """Return what a document says; nothing, if it is none of ours."""
    try:
        kinds = _DOCUMENT.decode(stored or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {name: kind for name, kind in kinds.items() if kind.is_sound}
