"""A site of a few views behind the cache, asked through Django's own handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.test import override_settings
from django.urls import path

from cachemw import Cache
from cachemw.django import get_cache
from tests.doors.apps_django import LoopHandler, configure
from tests.doors.language import Call, Reply, pairs_of
from tests.doors.server_asgi import AsgiServer
from tests.doors.server_wsgi import WsgiServer

__all__ = ["CACHE", "DOORS", "INSIDE", "OUTSIDE", "Site", "async_only", "open_site", "sync_only"]

CACHE = "cachemw.django.CacheMiddleware"
_HERE = __name__
INSIDE = [CACHE, f"{_HERE}.sync_only"]
OUTSIDE = [f"{_HERE}.sync_only", CACHE]
DOORS: Mapping[str, tuple[str, list[str]]] = {
    "wsgi": ("wsgi", [CACHE]),
    "wsgi, asynchronous middleware inside": ("wsgi", [CACHE, f"{_HERE}.async_only"]),
    "asgi": ("asgi", [CACHE]),
    "asgi, synchronous middleware inside": ("asgi", INSIDE),
    "asgi, synchronous middleware outside": ("asgi", OUTSIDE),
}
"""How Django can be made to run the cache: the interface, and the middleware."""

View = Callable[..., Any]


def sync_only(get_response: Any) -> Any:
    """Be a middleware that Django runs in threads only."""
    return lambda request: get_response(request)


def async_only(get_response: Any) -> Any:
    """Be a middleware that Django runs in event loops only."""

    async def answer(request: HttpRequest) -> Any:
        return await get_response(request)

    return answer


async_only.sync_capable = False  # type: ignore[attr-defined]
async_only.async_capable = True  # type: ignore[attr-defined]


class Site:
    """The client of a site."""

    def __init__(self, server: AsgiServer | WsgiServer, cache: Cache) -> None:
        self.server = server
        self.cache = cache

    def get(self, target: str, headers: Any = (), **further: Any) -> Reply:
        """Make one request."""
        return self.server.ask(Call(target=target, headers=pairs_of(headers), **further))

    def idle(self) -> bool:
        """Say whether no flight is under way."""
        return not self.cache._core.engine.flights.open


@contextmanager
def open_site(
    views: Mapping[str, View],
    *,
    interface: str = "wsgi",
    middleware: Sequence[str] = (CACHE,),
    scope: Mapping[str, Any] = {},
    settings: Mapping[str, Any] = {},
    config: Mapping[str, Any] = {},
    **options: Any,
) -> Iterator[Site]:
    """Open a site; every view is a cached route with `ttl = "60s"` and the options given.

    `config` has what is configured beside the route.
    `scope` is laid over the scope of each ASGI request.
    """
    configure()
    urls = ModuleType("site_urls")
    urls.__dict__["urlpatterns"] = [path(name[1:], view) for name, view in views.items()]
    config = {**config, "routes": [{"path": "/{rest:path}", "ttl": "60s", **options}]}
    with override_settings(
        ALLOWED_HOSTS=["*"],
        CACHEMW=config,
        FORCE_SCRIPT_NAME=None,
        MIDDLEWARE=list(middleware),
        ROOT_URLCONF=urls,
        **settings,
    ):
        server, close = _served(interface, scope)
        try:
            yield Site(server, get_cache())
        finally:
            server.close()
            close()


def _served(
    interface: str, scope: Mapping[str, Any]
) -> tuple[AsgiServer | WsgiServer, Callable[[], None]]:
    if interface == "wsgi":
        return WsgiServer(WSGIHandler()), lambda: None
    handler = LoopHandler()

    async def app(given: Any, receive: Any, send: Any) -> None:
        await handler({**given, **scope}, receive, send)

    return AsgiServer(app, any_case=True), handler.close
