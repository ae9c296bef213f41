"""Doors behind a server or middleware that puts into a request who is asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from . import doors
from .doors import DOORS, Door
from .language import Handler

__all__ = ["ENVIRON_DOORS", "SCOPE_DOORS", "Put", "opened_behind"]

ENVIRON_DOORS = ("wsgi", "flask", "django-sync")
SCOPE_DOORS = tuple(kind for kind in DOORS if kind not in ENVIRON_DOORS)

Put = Callable[[dict[str, Any], str | None], None]
"""Puts the client that the header `X-As` names, if it was sent, into an environ or a scope."""


def opened_behind(
    put: Put, kind: str, handlers: Mapping[str, Handler], config: Mapping[str, Any]
) -> AbstractContextManager[Door]:
    """Open a door behind what `put` does. The application does not see the header `X-As`."""

    def outside(app: Any) -> Any:
        if kind in ENVIRON_DOORS:

            def serve(environ: dict[str, Any], start_response: Any) -> Any:
                put(environ, environ.pop("HTTP_X_AS", None))
                return app(environ, start_response)

            return serve

        async def aserve(scope: dict[str, Any], receive: Any, send: Any) -> None:
            headers = dict(scope["headers"])
            who = headers.pop(b"x-as", None)
            scope = {**scope, "headers": list(headers.items())}
            put(scope, None if who is None else who.decode())
            await app(scope, receive, send)

        return aserve

    return doors.open_door(kind, handlers, config, outside=outside)
