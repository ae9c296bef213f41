"""The sites that `django.contrib.sites` keeps in the process (`SITE_CACHE`).

`Site.objects.get_current()` reads its row once in the life of a process. A response that shows the site later
makes no query for it. So the row's tag is added here.

Django drops a site from `SITE_CACHE` in the process that saves it, and in no other. Responses that another
process makes would have the old site for ever, and be stored for all. So a site whose row was purged since it
was read is read again, when a response is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.conf import settings

from cachemw.cache import Cache
from cachemw.django.recording.companions import UNKNOWN, as_read_now
from cachemw.django.recording.early_reads import early_recording
from cachemw.django.recording.schema import describe
from cachemw.recording.context import MadeEarlier, Position, Recording, open_recording
from cachemw.recording.sql.rows import UNKNOWN as UNKNOWN_ROWS

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
        recording = open_recording() or early_recording()
        if recording is None or not _is_on():
            return get_current(*args, **kwargs)
        cache = _get_cache()
        position = cache._core.engine.floors.current_position()
        dropped: dict[object, Any] = {}
        with _counting_faults(recording, cache):
            _drop_old(cache, dropped)
        try:
            site = get_current(*args, **kwargs)
        except Exception:
            if not dropped:
                raise
            # It is gone, or cannot be read here: an event loop makes no query. Django would not have asked.
            _kept().update(dropped)
            recording.add_value(UNKNOWN)
            return get_current(*args, **kwargs)
        with _counting_faults(recording, cache):
            made = _made_from(cache, recording.oldest(position), site)
            recording.add_value(as_read_now(cache, made) or made)
        return site

    watched._cachemw = True  # type: ignore[attr-defined]
    return watched


@contextmanager
def _counting_faults(recording: Recording, cache: Cache) -> Iterator[None]:
    """Log a fault of ours; it costs the application nothing, and the response is not stored (I3)."""
    try:
        yield
    except Exception:
        recording.add_value(UNKNOWN)
        cache._core.reporter.logs.failed("recorder_failed")


def _is_on() -> bool:
    """Tell whether there is a cache whose configuration asks for recording."""
    if not hasattr(settings, "CACHEMW") or _is_being_made_here():
        return False
    try:
        return _get_cache().config.recording.database
    except Exception:  # a wrong configuration is for whoever uses the cache
        return False


def _kept() -> dict[object, Any]:
    """Return `SITE_CACHE`, which another object replaces when it is cleared."""
    from django.contrib.sites import models  # this module is imported before models may be

    kept: dict[object, Any] = models.SITE_CACHE
    return kept


def _drop_old(cache: Cache, dropped: dict[object, Any]) -> None:
    """Move the sites to `dropped` whose rows were purged since they were read, or of which nobody knows."""
    for key, site in tuple(_kept().items()):
        known, of_cache, made = _read.get(site.pk, (None, None, UNKNOWN))
        if known is not site or of_cache is not cache or as_read_now(cache, made) is None:
            dropped[key] = site
            _kept().pop(key, None)


def _made_from(cache: Cache, position: Position, site: Any) -> MadeEarlier:
    """Return the row of a site, which was read at this position if it is not known yet."""
    known, of_cache, made = _read.get(site.pk, (None, None, UNKNOWN))
    if known is not site or of_cache is not cache:
        described = describe(site)
        whole, rows = described if described is not None else (UNKNOWN_ROWS, ())
        made = MadeEarlier(rows or (whole,), position)
        if len(_read) >= _MAX_SITES:
            _read.clear()
        _read[site.pk] = site, cache, made
    return made
