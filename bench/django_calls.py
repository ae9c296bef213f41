"""A Django site with different middleware, called through its own WSGI handler."""

from __future__ import annotations

from collections.abc import Callable

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from bench.constants import BODY, ROUTES, STATUS, TEXT_HEADERS, config

__all__ = ["OURS", "OWN", "STOCK", "Constant", "configure", "handler", "urlpatterns"]

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


urlpatterns = [path(f"{name}/<int:number>", _view) for name in ROUTES]


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
        CACHEMW=config(),
    )
    django.setup()


def handler(middleware: list[str]) -> WSGIHandler:
    """Return a handler with this middleware, the outermost first."""
    settings.MIDDLEWARE = middleware
    return WSGIHandler()
