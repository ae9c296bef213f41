"""The two messages that every adapter makes from its host's own: a request, and a response's head.

Rules:

- The path is keyed as it came, percent-encoding kept: `%2F` is not `/` (RFC 3986 §2.2, §6.2.2).
- Status and headers come before the body, which may be streamed (RFC 9110 §6).
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.http.fields import Fields

__all__ = ["Content", "Head", "Request"]


class Content(Struct, frozen=True):
    """A request's body, as the adapter read it."""

    data: bytes
    fault: str | None = None
    """Why the body cannot be used: a key of `reasons.FORWARDED`. None: it can. Otherwise ignore `data`."""


class Request(Struct, frozen=True, kw_only=True):
    """One request, as the application will see it."""

    method: str
    scheme: str
    mount: str
    """Where the application is mounted: ASGI `root_path`, WSGI `SCRIPT_NAME`."""
    path: str
    """The decoded path below the mount. The framework routes on it."""
    raw_path: bytes
    """The path as the client sent it, percent-encoding kept. The cache key uses it."""
    query: bytes
    headers: Fields
    content: Content | None = None
    """None: the body was not read. Only the application will read it."""


class Head(Struct, frozen=True, kw_only=True):
    """A response's status and headers, before any of its body."""

    status: int
    headers: Fields
