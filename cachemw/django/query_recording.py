"""Start of the recording of queries, of Django's cache and of forms, where the configuration asks for it.

Two things can start it. The first is the cache: when it is made, for the middleware or for
`get_cache()`. The second is the Django application `cachemw.django` in INSTALLED_APPS, which is all
that a worker or a command has. This module is the only one that knows `registry` and both
`recorder`, `second_caches` and `sites`, so those need not import each other.
"""

from __future__ import annotations

import functools
import logging

from cachemw.cache import Cache
from cachemw.django import registry
from cachemw.django.recording import csrf_tokens, second_caches

__all__ = ["record_queries"]

_FAULTS = logging.getLogger("cachemw.faults")


@functools.cache
def record_queries() -> None:
    """Record what is read from and written to databases, once per process.

    Without the extra `recorder` this logs a warning and does nothing.
    """
    try:
        from cachemw.django.recording import sites
        from cachemw.django.recording.recorder import install
    except ModuleNotFoundError as error:
        _FAULTS.warning(f"event=recorder_missing module={error.name}: nothing is purged by itself")
        return
    install(registry.get_cache, registry.is_being_made_here)
    second_caches.install(registry.get_cache, registry.is_being_made_here)
    sites.install(registry.get_cache, registry.is_being_made_here)


def _record_for(cache: Cache) -> None:
    if cache.config.forms and csrf_tokens.can_follow():
        csrf_tokens.follow_tokens()
        cache._core.engine.fills[csrf_tokens.HOLE] = csrf_tokens.fill
    if cache.config.recording.database:
        record_queries()


registry.when_made(_record_for)
