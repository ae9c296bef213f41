"""The one Cache of a Django process, made from `settings.CACHEMW` when it is first asked for."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cachemw.cache import Cache
from cachemw.config import Config, config_from_django
from cachemw.errors import ConfigError

__all__ = ["get_cache", "get_config", "is_being_made_here", "record_queries"]

_FAULTS = logging.getLogger("cachemw.faults")
_lock = threading.Lock()
_cache: Cache | None = None
_maker: int | None = None
"""The thread that is making it."""


def get_cache() -> Cache:
    """Give this process's cache. Raises ImproperlyConfigured with every mistake in the setting."""
    global _cache, _maker
    if _cache is None:
        with _lock:
            if _cache is None:
                _maker = threading.get_ident()
                try:
                    _cache = _make()
                finally:
                    _maker = None
    return _cache


def is_being_made_here() -> bool:
    """Whether this thread is making the cache: what that imports may use a database, and ask for it."""
    return _maker == threading.get_ident()


def get_config() -> Config:
    """Read the setting. Raises ImproperlyConfigured where there is none, ConfigError for a wrong one."""
    if not hasattr(settings, "CACHEMW"):
        raise ImproperlyConfigured(
            "cachemw.django needs the setting CACHEMW: a dict, or the path of a TOML file"
        )
    return config_from_django(settings.CACHEMW)


def _make() -> Cache:
    try:
        cache = Cache(get_config())
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error
    if cache.config.recording.database:
        record_queries()
    return cache


@functools.cache
def record_queries() -> None:
    """Record what is read from databases, once for each process, where the extra is installed."""
    try:
        from cachemw.django.recorder import install
    except ModuleNotFoundError as error:
        _FAULTS.warning(f"event=recorder_missing module={error.name}: nothing is purged by itself")
        return
    install()


def _forget(*, setting: str, **_: Any) -> None:
    """Let tests that override the setting get a cache of their own."""
    global _cache
    if setting == "CACHEMW" and _cache is not None:
        _cache.close()
        _cache = None


setting_changed.connect(_forget, dispatch_uid="cachemw.django.registry")
