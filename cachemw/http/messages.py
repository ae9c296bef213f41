"""The messages between adapters and the engine: a request, the head of a response, and an answer.

Rules:

- The path is keyed as it came, percent-encoding kept: `%2F` is not `/` (RFC 3986 §2.2, §6.2.2).
- Status and headers come before the body, which may be streamed (RFC 9110 §6).
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.http.fields import Fields, Pair

__all__ = ["Answer", "Content", "Head", "Request"]


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
    """Where the application is mounted, decoded: ASGI `root_path`, WSGI `SCRIPT_NAME`. No final slash."""
    path: str
    """The decoded path below the mount. The framework routes on it."""
    raw_path: bytes
    """The path as the server got it, percent-encoding kept. It has the mount in it, unless something in front
    of the server took that off. The cache key uses it."""
    query: bytes
    headers: Fields
    outer: tuple[Pair, ...] = ()
    """What the server and outer middleware say about the client, beside the headers: `:remote-user` and
    others, see `engine.privacy.identity_headers`. The colon keeps it apart from what a client can send."""
    content: Content | None = None
    """None: the body was not read. Only the application will read it."""


class Head(Struct, frozen=True, kw_only=True):
    """A response's status and headers, before any of its body."""

    status: int
    headers: Fields


class Answer(Struct, frozen=True, kw_only=True):
    """A status and headers for the client, instead of those of the application."""

    status: int
    headers: list[Pair]
    body: bytes | None
    """None: the application's body follows. Bytes: this is the body, whatever the application sends."""
