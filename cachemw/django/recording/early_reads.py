"""Reads of middleware that runs before the cache: the tenant of a request, its site, its user.

The recording of a response begins in the cache's middleware. What middleware outside of it reads goes into
the response too, by way of the request. So Django's handler opens an early recording around each request,
and the cache's middleware closes it and adds it to its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.handlers.base import BaseHandler

from cachemw.recording.context import Position, Recording

__all__ = ["early_recording", "record_early_reads", "take_early_recording"]

_OURS = frozenset({"cachemw.django.CacheMiddleware", "cachemw.django.middleware.CacheMiddleware"})
_early: ContextVar[Recording | None] = ContextVar("cachemw_early_reads", default=None)


@functools.cache
def record_early_reads(position: Callable[[], Position | None]) -> None:
    """Record what is read for a request before the cache's middleware sees it, once per process.

    `position` returns the position of the log, or None if there is no cache yet.
    """
    handler: Any = BaseHandler
    handler.get_response = _around(handler.get_response, position)
    handler.get_response_async = _around_async(handler.get_response_async, position)


def early_recording() -> Recording | None:
    """Return the recording of what is read before the cache's middleware; None where none is open."""
    recording = _early.get()
    return None if recording is None or recording.closed else recording


def take_early_recording() -> Recording | None:
    """Close the early recording of the request, and return it."""
    recording = _early.get()
    if recording is not None:
        recording.close()
    return recording


def _is_first() -> bool:
    """Tell whether nothing runs before the cache's middleware."""
    return bool(settings.MIDDLEWARE) and settings.MIDDLEWARE[0] in _OURS


def _around(
    get_response: Callable[..., Any], position: Callable[[], Position | None]
) -> Callable[..., Any]:
    @functools.wraps(get_response)
    def wrapped(handler: Any, request: Any) -> Any:
        if _is_first():
            return get_response(handler, request)
        token = _early.set(Recording(began=position(), is_kept=False))
        try:
            return get_response(handler, request)
        finally:
            _early.reset(token)

    return wrapped


def _around_async(
    get_response: Callable[..., Any], position: Callable[[], Position | None]
) -> Callable[..., Any]:
    @functools.wraps(get_response)
    async def wrapped(handler: Any, request: Any) -> Any:
        if _is_first():
            return await get_response(handler, request)
        token = _early.set(Recording(began=position(), is_kept=False))
        try:
            return await get_response(handler, request)
        finally:
            _early.reset(token)

    return wrapped
