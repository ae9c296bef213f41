"""The Cache-Status field (RFC 9211): what this cache did, said to whoever debugs it."""

from __future__ import annotations

__all__ = ["CACHE_NAME", "forwarded", "hit"]

CACHE_NAME = "cachemw"


def hit(ttl: int, detail: str) -> bytes:
    """Say that the answer came from the cache, with its remaining freshness in seconds (negative: stale)."""
    return f"{CACHE_NAME}; hit; ttl={ttl}; detail={detail}".encode("ascii")


def forwarded(reason: str, *, stored: bool = False, detail: str | None = None) -> bytes:
    """Say that the application was asked, and why (`reason` is one of RFC 9211 §2.2's words)."""
    text = f"{CACHE_NAME}; fwd={reason}"
    if stored:
        text += "; stored"
    if detail:
        text += f"; detail={detail}"
    return text.encode("ascii")
