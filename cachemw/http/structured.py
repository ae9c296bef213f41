"""Structured fields (RFC 9651) as far as caching needs them: bare values, no parameters."""

from __future__ import annotations

from typing import Any

import http_sf

__all__ = ["dictionary", "strings"]


def dictionary(lines: tuple[bytes, ...]) -> dict[str, Any]:
    """Read a dictionary over all its lines; empty where it is empty or is none.

    A value is an int, a bool, a str where it is a string, or of another type, inner lists included.
    """
    try:
        members = http_sf.parse(b", ".join(lines), tltype="dictionary")
    except http_sf.StructuredFieldError:
        return {}
    assert isinstance(members, dict)
    return {key: _bare(member) for key, member in members.items()}


def strings(lines: tuple[bytes, ...]) -> tuple[str, ...]:
    """Read a list of strings over all its lines; empty where it is none or holds anything else."""
    try:
        members = http_sf.parse(b", ".join(lines), tltype="list")
    except http_sf.StructuredFieldError:
        return ()
    assert isinstance(members, list)
    values = [_bare(member) for member in members]
    return tuple(values) if all(isinstance(value, str) for value in values) else ()


def _bare(member: Any) -> Any:
    """Take the parameters off."""
    return member[0] if isinstance(member, tuple) else member
