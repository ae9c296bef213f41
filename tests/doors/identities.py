"""Identity functions, for routes to name as `module:function`: the one way that Django has, too."""

from __future__ import annotations

from cachemw.http.messages import Request


def principal(request: Request) -> str | None:
    """Name the principal by a field."""
    return _text(request.headers.first(b"x-user"))


def session(request: Request) -> str | None:
    """Name the principal by the whole Cookie field."""
    return _text(request.headers.first(b"cookie"))


def remote_user(request: Request) -> str | None:
    """Name the principal by what the server says."""
    return _text(dict(request.outer).get(b":remote-user"))


def broken(request: Request) -> str | None:
    """Fail."""
    raise LookupError(request.path)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
