"""The Cache-Status field (RFC 9211): what this cache did, said to whoever debugs it."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

__all__ = ["CACHE_NAME", "forwarded", "hit"]

CACHE_NAME = "cachemw"
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")  # RFC 9651 §3.3.4
_NO_STRING = re.compile(r"[^ -~]+")


def hit(ttl: int, detail: str, key: str | None = None) -> bytes:
    """Say that the answer came from the cache, with its remaining freshness in seconds (negative: stale)."""
    text = f"{CACHE_NAME}; hit; ttl={ttl}; detail={_token(detail)}"
    if key is not None:
        text += f"; key={_string(key)}"
    return text.encode("ascii")


@lru_cache(maxsize=512)  # the same few again and again, where keys are not shown
def forwarded(
    reason: str,
    *,
    fwd_status: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    ttl: int | None = None,
    key: str | None = None,
    detail: str | None = None,
) -> bytes:
    """Say that the application was asked, and why (`reason` is one of RFC 9211 §2.2's words).

    `fwd_status` is what it answered, where the client gets something else (§2.3); `collapsed`, that
    several requests shared the one that went to it (§2.6).
    """
    text = f"{CACHE_NAME}; fwd={reason}"
    if fwd_status is not None:
        text += f"; fwd-status={fwd_status}"
    if ttl is not None:
        text += f"; ttl={ttl}"
    if stored:
        text += "; stored"
    if collapsed:
        text += "; collapsed"
    if key is not None:
        text += f"; key={_string(key)}"
    if detail:
        text += f"; detail={_token(detail)}"
    return text.encode("ascii")


def _token(text: str) -> str:
    """Write a token where it is one, else a string (RFC 9211 §2.8)."""
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """Write a string (RFC 9651 §3.3.3); what it cannot hold is percent-encoded."""
    held = _NO_STRING.sub(lambda match: quote(match[0], errors="replace"), text)
    escaped = held.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
