"""Django's settings that make an answer depend on a header or cookie without saying so in `Vary`.

The cache keys some of them on every route:

| setting | in the key |
|---|---|
| `SECURE_PROXY_SSL_HEADER` | that header: `request.scheme` and redirects to HTTPS depend on it |
| `LANGUAGE_COOKIE_NAME`, with `LocaleMiddleware` | that cookie: it wins over `Accept-Language` |

`USE_X_FORWARDED_HOST` and `USE_X_FORWARDED_PORT` read headers that are always in the key.

Others say who is asking. They are the `personal_cookies` of a route that says nothing of cookies:

| setting | cookie |
|---|---|
| `SESSION_COOKIE_NAME` | that of the session |
| `django.contrib.messages` in `INSTALLED_APPS` | `messages`, in which messages for one visitor may wait |

All other cookies are removed on such a route, unless the application is seen to read them
(`read_cookies`). It must cache GET only: a POST needs the cookie of its CSRF token.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

from django.conf import settings
from django.middleware.locale import LocaleMiddleware
from django.utils.module_loading import import_string

from cachemw.config import Config, Route
from cachemw.config.checks.cookies import none_of_one_client, not_listed
from cachemw.errors import ConfigError

__all__ = ["SETTINGS", "Steering", "has_default", "imported", "steered", "steering"]

SETTINGS = frozenset(
    {
        "CSRF_COOKIE_NAME",
        "INSTALLED_APPS",
        "LANGUAGE_COOKIE_NAME",
        "MIDDLEWARE",
        "SECURE_PROXY_SSL_HEADER",
        "SESSION_COOKIE_NAME",
    }
)
"""The settings that this module reads."""

_MESSAGES: Final = "django.contrib.messages"
_COOKIE_OF_MESSAGES: Final = "messages"
"""`CookieStorage.cookie_name`. It is not imported: its module needs Django's settings to be complete."""


class Steering(NamedTuple):
    """Headers and cookies that Django reads because of its settings."""

    headers: tuple[str, ...]
    cookies: tuple[str, ...]
    personal: tuple[str, ...] = ()
    """Cookies that say who is asking."""
    tokens: tuple[str, ...] = ()
    """Cookies of one client that do not say who it is: that of the CSRF token."""


def steering() -> Steering:
    """Return what Django reads of a request, by its settings now."""
    headers: tuple[str, ...] = ()
    ssl = settings.SECURE_PROXY_SSL_HEADER
    # Another variable than HTTP_… is the server's own: no client can send it.
    if ssl and ssl[0].startswith("HTTP_"):
        headers = (ssl[0].removeprefix("HTTP_").replace("_", "-").lower(),)
    cookies = (settings.LANGUAGE_COOKIE_NAME,) if _selects_language() else ()
    personal: tuple[str, ...] = (settings.SESSION_COOKIE_NAME,)
    if any(each.startswith(_MESSAGES) for each in settings.INSTALLED_APPS):
        personal += (_COOKIE_OF_MESSAGES,)
    return Steering(headers, cookies, personal, (settings.CSRF_COOKIE_NAME,))


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


def has_default(route: Route) -> bool:
    """Tell whether Django's own cookies are a route's `personal_cookies`: it says nothing of cookies."""
    return route.personal_cookies is None and route.cookies is None and route.methods == ("GET",)


def steered(config: Config, by: Steering) -> Config:
    """Return a configuration in which each route has this in its key, or as its personal cookies.

    Raises ConfigError for a route that would keep answers which set one of these cookies.
    """
    if not any(by):
        return config
    if problems := list(none_of_one_client(config, frozenset(by.personal + by.tokens))):
        raise ConfigError(problems, "settings.CACHEMW")
    return replace(config, routes=tuple(_steered(route, by) for route in config.routes))


def _steered(route: Route, by: Steering) -> Route:
    route = replace(
        route,
        vary=tuple(dict.fromkeys((*route.vary, *by.headers))),
        keyed_cookies=tuple(dict.fromkeys((*route.keyed_cookies, *by.cookies))),
    )
    if not has_default(route):
        return route
    return replace(route, personal_cookies=not_listed(route, by.personal))
