"""Django's settings that make an answer depend on a header or cookie without saying so in `Vary`.

The cache keys each of them on every route:

| setting | in the key |
|---|---|
| `SECURE_PROXY_SSL_HEADER` | that header: `request.scheme` and redirects to HTTPS depend on it |
| `LANGUAGE_COOKIE_NAME`, with `LocaleMiddleware` | that cookie: it wins over `Accept-Language` |

`USE_X_FORWARDED_HOST` and `USE_X_FORWARDED_PORT` read headers that are always in the key.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from django.conf import settings
from django.middleware.locale import LocaleMiddleware
from django.utils.module_loading import import_string

from cachemw.config import Config

__all__ = ["SETTINGS", "Steering", "imported", "steered", "steering"]

SETTINGS = frozenset({"LANGUAGE_COOKIE_NAME", "MIDDLEWARE", "SECURE_PROXY_SSL_HEADER"})
"""The settings that this module reads."""


class Steering(NamedTuple):
    """Headers and cookies that Django reads because of its settings."""

    headers: tuple[str, ...]
    cookies: tuple[str, ...]


def steering() -> Steering:
    """Return what Django reads of a request, by its settings now."""
    headers: tuple[str, ...] = ()
    ssl = settings.SECURE_PROXY_SSL_HEADER
    # Another variable than HTTP_… is the server's own: no client can send it.
    if ssl and ssl[0].startswith("HTTP_"):
        headers = (ssl[0].removeprefix("HTTP_").replace("_", "-").lower(),)
    cookies = (settings.LANGUAGE_COOKIE_NAME,) if _selects_language() else ()
    return Steering(headers, cookies)


def _selects_language() -> bool:
    """Tell whether a middleware selects the language, as Django's own or a subclass of it."""
    return any(
        isinstance(found, type) and issubclass(found, LocaleMiddleware)
        for found in map(imported, settings.MIDDLEWARE)
    )


def imported(path: str) -> object:
    """Return what a dotted path names, or None if it cannot be imported."""
    with suppress(Exception):  # Django itself will say so, where it needs the middleware
        return import_string(path)
    return None


def steered(config: Config, by: Steering) -> Config:
    """Return a configuration in which each route has this in its key too."""
    if not any(by):
        return config
    routes = tuple(
        replace(
            route,
            vary=tuple(dict.fromkeys((*route.vary, *by.headers))),
            keyed_cookies=tuple(dict.fromkeys((*route.keyed_cookies, *by.cookies))),
        )
        for route in config.routes
    )
    return replace(config, routes=routes)
