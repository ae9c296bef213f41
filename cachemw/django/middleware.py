"""The middleware, once for threads and once for event loops around the same steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import random
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from msgspec.structs import replace

from cachemw.django.registry import get_cache
from cachemw.django.translate import (
    apply_answer,
    copy_request,
    head_of,
    make_response,
    not_modified,
    raw_of,
    read_body,
    rewrite_request,
    scheme_of,
    stood_in,
)
from cachemw.engine.core.drivers import arun, run
from cachemw.engine.flows.on_request import on_request, refreshing
from cachemw.engine.lookup.rendering import Answer, hit_fields
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Extra, Target
from cachemw.engine.request.bodies import body_limit
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.frontdoor.exchange import Exchange, rendered
from cachemw.frontdoor.purge_endpoint import MAX_BODY
from cachemw.frontdoor.purge_orders import acarry_out, carry_out, ordered
from cachemw.frontdoor.wsgi_environ import EnvironReader
from cachemw.http.messages import Request
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

GetResponse = Callable[[HttpRequest], Any]


class CacheMiddleware:
    """Answer what the cache may answer, and keep what it may keep of the rest."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        """Be made by Django, with the next middleware or the view's handler."""
        self.get_response = get_response
        self.cache = get_cache()
        self._engine = self.cache.engine
        self._reader = EnvironReader(self._engine.watched.names, decoded=True)
        self._hit_fields = hit_fields(self._engine.settings, "memory")
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        if self._is_async:
            return self._answer_async(request)
        return self._answer(request)

    # -- threads ---------------------------------------------------------------------------------

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        now = self.cache.clock.monotonic()
        holdout = self._engine.holdout
        held_out = holdout > 0.0 and random() < holdout
        target, extra, hit = self._fast(request, now, held_out)
        if hit is not None:
            return hit
        order = self._ordered(request)
        if order is not None:
            return _answered(carry_out(self.cache, order))
        try:
            decision = run(
                self._flow(request, target, extra, now, held_out), self.cache.performer.perform
            )
            answer = rendered(self.cache, decision) if isinstance(decision, Serve) else None
        except Exception:  # a fault of ours must not become the client's (I3)
            self._failed(now)
            return self._call(request)
        if isinstance(decision, Serve):
            fetch = decision.refresh
            if fetch is not None:
                own = copy_request(request, fetch.cacheable.request.content)
                if not self.cache.background.submit(lambda: self._refresh(own, fetch)):
                    fetch.abandon()
            return self._served(decision, answer, now)
        return self._forward(request, decision, now)

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return response

    def _forward(self, request: HttpRequest, forward: Forward, now: float) -> HttpResponseBase:
        exchange = Exchange(self.cache, forward, now)
        out = _Response(exchange)
        if forward.rewrite is not None:
            rewrite_request(request, forward.rewrite)
        try:
            with span_origin(exchange.template), exchange.recording:
                response = self._call(request)
            response = out.respond(response)
            if exchange.purge:
                self.cache.invalidate(exchange.purge)
            return response
        except Exception:
            stale = out.failed()
            if stale is None:
                raise
            return stale
        finally:
            if not out.streams:
                exchange.finish()

    def _refresh(self, request: HttpRequest, fetch: Fetch) -> None:
        """Call the application once more, with nobody listening, and keep its answer."""
        try:
            if not self.cache.leads_refresh(fetch):
                return
            request_started.send(sender=type(self), environ=request.META)
            response = self._forward(request, refreshing(fetch), self.cache.clock.monotonic())
            try:
                if response.streaming:
                    for _ in response:
                        pass
            finally:
                response.close()  # tells Django that the request is over: connections are let go
        except Exception:
            self.cache.logs.failed("refresh_failed")
        finally:
            fetch.abandon()

    # -- event loops -----------------------------------------------------------------------------

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        now = self.cache.clock.monotonic()
        holdout = self._engine.holdout
        held_out = holdout > 0.0 and random() < holdout
        target, extra, hit = self._fast(request, now, held_out)
        if hit is not None:
            return hit
        order = self._ordered(request)
        if order is not None:
            return _answered(await acarry_out(self.cache, order))
        try:
            flow = self._flow(request, target, extra, now, held_out)
            decision = await arun(flow, self.cache.performer.aperform)
            answer = rendered(self.cache, decision) if isinstance(decision, Serve) else None
        except Exception:
            self._failed(now)
            return await self._acall(request)
        if isinstance(decision, Serve):
            fetch = decision.refresh
            if fetch is not None and not self.cache.tasks.spawn(
                self._arefresh(copy_request(request, fetch.cacheable.request.content), fetch)
            ):
                fetch.abandon()
            return self._served(decision, answer, now)
        return await self._aforward(request, decision, now)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return response

    async def _aforward(
        self, request: HttpRequest, forward: Forward, now: float
    ) -> HttpResponseBase:
        exchange = Exchange(self.cache, forward, now)
        out = _Response(exchange)
        if forward.rewrite is not None:
            rewrite_request(request, forward.rewrite)
        try:
            with span_origin(exchange.template), exchange.recording:
                response = await self._acall(request)
            response = out.respond(response)
            if exchange.purge:
                await self.cache.ainvalidate(exchange.purge)
            return response
        except Exception:
            stale = out.failed()
            if stale is None:
                raise
            return stale
        finally:
            if not out.streams:
                exchange.finish()

    async def _arefresh(self, request: HttpRequest, fetch: Fetch) -> None:
        try:
            if not await self.cache.aleads_refresh(fetch):
                return
            now = self.cache.clock.monotonic()
            response = await self._aforward(request, refreshing(fetch), now)
            if response.streaming:
                async for _ in response:  # type: ignore[attr-defined]
                    pass
            await asyncio.to_thread(response.close)
        except Exception:
            self.cache.logs.failed("refresh_failed")

    # -- both ------------------------------------------------------------------------------------

    def _fast(
        self, request: HttpRequest, now: float, held_out: bool
    ) -> tuple[Target, Extra | None, HttpResponseBase | None]:
        """Read the target, and answer it out of memory if that is all it takes."""
        meta = request.META
        target = self._reader.target(meta, scheme_of(request), raw_of(request))
        extra = self._reader.watched(meta)
        if held_out or request.method != "GET":
            return target, extra, None
        try:
            found = self._engine.hit_in_memory(target, extra, None, now)
            headers = self._hit_fields(found[0], now) if found else []
        except Exception:  # a fault of ours: the way around the cache is open (I3)
            self.cache.logs.failed("hit_failed")
            found = None
        if found is None:
            return target, extra, None
        entry, plan = found
        response = make_response(entry.status, headers, entry.body)
        self.cache.finish_hit(plan.route, entry.status, now)
        return target, extra, response

    def _ordered(self, request: HttpRequest) -> Request | None:
        """Give the request if it is an order by HTTP, with its body where that is to be read."""
        endpoint = self.cache.endpoint
        if endpoint is None:
            return None
        order = ordered(
            self.cache,
            lambda: self._reader.request(request.META, scheme_of(request), raw_of(request)),
        )
        if order is not None and endpoint.reads(order):
            order = replace(order, content=read_body(request, MAX_BODY))
        return order

    def _flow(
        self,
        request: HttpRequest,
        target: Target,
        extra: Extra | None,
        now: float,
        held_out: bool,
    ) -> Any:
        self.cache.start()
        engine = self._engine
        asked = self._reader.request(request.META, scheme_of(request), raw_of(request))
        if asked.method in engine.bodied:
            limit = body_limit(engine, asked, target)
            if limit is not None:
                asked = replace(asked, content=read_body(request, limit))
                now = self.cache.clock.monotonic()
        return on_request(engine, asked, target, extra, now, held_out=held_out)

    def _served(self, served: Serve, answer: Answer | None, started: float) -> HttpResponseBase:
        assert answer is not None
        self.cache.finish(served.cacheable.route, served.outcome, answer.status, started)
        return _answered(answer)

    def _failed(self, now: float) -> None:
        self.cache.logs.failed("request_failed")
        self.cache.finish(None, Outcome.ERROR_BYPASS, 0, now)


def _answered(answer: Answer) -> HttpResponse:
    """Make the response that is all ours."""
    return make_response(answer.status, answer.headers, answer.body or b"")


class _Response:
    """Turns the application's response into the one that goes out, through its exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.streams = False
        """Whether a body is still on its way out and ends the exchange when it is closed."""

    def respond(self, response: Any) -> HttpResponseBase:
        """Give the response that goes out."""
        exchange = self.exchange
        body = None if response.streaming else response.content
        answer = exchange.decide(head_of(response), body)
        if exchange.stood_in:
            stored: Any = stood_in(response, answer)
            response.close()
            stored._resource_closers.append(self.end)
            return stored  # type: ignore[no-any-return]
        if body is not None and exchange.keeping:
            exchange.take(body)
            exchange.complete()
        elif exchange.keeping and answer.body is None:
            self._copy_aside(response)
        out: Any = response
        if answer.body is not None:
            out = not_modified(response, answer)
        else:
            apply_answer(response, answer, exchange.cache.engine.settings.tag_fields)
        out._resource_closers.append(self.end)
        return out  # type: ignore[no-any-return]

    def failed(self) -> HttpResponseBase | None:
        """Give a stale response in place of the application's exception; None: let it out."""
        answer = self.exchange.fail(sent=False)
        return None if answer is None else _answered(answer)

    def end(self) -> None:
        """Let go, and write what was kept to the shared store: the response has gone out."""
        self.exchange.finish()
        stored, self.exchange.stored = self.exchange.stored, None
        if stored is not None:
            self.exchange.cache.save(stored)

    def _copy_aside(self, response: Any) -> None:
        self.streams = True
        copy = self._acopy if response.is_async else self._copy
        if response.is_async and (task := asyncio.current_task()) is not None:
            # Django's ASGI handler closes no response whose stream broke or whose client went away
            # in the middle of a message; the task that sends it ends all the same.
            task.add_done_callback(lambda _: self.exchange.finish())
        response.streaming_content = copy(response.streaming_content)

    def _copy(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        recording, source = self.exchange.recording, iter(pieces)
        try:
            while True:
                with recording:
                    piece = next(source, None)
                if piece is None:
                    break
                self.exchange.take(piece)
                yield piece
        except Exception:
            self.exchange.fail(sent=True)
            raise
        self.exchange.complete()

    async def _acopy(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        recording, source = self.exchange.recording, aiter(pieces)
        try:
            while True:
                with recording:
                    piece = await anext(source, None)
                if piece is None:
                    break
                self.exchange.take(piece)
                yield piece
        except Exception:
            self.exchange.fail(sent=True)
            raise
        self.exchange.complete()
