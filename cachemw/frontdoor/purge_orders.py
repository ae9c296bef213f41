"""Carrying out what is ordered by HTTP: a front door hands the request over, and sends the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from cachemw.cache import Cache
from cachemw.engine.lookup.rendering import Answer
from cachemw.errors import StoreError
from cachemw.frontdoor.purge_endpoint import Order, Refusal, refusal, told
from cachemw.http.messages import Request

__all__ = ["acarry_out", "carry_out", "ordered"]

_PREVIEW = 5.0
"""Seconds for a look through all that is stored: servers end requests that take a minute."""


def ordered(cache: Cache, read: Callable[[], Request]) -> Request | None:
    """Give the request that `read` makes if it is an order; a fault of ours costs no request."""
    endpoint = cache.endpoint
    if endpoint is None:
        return None
    try:
        request = read()
        return request if endpoint.meets(request) else None
    except Exception:  # must not become the client's (I3)
        cache.logs.failed("endpoint_failed")
        return None


def carry_out(cache: Cache, request: Request) -> Answer:
    """Purge what a request orders, in a thread; its body has been read if the endpoint reads it."""
    order = _order(cache, request)
    if isinstance(order, Answer):
        return order
    try:
        if order.dry_run:
            return told(asdict(cache.preview(**order.words, within=_PREVIEW)))
        return told(asdict(cache.purge(**order.words, soft=order.soft)))
    except Exception as error:
        return _failed(cache, error)


async def acarry_out(cache: Cache, request: Request) -> Answer:
    """Purge what a request orders, without blocking the event loop."""
    order = _order(cache, request)
    if isinstance(order, Answer):
        return order
    try:
        if order.dry_run:
            preview = await asyncio.to_thread(cache.preview, **order.words, within=_PREVIEW)
            return told(asdict(preview))
        return told(asdict(await cache.apurge(**order.words, soft=order.soft)))
    except Exception as error:
        return _failed(cache, error)


def _order(cache: Cache, request: Request) -> Order | Answer:
    assert cache.endpoint is not None
    cacheable = cache.endpoint.order(request)
    return _refused(cache, cacheable) if isinstance(cacheable, Refusal) else cacheable


def _failed(cache: Cache, error: Exception) -> Answer:
    if isinstance(error, StoreError):
        return _refused(cache, refusal(503, "store", f"what is stored cannot be seen: {error}"))
    if isinstance(error, ValueError):  # a bad tag or URL, or a route that is none
        return _refused(cache, refusal(400, "words", str(error)))
    cache.logs.failed("endpoint_failed")
    return _refused(
        cache, refusal(500, "failed", "this failed; the log of the application says why")
    )


def _refused(cache: Cache, refused: Refusal) -> Answer:
    cache.count("endpoint_refused", refused.reason)
    cache.logs.endpoint_refused(refused.reason)
    return refused.answer
