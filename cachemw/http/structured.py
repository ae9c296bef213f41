"""Structured fields, as far as caching needs them: bare values without parameters.

Rules:

- All lines of one header are joined and parsed as one value (RFC 9651 §4.2).
- One mistake makes the whole header void, as if it were not there (RFC 9651 §4.2).
- Parameters may follow any member; those that are not known are ignored (RFC 9651 §3.1.2).
"""

from __future__ import annotations

from typing import Any

import http_sf

__all__ = ["dictionary", "strings"]


def dictionary(lines: tuple[bytes, ...]) -> dict[str, Any]:
    """Parse a dictionary (RFC 9651 §3.2) from all lines of a header; empty if it is not one.

    A value is an int, a bool, a str (for a string), or another type, such as an inner list.
    """
    try:
        members = http_sf.parse(b", ".join(lines), tltype="dictionary")
    except http_sf.StructuredFieldError:
        return {}
    assert isinstance(members, dict)
    return {key: _bare(member) for key, member in members.items()}


def strings(lines: tuple[bytes, ...]) -> tuple[str, ...]:
    """Parse a list of strings (RFC 9651 §3.1, §3.3.3) from all lines; empty if it is anything else."""
    try:
        members = http_sf.parse(b", ".join(lines), tltype="list")
    except http_sf.StructuredFieldError:
        return ()
    assert isinstance(members, list)
    values = [_bare(member) for member in members]
    return tuple(values) if all(isinstance(value, str) for value in values) else ()


def _bare(member: Any) -> Any:
    """Return a member without its parameters (RFC 9651 §3.1.2)."""
    return member[0] if isinstance(member, tuple) else member
