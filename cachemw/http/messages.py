"""Messages between front doors and the engine: a request, the head of a response, and an answer."""

from __future__ import annotations

from msgspec import Struct

from cachemw.http.fields import Fields, Pair

__all__ = ["Answer", "Content", "Head", "Request"]


class Content(Struct, frozen=True):
    """A request's body as the front door read it."""

    data: bytes
    fault: str | None = None
    """Why it cannot be used, if so: a key of `reasons.FORWARDED`. Then `data` says nothing."""


class Request(Struct, frozen=True, kw_only=True):
    """One request, as the application will see it."""

    method: str
    scheme: str
    mount: str
    """Where the application is mounted: ASGI `root_path`, WSGI `SCRIPT_NAME`."""
    path: str
    """The decoded path below the mount: what the framework routes on."""
    raw_path: bytes
    """The path as it came over the wire, percent-encoding kept: what is keyed."""
    query: bytes
    headers: Fields
    content: Content | None = None
    """None: the body was not read, and only the application will see it."""


class Head(Struct, frozen=True, kw_only=True):
    """A response's status and header fields, before any of its body."""

    status: int
    headers: Fields


class Answer(Struct, frozen=True, kw_only=True):
    """What is sent to the client instead of the application's own head."""

    status: int
    headers: list[Pair]
    body: bytes | None
    """None: the application's body follows. Bytes: this is the body, whatever the application sends."""
