"""A Django site with different middleware, called through its own WSGI handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

from bench.constants import BODY, ROUTES, STATUS, TEXT_HEADERS, config, routes

__all__ = ["OURS", "OWN", "STOCK", "Constant", "configure", "handler", "page", "urlpatterns"]

OURS = ["cachemw.django.CacheMiddleware"]
OWN = [
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]

STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
"""The middleware of a new site, as `startproject` writes it."""

view_calls: list[str] = []
"""The path of every request that reached the site's view."""


def _response() -> HttpResponse:
    return HttpResponse(BODY, status=STATUS, headers=dict(TEXT_HEADERS))


def _view(request: HttpRequest, number: int) -> HttpResponse:
    view_calls.append(request.path)
    return _response()


def _page(request: HttpRequest, forms: int) -> HttpResponse:
    """Return a page of 8 KiB with so many forms."""
    view_calls.append(request.path)
    return HttpResponse(
        "x" * 8192 + "".join(f"<i value={get_token(request)}>" for _ in range(forms))
    )


urlpatterns = [
    *(path(f"{name}/<int:number>", _view) for name in ROUTES),
    path("pages/<int:forms>", _page),
]
PAGES = {"name": "pages", "path": "/pages/{forms}", "ttl": "10h", "cookies": []}


def page(app: Any, forms: int) -> Any:
    """Return a WSGI application that asks for a page with so many forms, as a client with a cookie."""

    def ask(environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = environ["RAW_URI"] = f"/pages/{forms}"
        environ["HTTP_COOKIE"] = f"_ga=GA1.1.1; csrftoken={'a' * 32}"
        return app(environ, start_response)

    return ask


class Constant:
    """A middleware that returns the constant response: the least that any cache in Django costs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Accept what Django passes to a middleware."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the constant response."""
        return _response()


def configure() -> None:
    """Set up Django for this process; do nothing the second time."""
    if settings.configured:
        return
    memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    settings.configure(
        DATABASES={"default": {**memory}, "bare": {**memory}},
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["shop.example"],
        SECRET_KEY="x" * 50,
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
        ],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        CACHE_MIDDLEWARE_SECONDS=36000,
        LOGGING_CONFIG=None,
        CACHEMW=config(routes=[*routes(), PAGES]),
    )
    django.setup()


def handler(middleware: list[str]) -> WSGIHandler:
    """Return a handler with this middleware, the outermost first."""
    settings.MIDDLEWARE = middleware
    return WSGIHandler()
