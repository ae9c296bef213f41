"""Which request fields select a stored response (RFC 9111 §4.1)."""

from __future__ import annotations

import re

from cachemw.http.fields import Fields
from cachemw.http.negotiation import normalised

__all__ = ["Selecting", "selecting", "varies_on"]

Selecting = tuple[tuple[bytes, bytes | None], ...]
"""Selecting fields, sorted by name, with the request's combined and normalised value; None: absent."""

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def varies_on(fields: Fields) -> tuple[bytes, ...] | None:
    """Give the lower-case names in Vary, sorted, over all its lines; None when one of them is `*`.

    What is no field name might be meant for any, so it counts as `*`.
    """
    if b"vary" not in fields:
        return ()
    names = {name.lower() for name in fields.members(b"vary")}
    if any(name == b"*" or not _NAME.fullmatch(name) for name in names):
        return None
    return tuple(sorted(names))


def selecting(names: tuple[bytes, ...], fields: Fields) -> Selecting:
    """Read the selecting fields out of a request. An empty value is not an absent one."""
    chosen: list[tuple[bytes, bytes | None]] = []
    for name in names:
        lines = fields.values(name)
        chosen.append((name, normalised(name, b", ".join(lines)) if lines else None))
    return tuple(chosen)
