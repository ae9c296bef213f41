"""Headers that belong to one connection, so that no cache stores them.

Rules:

- These are Connection, what it names, and a fixed list of others (RFC 9110 §7.6.1).
- A cache does not store them (RFC 9111 §3.1).
"""

from __future__ import annotations

from cachemw.http.fields import Fields

__all__ = ["HOP_BY_HOP", "connection_fields"]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def connection_fields(fields: Fields) -> frozenset[bytes]:
    """Return the names of headers that end with the connection: `HOP_BY_HOP`, and what Connection names."""
    if b"connection" not in fields:
        return HOP_BY_HOP
    # Connection options are tokens, never quoted (RFC 9110 §7.6.1). So this splits at every comma: a
    # stray quote must not hide the names after it.
    listed = b",".join(fields.values(b"connection")).lower().split(b",")
    return HOP_BY_HOP.union(name.strip() for name in listed)
