"""The one Cache of a Django process, made from `settings.CACHEMW` when it is first asked for."""

from __future__ import annotations

import threading
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from cachemw.cache import Cache
from cachemw.config import Config, config_from_django
from cachemw.errors import ConfigError

__all__ = ["get_cache", "get_config"]

_lock = threading.Lock()
_cache: Cache | None = None


def get_cache() -> Cache:
    """Give this process's cache. Raises ImproperlyConfigured with every mistake in the setting."""
    global _cache
    if _cache is None:
        with _lock:
            if _cache is None:
                _cache = _make()
    return _cache


def get_config() -> Config:
    """Read the setting. Raises ImproperlyConfigured where there is none, ConfigError for a wrong one."""
    if not hasattr(settings, "CACHEMW"):
        raise ImproperlyConfigured(
            "cachemw.django needs the setting CACHEMW: a dict, or the path of a TOML file"
        )
    return config_from_django(settings.CACHEMW)


def _make() -> Cache:
    try:
        return Cache(get_config())
    except ConfigError as error:
        raise ImproperlyConfigured(str(error)) from error


def _forget(*, setting: str, **_: Any) -> None:
    """Let tests that override the setting get a cache of their own."""
    global _cache
    if setting == "CACHEMW" and _cache is not None:
        _cache.close()
        _cache = None


setting_changed.connect(_forget, dispatch_uid="cachemw.django.registry")
