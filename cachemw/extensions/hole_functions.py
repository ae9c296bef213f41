"""Functions of the application that fill holes: what each client gets in its place in a stored response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any

from cachemw.config import Config
from cachemw.engine.model.holes import NONCE, Fill, Filling
from cachemw.errors import ConfigError, Problem
from cachemw.extensions.identity import import_function
from cachemw.http.messages import Request

__all__ = ["Render", "resolve_holes"]

_NONCE = 16
"""Bytes of a nonce, as CSP 3 §7.1 asks for."""

Render = Callable[..., str | bytes]
"""Called with the request and the arguments of the hole. It must be fast, and must not wait."""


def resolve_holes(config: Config, given: Mapping[str, Any]) -> dict[str, Fill]:
    """Return what fills each hole: functions given to `Cache(holes=…)`, those in `holes`, our own.

    Raises one ConfigError that lists all names without a function.
    """
    found: dict[str, Fill] = {}
    problems = []
    for name, function in config.holes.items():
        try:
            found[name] = _fill_of(import_function(function))
        except (ImportError, AttributeError, ValueError) as error:
            problems.append(Problem(f"holes.{name}", f"{function!r}: {error}"))
        except Exception as error:  # of the module, while it is imported
            message = f"{function!r} cannot be imported: {type(error).__name__}: {error}"
            problems.append(Problem(f"holes.{name}", message))
    for name, render in given.items():
        if callable(render):
            found[name] = _fill_of(render)
        else:
            problems.append(Problem(f"holes.{name}", "is not callable"))
    if problems:
        raise ConfigError(problems)
    if any(route.csp_nonce for route in config.routes):
        found[NONCE] = _fill_nonces
    return found


def _fill_nonces(request: Request) -> Filling:
    """Return new nonces: each the same in the header and in the body."""
    nonces: dict[str, bytes] = {}

    def text(index: str) -> bytes:
        if index and index not in nonces:
            nonces[index] = token_urlsafe(_NONCE).encode("ascii")
        return nonces.get(index, b"")

    return Filling(text=text)


def _fill_of(render: Render) -> Fill:
    def fill(request: Request) -> Filling:
        def text(*arguments: str) -> bytes:
            piece = render(request, *arguments)
            return piece if isinstance(piece, bytes) else piece.encode()

        return Filling(text=text)

    return fill
