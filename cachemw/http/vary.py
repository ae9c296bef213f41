"""Which request fields select a stored response (RFC 9111 §4.1)."""

from __future__ import annotations

from cachemw.http.fields import has, members, values
from cachemw.http.messages import Headers

__all__ = ["Selecting", "matches", "selecting", "varies_on"]

Selecting = tuple[tuple[bytes, bytes | None], ...]
"""Selecting fields, sorted by name, with the request's combined value; None where it had none."""


def varies_on(headers: Headers) -> tuple[bytes, ...] | None:
    """Give the lower-case names in Vary, sorted, over all its lines; None when one of them is `*`."""
    if not has(headers, b"vary"):
        return ()
    names = {name.lower() for name in members(headers, b"vary")}
    if any(name == b"*" for name in names):
        return None
    return tuple(sorted(names))


def selecting(names: tuple[bytes, ...], request_headers: Headers) -> Selecting:
    """Read the selecting fields out of a request. An empty value is not an absent one."""
    chosen: list[tuple[bytes, bytes | None]] = []
    for name in names:
        lines = values(request_headers, name)
        chosen.append((name, b", ".join(lines) if lines else None))
    return tuple(chosen)


def matches(wanted: Selecting, request_headers: Headers) -> bool:
    """Say whether a request selects the response stored with these fields."""
    return selecting(tuple(name for name, _ in wanted), request_headers) == wanted
