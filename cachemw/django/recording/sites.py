"""The sites that `django.contrib.sites` keeps in the process (`SITE_CACHE`).

`Site.objects.get_current()` reads its row once in the life of a process. A response that shows the site later
makes no query for it. So the row's tag is added here.

Django drops a site from `SITE_CACHE` in the process that saves it, and in no other. Responses that another
process makes would have the old site for ever, and be stored for all. So a site whose row was purged since it
was read is read again, when a response is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.conf import settings

from cachemw.cache import Cache
from cachemw.django.recording.companions import UNKNOWN, is_overtaken
from cachemw.django.recording.early_reads import early_recording
from cachemw.django.recording.schema import describe
from cachemw.recording.context import MadeEarlier, Recording, open_recording

__all__ = ["install"]

_MAX_SITES = 1000
"""Most sites of which it is remembered when they were read (I4)."""
_get_cache: Callable[[], Cache]
_is_being_made_here: Callable[[], bool]
_read: dict[object, tuple[object, Cache, MadeEarlier]] = {}
"""By the key of a site: the object in `SITE_CACHE`, and what it was made from, for this cache."""


def install(get_cache: Callable[[], Cache], is_being_made_here: Callable[[], bool]) -> None:
    """Watch `Site.objects.get_current`, as soon as there is a model `Site`."""
    global _get_cache, _is_being_made_here
    _get_cache, _is_being_made_here = get_cache, is_being_made_here
    apps.lazy_model_operation(_watch, ("sites", "site"))


def _watch(model: Any) -> None:
    manager: Any = type(model._default_manager)
    if not hasattr(manager.get_current, "_cachemw"):
        manager.get_current = _watching(manager.get_current)


def _watching(get_current: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(get_current)
    def watched(*args: Any, **kwargs: Any) -> Any:
        site = get_current(*args, **kwargs)
        recording = open_recording() or early_recording()
        if recording is None:
            return site
        try:
            return _recorded(recording, site, lambda: get_current(*args, **kwargs))
        except Exception:
            recording.add_value(UNKNOWN)
            with suppress(Exception):  # there may be no cache, because the configuration is wrong
                _get_cache()._core.reporter.logs.failed("recorder_failed")
            return site

    watched._cachemw = True  # type: ignore[attr-defined]
    return watched


def _recorded(recording: Recording, site: Any, read: Callable[[], Any]) -> Any:
    """Return the current site, read again if its row was purged, and record that it was read."""
    if not hasattr(settings, "CACHEMW") or _is_being_made_here():
        return site
    cache = _get_cache()
    if not cache.config.recording.database:
        return site
    known, of_cache, made = _read.get(site.pk, (None, None, UNKNOWN))
    if known is not site or of_cache is not cache or is_overtaken(cache, made):
        position = cache._core.engine.floors.current_position()
        site = _read_again(site, read)
        described = describe(site)
        assert described is not None
        whole, rows = described
        made = MadeEarlier(rows or (whole,), recording.oldest(position))
        if len(_read) >= _MAX_SITES:
            _read.clear()
        _read[site.pk] = site, cache, made
    recording.add_value(made)
    return site


def _read_again(site: Any, read: Callable[[], Any]) -> Any:
    """Drop a site from `SITE_CACHE`, and read it again; keep it there if that fails."""
    from django.contrib.sites import models  # this module is imported before models may be

    dropped = [key for key, each in tuple(models.SITE_CACHE.items()) if each is site]
    for key in dropped:
        models.SITE_CACHE.pop(key, None)
    try:
        return read()
    except Exception:
        for key in dropped:
            models.SITE_CACHE.setdefault(key, site)
        raise
