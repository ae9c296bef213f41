"""The application under Django: a URLconf of its own for each test, with threads' or loops' views."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from . import apps_asgi, apps_wsgi
from .language import PATIENCE, Asked, Origin, Said, angled


def configure() -> None:
    """Configure Django, once per process; tests lay their own settings over these."""
    if not settings.configured:
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            LOGGING_CONFIG=None,
            SECRET_KEY="nothing is signed",
            USE_TZ=True,
        )
        django.setup()


def settings_for(origin: Origin, config: dict[str, Any], *, loops: bool) -> dict[str, Any]:
    """Give the settings that put an origin's handlers behind the cache."""
    view = _async_view if loops else _view
    urls = ModuleType("behaviour_urls")
    patterns = [
        path(angled(pattern).removeprefix("/"), view(origin, pattern))
        for pattern in origin.handlers
    ]
    urls.__dict__["urlpatterns"] = patterns
    return {
        "ALLOWED_HOSTS": ["*"],
        "APPEND_SLASH": False,
        "CACHEMW": config,
        "DEBUG": False,
        "FORCE_SCRIPT_NAME": None,
        "INSTALLED_APPS": [],
        "MIDDLEWARE": ["cachemw.django.CacheMiddleware"],
        "ROOT_URLCONF": urls,
    }


class LoopHandler(ASGIHandler):
    """Django's own, which leaves the request's body open when sending failed: closed in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Any] = []

    async def read_body(self, receive: Any) -> Any:
        body = await super().read_body(receive)
        self.bodies.append(body)
        return body

    def close(self) -> None:
        for body in self.bodies:
            body.close()


def _view(origin: Origin, pattern: str) -> Callable[..., HttpResponseBase]:
    def view(request: HttpRequest, **params: Any) -> HttpResponseBase:
        said = origin.answer(pattern, _asked(request, params))
        if said.wait is not None:
            assert said.wait.wait(PATIENCE)
        return _response(said, apps_wsgi.sent)

    return view


def _async_view(origin: Origin, pattern: str) -> Any:
    async def view(request: HttpRequest, **params: Any) -> HttpResponseBase:
        said = await apps_asgi.waited(origin.answer(pattern, _asked(request, params)))
        return _response(said, apps_asgi.sent)

    return view


def _asked(request: HttpRequest, params: dict[str, Any]) -> Asked:
    return Asked(
        method=request.method or "",
        path=request.path_info,
        query=request.META["QUERY_STRING"],
        headers=[(name.lower(), value) for name, value in request.headers.items()],
        body=request.body,
        params=params,
        arguments=[(name, value) for name, found in request.GET.lists() for value in found],
        cookies=request.COOKIES,
    )


def _response(said: Said, sent: Callable[..., Any]) -> HttpResponseBase:
    # The handler closes whatever the request and the response hold: that is what `closed` sees.
    response: HttpResponseBase = (
        HttpResponse(said.body, status=said.status)
        if isinstance(said.body, bytes)
        else StreamingHttpResponse(sent(said.body), status=said.status)
    )
    if said.status in (204, 304):
        del response["Content-Type"]
    for name, value in said.pairs:
        if name.lower() == "set-cookie":
            key, _, text = value.partition("=")
            response.set_cookie(key, text)
        elif name.lower() in ("vary", "cache-control") and name in response:
            response[name] = f"{response[name]}, {value}"
        else:
            response[name] = value
    if said.closed is not None:
        response._resource_closers.append(said.closed)  # type: ignore[attr-defined]
    return response
