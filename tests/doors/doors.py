"""The seven front doors: which framework stands behind which, and the client in front of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from cachemw import Cache
from cachemw.asgi import CacheMiddleware as AsgiMiddleware
from cachemw.django import get_cache
from cachemw.starlette import CacheMiddleware as StarletteMiddleware
from cachemw.wsgi import CacheMiddleware as WsgiMiddleware

from . import apps_asgi, apps_django, apps_wsgi
from .language import Call, Fields, Handler, Origin, Reply, pairs_of
from .server_asgi import AsgiServer
from .server_wsgi import WsgiServer

__all__ = ["ASGI_APPS", "DOORS", "MANY_FIELDS", "Door", "open_door"]

DOORS = ("asgi", "wsgi", "starlette", "fastapi", "django-sync", "django-async", "flask")
ASGI_APPS = ("asgi", "starlette", "fastapi")
"""Where the application itself speaks ASGI."""
MANY_FIELDS = ("asgi", "wsgi", "starlette", "fastapi", "flask")
"""Where a response can have one field on two lines; Django's are a mapping."""

Server = AsgiServer | WsgiServer


class Door:
    """A client of one application behind one front door."""

    def __init__(self, kind: str, server: Server, origin: Origin, cache: Cache) -> None:
        self.kind = kind
        self.server = server
        self.origin = origin
        self.cache = cache

    @property
    def hang_ups(self) -> tuple[str, ...]:
        """The ways in which this door learns that the client went away."""
        return self.server.hang_ups

    @property
    def calls(self) -> int:
        """How often handlers were called."""
        return len(self.origin.asked)

    @property
    def seen(self) -> Any:
        """The last request that a handler saw."""
        return self.origin.asked[-1]

    def get(self, target: str, headers: Fields = (), **further: Any) -> Reply:
        """Make one request; GET unless `method` says otherwise."""
        return self.ask(Call(target=target, headers=pairs_of(headers), **further))

    def ask(self, call: Call) -> Reply:
        """Make one request."""
        return self.server.ask(call).at(self.calls)

    def from_inside(self, target: str) -> Reply:
        """Make a GET as a handler does that asks its own application in process."""
        if isinstance(self.server, WsgiServer):
            return self.server.ask(Call(target=target))
        replies = []

        def ask() -> None:  # the handler holds up its loop, so the request needs another
            server = AsgiServer(self.server.app, any_case=self.kind == "django-async")
            with closing(server):
                replies.append(server.ask(Call(target=target)))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return replies[0]

    def together(
        self, calls: Sequence[Call], *, when: Callable[[], bool], then: Callable[[], object]
    ) -> list[Reply]:
        """Make requests at once: begin them in order, and act when a condition holds."""
        replies = self.server.together(calls, when, then)
        return [reply.at(self.calls) for reply in replies]

    def waiting(self, count: int) -> Callable[[], bool]:
        """Give the condition that so many requests wait for another's answer."""
        return lambda: self.cache._core.engine.flights.waiting == count

    def until(self, condition: Callable[[], bool]) -> None:
        """Let background work go on until a condition holds."""
        self.server.until(condition)

    def idle(self) -> bool:
        """Say whether no flight is under way."""
        return not self.cache._core.engine.flights.open


@contextmanager
def open_door(
    kind: str,
    handlers: Mapping[str, Handler],
    config: dict[str, Any],
    *,
    outside: Callable[[Any], Any] = lambda app: app,
    **options: Any,
) -> Iterator[Door]:
    """Mount handlers behind a front door; `outside` may wrap what the server is given."""
    origin = Origin(handlers)
    with _behind(kind, origin, config, options) as (app, cache):
        server: Server
        if kind in (*ASGI_APPS, "django-async"):
            server = AsgiServer(outside(app), any_case=kind == "django-async")
        else:
            server = WsgiServer(outside(app))
        try:
            yield Door(kind, server, origin, cache)
        finally:
            server.close()
            cache.close()


@contextmanager
def _behind(
    kind: str, origin: Origin, config: dict[str, Any], options: dict[str, Any]
) -> Iterator[tuple[Any, Cache]]:
    if kind.startswith("django"):
        loops = kind == "django-async"
        # Of what Django's own cookies do by default, the tests of its front door tell.
        config = {"personal_cookies": [], **config}
        apps_django.configure()
        with override_settings(**apps_django.settings_for(origin, config, loops=loops)):
            if not loops:
                yield WSGIHandler(), get_cache()
                return
            with closing(apps_django.LoopHandler()) as handler:
                yield handler, get_cache()
        return
    cache = Cache.from_dict(config, **options)
    app: Any
    match kind:
        case "asgi":
            app = AsgiMiddleware(apps_asgi.Bare(origin), cache=cache)
        case "starlette":
            app = apps_asgi.with_starlette(origin)
            app.add_middleware(StarletteMiddleware, cache=cache)
        case "fastapi":
            app = apps_asgi.with_fastapi(origin)
            app.add_middleware(StarletteMiddleware, cache=cache)
        case "wsgi":
            app = WsgiMiddleware(apps_wsgi.bare(origin), cache=cache)
        case "flask":
            app = apps_wsgi.with_flask(origin)
            app.wsgi_app = WsgiMiddleware(app.wsgi_app, cache=cache)
    yield app, cache
