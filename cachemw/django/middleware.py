"""The middleware for Django, in threads and in event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import request_started
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cachemw.django.registry import get_cache
from cachemw.django.response_relay import ResponseRelay, response_of
from cachemw.django.translate import (
    copy_request,
    make_response,
    outer_of_request,
    raw_of,
    read_body,
    rewrite_request,
    scheme_of,
)
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.pipeline import Arrival, CacheReply, Pipeline
from cachemw.frontdoor.wsgi_environ import EnvironReader
from cachemw.http.messages import Content
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

GetResponse = Callable[[HttpRequest], Any]


class CacheMiddleware:
    """Serves what the cache may serve, and stores what it may store of the rest."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        """Wrap the next middleware, or the view's handler."""
        self.get_response = get_response
        self.cache = get_cache()
        self._pipeline = Pipeline(self.cache._core)
        self._reader = EnvironReader(self._pipeline.watched_names, decoded=True)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        if self._is_async:
            return self._answer_async(request)
        return self._answer(request)

    def _from_memory(self, request: HttpRequest) -> HttpResponseBase | Arrival:
        """Answer a request from memory, or return what `decide` needs."""
        pipeline = self._pipeline
        now = pipeline.monotonic()
        meta = request.META
        scheme, raw = scheme_of(request), raw_of(request)
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
        return Arrival(
            lambda: self._reader.request(meta, scheme, raw, outer), target, watched, now, held_out
        )

    # -- threads ---------------------------------------------------------------------------------

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        arrival = self._from_memory(request)
        if not isinstance(arrival, Arrival):
            return arrival
        decision = self._pipeline.decide(arrival, lambda limit: read_body(request, limit))
        if decision is None:
            return self._call(request)
        if isinstance(decision, Exchange):
            return self._forward(request, decision)
        if decision.refreshes:
            decision.start_refresh(self._refresh(request, decision))
        return _sent(decision)

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return response

    def _forward(self, request: HttpRequest, exchange: Exchange) -> HttpResponseBase:
        relay = ResponseRelay(exchange)
        try:
            if exchange.rewrite is not None:
                rewrite_request(request, exchange.rewrite)
            with span_origin(exchange.template), exchange.recording:
                response = self._call(request)
            response = relay.respond(response)
            exchange.invalidate()
            return response
        except Exception:
            stale = relay.failed()
            if stale is None:
                raise
            return stale
        finally:
            relay.end_unless_streaming()

    def _refresh(self, request: HttpRequest, reply: CacheReply) -> Callable[[Exchange], None]:
        own = copy_request(request, reply.content)

        def call(exchange: Exchange) -> None:
            request_started.send(sender=type(self), environ=own.META)
            response = self._forward(own, exchange)
            try:
                if response.streaming:
                    for _ in response:
                        pass
            finally:
                response.close()  # sends request_finished: Django closes old connections

        return call

    # -- event loops -----------------------------------------------------------------------------

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        arrival = self._from_memory(request)
        if not isinstance(arrival, Arrival):
            return arrival

        async def aread_body(limit: int) -> Content:
            return read_body(request, limit)  # Django has the whole body under ASGI

        decision = await self._pipeline.adecide(arrival, aread_body)
        if decision is None:
            return await self._acall(request)
        if isinstance(decision, Exchange):
            return await self._aforward(request, decision)
        if decision.refreshes:
            decision.astart_refresh(self._arefresh(request, decision))
        return _sent(decision)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return response

    async def _aforward(self, request: HttpRequest, exchange: Exchange) -> HttpResponseBase:
        relay = ResponseRelay(exchange)
        try:
            if exchange.rewrite is not None:
                rewrite_request(request, exchange.rewrite)
            with span_origin(exchange.template), exchange.recording:
                response = await self._acall(request)
            response = relay.respond(response)
            await exchange.ainvalidate()
            return response
        except Exception:
            stale = relay.failed()
            if stale is None:
                raise
            return stale
        finally:
            relay.end_unless_streaming()

    def _arefresh(
        self, request: HttpRequest, reply: CacheReply
    ) -> Callable[[Exchange], Awaitable[None]]:
        own = copy_request(request, reply.content)

        async def call(exchange: Exchange) -> None:
            response = await self._aforward(own, exchange)
            if response.streaming:
                async for _ in response:  # type: ignore[attr-defined]
                    pass
            await asyncio.to_thread(response.close)

        return call


def _sent(reply: CacheReply) -> HttpResponseBase:
    reply.finish()
    return response_of(reply.answer)
