"""The one Cache of a Django process, made from `settings.CACHEMW` when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cachemw.cache import Cache, forget
from cachemw.config import Config, config_from_django
from cachemw.django.steering import SETTINGS, Steering, has_default, steered, steering
from cachemw.errors import ConfigError

__all__ = ["default_notes", "get_cache", "get_config", "is_being_made_here", "when_made"]

_lock = threading.Lock()
_cache: Cache | None = None
_maker: int | None = None
"""The identifier of the thread that is making the cache, while it does."""
_steering: Steering | None = None
"""What Django's settings added to the configuration of the cache."""
_debugged = False
"""Whether the cache is off because DEBUG was on when it was made. Django's test runner switches that off."""
_listeners: list[Callable[[Cache], None]] = []


def get_cache() -> Cache:
    """Return this process's cache.

    Raises ImproperlyConfigured, with every mistake in the setting at once.
    """
    global _cache, _maker
    if _cache is None or (_debugged and not settings.DEBUG):
        with _lock:
            if _cache is not None and _debugged and not settings.DEBUG:
                _give_up()
            if _cache is None:
                _maker = threading.get_ident()
                try:
                    _cache = _make()
                finally:
                    _maker = None
    return _cache


def is_being_made_here() -> bool:
    """Tell whether this thread is making the cache.

    Making it imports modules that the configuration names, and those may query a database. The
    recorder must not call `get_cache` for such a query: this thread holds the lock already.
    """
    return _maker == threading.get_ident()


def when_made(listener: Callable[[Cache], None]) -> None:
    """Call a function with every cache that is made from now on, before anybody else has it."""
    _listeners.append(listener)


def get_config() -> Config:
    """Return the configuration in the settings, with what other settings of Django add to it.

    Raises ImproperlyConfigured where there is none, and ConfigError for a wrong one.
    """
    if not hasattr(settings, "CACHEMW"):
        raise ImproperlyConfigured(
            "cachemw.django needs the setting CACHEMW: a dict, or the path of a TOML file"
        )
    return steered(_written(), steering())


def default_notes() -> list[str]:
    """Return what is said of the routes that Django's own cookies bypass by default."""
    names = [route.name for route in _written().routes if has_default(route)]
    if not names:
        return []
    return [
        f"By default, a request with {' or '.join(steering().personal)} bypasses on {', '.join(names)}. Other"
        " cookies are removed there, unless a view reads them. personal_cookies = [] takes that back."
    ]


def _written() -> Config:
    """Return the configuration in the settings as it is written there."""
    return config_from_django(settings.CACHEMW)


def _make() -> Cache:
    global _steering, _debugged
    try:
        config = get_config()
        debugged = settings.DEBUG and not (config.cache_in_development or config.kill)
        cache = Cache(replace(config, kill=True) if debugged else config)
        by_default = [i for i, route in enumerate(_written().routes) if has_default(route)]
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error
    cache._core.engine.watch_cookies(by_default)
    _debugged = debugged
    if debugged:
        cache._core.reporter.logs.off_in_development("DEBUG")
    _steering = steering()
    for listener in _listeners:
        listener(cache)
    return cache


def _forget(*, setting: str, **_: Any) -> None:
    """Close the cache when a test overrides a setting, so that the test gets one of its own."""
    if _cache is not None and (setting == "CACHEMW" or _is_steered_otherwise(setting)):
        _give_up()


def _give_up() -> None:
    """Close the cache for good.

    It is switched off too, in this process only: a middleware that has it serves no more hits from
    it, and takes the new one.
    """
    global _cache
    if _cache is not None:
        _cache.flags.drive({"kill": "on"})
        _cache.close()
        forget(_cache)
        _cache = None


def _is_steered_otherwise(setting: str) -> bool:
    return setting in SETTINGS and steering() != _steering


setting_changed.connect(_forget, dispatch_uid="cachemw.django.registry")
