"""The two messages every front door translates into: a request, and the head of a response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Head", "Headers", "Request"]

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
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
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A response's status and header fields, before any of its body."""

    status: int
    headers: Headers
