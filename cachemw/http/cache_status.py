"""The Cache-Status header, which tells clients what this cache did.

Rules:

- A hit has `hit`, the remaining freshness (`ttl`, negative: stale), and a `detail`
  (RFC 9211 §2.1, §2.4, §2.8).
- Everything else has `fwd` with one of the reasons of RFC 9211 §2.2, and where they apply
  `fwd-status`, `ttl`, `stored`, `collapsed`, `key` and `detail` (RFC 9211 §2.3 to §2.8).
- The name of the cache and the reasons are tokens; keys are strings (RFC 9211 §2, RFC 9651 §3.3.3,
  §3.3.4).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

__all__ = ["CACHE_NAME", "forwarded", "hit"]

CACHE_NAME = "cachemw"
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")  # RFC 9651 §3.3.4
_NOT_IN_STRING = re.compile(r"[^ -~]+")


def hit(ttl: int, detail: str, key: str | None = None) -> bytes:
    """Return the value for an answer from the cache (RFC 9211 §2.1).

    `ttl` is its remaining freshness in seconds; negative: stale (RFC 9211 §2.4).
    """
    text = f"{CACHE_NAME}; hit; ttl={ttl}; detail={_token(detail)}"
    if key is not None:
        text += f"; key={_string(key)}"
    return text.encode("ascii")


@lru_cache(maxsize=512)  # without keys there are only a few different values
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
    """Return the value for a request that went to the application.

    `reason` says why; it is one of the words in RFC 9211 §2.2. `fwd_status` is the application's
    status, if the client gets another one (§2.3). `collapsed` says that several requests shared one
    call (§2.6).
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
    """Write a token if the text is one, else a string (RFC 9211 §2.8)."""
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """Write a string (RFC 9651 §3.3.3). Characters that it cannot hold are percent-encoded."""
    safe = _NOT_IN_STRING.sub(lambda match: quote(match[0], errors="replace"), text)
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
