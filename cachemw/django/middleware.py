"""The middleware for Django, in threads and in event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cachemw.cache import Cache
from cachemw.django.recording.early_reads import take_early_recording
from cachemw.django.refreshes import start_refresh
from cachemw.django.registry import get_cache
from cachemw.django.response_relay import ResponseRelay
from cachemw.django.translate import (
    make_response,
    outer_of_request,
    read_body,
    response_of,
    seen_of,
    set_host,
)
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.pipeline import Arrival, CacheReply, Pipeline
from cachemw.frontdoor.wsgi_environ import EnvironReader
from cachemw.http.messages import Content
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

GetResponse = Callable[[HttpRequest], Any]


class CacheMiddleware:
    """Serves what the cache may serve, and stores what it may store of the rest.

    Django runs it in threads or in event loops, whichever suits the next middleware, so that it adds
    no change between the two.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        """Wrap the next middleware, or the view's handler."""
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        self._use(get_cache())

    def _use(self, cache: Cache) -> None:
        self.cache = cache
        self._pipeline = Pipeline(cache._core)
        self._reader = EnvironReader(self._pipeline.watched_names, decoded=True)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        if self._is_async:
            return self._answer_async(request)
        return self._answer(request)

    def _from_memory(self, request: HttpRequest) -> HttpResponseBase | Arrival | None:
        """Answer a request from memory, or return what `decide` needs.

        None, after an internal error: call the application as if there were no cache (I3).
        """
        pipeline = self._pipeline
        now = pipeline.monotonic()
        try:
            meta, scheme, raw = seen_of(request)
            target = self._reader.target(meta, scheme, raw)
            watched = self._reader.watched(meta)
            outer = outer_of_request(request)
            if outer:
                watched = [*(watched or ()), *outer]
            held_out = pipeline.is_held_out()
            if request.method == "GET" and not held_out:
                hit = pipeline.hit(target, watched, None, now)
                if hit is not None:
                    status, headers, body, route = hit
                    response = make_response(status, headers, body)
                    pipeline.finish_hit(route, status, now)
                    return response
            if self._changed(request):
                return self._from_memory(request)
        except Exception:
            pipeline.bypass(now)
            return None
        return Arrival(
            lambda: self._reader.request(meta, scheme, raw, outer), target, watched, now, held_out
        )

    def _changed(self, request: HttpRequest) -> bool:
        """Tell whether this is a test that needs another cache, or a Host.

        A hit need not ask: a cache whose settings a test overrides is switched off.
        """
        if self.cache is not (cache := get_cache()):
            self._use(cache)
            return True
        return set_host(request)

    def _reply(self, request: HttpRequest, reply: CacheReply) -> HttpResponseBase | None:
        """Return the cache's own answer; None after an internal error, as in `_from_memory`."""
        try:
            if reply.refreshes:
                start_refresh(reply, request, self._forward, self._aforward, in_loop=self._is_async)
            response = response_of(reply.answer)
            reply.finish()
        except Exception:
            self._pipeline.bypass(self._pipeline.monotonic())
            return None
        return response

    # -- threads ---------------------------------------------------------------------------------

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        arrival = self._from_memory(request)
        if isinstance(arrival, HttpResponseBase):
            return arrival
        read = partial(read_body, request)
        decision = None if arrival is None else self._pipeline.decide(arrival, read)
        if isinstance(decision, Exchange):
            return self._forward(request, decision)
        response = None if decision is None else self._reply(request, decision)
        return self._call(request) if response is None else response

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        take_early_recording()
        response: HttpResponseBase = self.get_response(request)
        return response

    def _forward(self, request: HttpRequest, exchange: Exchange) -> HttpResponseBase:
        relay = ResponseRelay(exchange)
        try:
            if not relay.rewrite(request):
                return self._call(request)
            while True:
                try:
                    with span_origin(exchange.template), exchange.recording:
                        response = self._call(request)
                except Exception:
                    stale = relay.failed()
                    if stale is None:
                        raise
                    return stale
                sent = relay.respond(response)
                if sent is not None:
                    exchange.invalidate()
                    return sent
                relay.start_again(request, response)
        finally:
            relay.end_unless_streaming()

    # -- event loops -----------------------------------------------------------------------------

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        arrival = self._from_memory(request)
        if isinstance(arrival, HttpResponseBase):
            return arrival

        async def aread_body(limit: int) -> Content:
            return read_body(request, limit)  # Django has the whole body under ASGI

        decision = None if arrival is None else await self._pipeline.adecide(arrival, aread_body)
        if isinstance(decision, Exchange):
            return await self._aforward(request, decision)
        response = None if decision is None else self._reply(request, decision)
        return await self._acall(request) if response is None else response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        take_early_recording()
        response: HttpResponseBase = await self.get_response(request)
        return response

    async def _aforward(self, request: HttpRequest, exchange: Exchange) -> HttpResponseBase:
        relay = ResponseRelay(exchange)
        try:
            if not relay.rewrite(request):
                return await self._acall(request)
            while True:
                try:
                    with span_origin(exchange.template), exchange.recording:
                        response = await self._acall(request)
                except Exception:
                    stale = relay.failed()
                    if stale is None:
                        raise
                    return stale
                sent = relay.respond(response)
                if sent is not None:
                    await exchange.ainvalidate()
                    return sent
                await sync_to_async(relay.start_again)(request, response)
        finally:
            relay.end_unless_streaming()
