"""Fields that belong to one connection, and end with it (RFC 9110 §7.6.1)."""

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
    """Give the names of a message's fields that no cache keeps: those, and what Connection names."""
    if b"connection" not in fields:
        return HOP_BY_HOP
    # These are tokens, which are never quoted: a quote must not hide the names behind it.
    listed = b",".join(fields.values(b"connection")).lower().split(b",")
    return HOP_BY_HOP.union(name.strip() for name in listed)
