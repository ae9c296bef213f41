"""The middleware, once for threads and once for event loops around the same steps."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import request_started
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cachemw.django.registry import get_cache
from cachemw.django.translate import (
    apply_answer,
    copy_request,
    head_of,
    make_response,
    not_modified,
    raw_of,
    rewrite_request,
    scheme_of,
)
from cachemw.engine.answers import (
    Keeping,
    Stored,
    fields_of_hit,
    give_up,
    on_complete,
    on_error,
    on_head,
    render,
)
from cachemw.engine.drivers import arun, run
from cachemw.engine.flows import Fetch, Forward, Serve, on_request
from cachemw.engine.outcomes import Outcome
from cachemw.engine.routes import Extra, Target
from cachemw.environ import EnvironReader
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

GetResponse = Callable[[HttpRequest], Any]

_LOG = logging.getLogger("cachemw.faults")
_MAX_TASKS = 1000


class CacheMiddleware:
    """Answer what the cache may answer, and keep what it may keep of the rest."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        """Be made by Django, with the next middleware or the view's handler."""
        self.get_response = get_response
        self.cache = get_cache()
        self._reader = EnvironReader(self.cache.engine.watched.names)
        self._tasks: set[asyncio.Task[None]] = set()
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
        target, extra, hit = self._fast(request, now)
        if hit is not None:
            return hit
        try:
            decision = run(self._flow(request, target, extra, now), self.cache.performer.perform)
        except Exception:  # a fault of ours must not become the client's (I3)
            self._failed(now)
            return self._call(request)
        if isinstance(decision, Serve):
            fetch = decision.refresh
            if fetch is not None:
                own = copy_request(request)
                if not self.cache.background.submit(lambda: self._refresh(own, fetch)):
                    fetch.abandon()
            return self._served(decision, now)
        return self._forward(request, decision, now)

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        return response

    def _forward(self, request: HttpRequest, forward: Forward, now: float) -> HttpResponseBase:
        exchange = _Exchange(self, forward, now)
        if forward.rewrite is not None:
            rewrite_request(request, forward.rewrite)
        try:
            with span_origin(exchange.template):
                response = self._call(request)
            return exchange.respond(response)
        except Exception:
            return exchange.failed()
        finally:
            exchange.release_unless_relaying()

    def _refresh(self, request: HttpRequest, fetch: Fetch) -> None:
        """Call the application once more, with nobody listening, and keep its answer."""
        request_started.send(sender=type(self), environ=request.META)
        try:
            response = self._forward(request, _refreshing(fetch), self.cache.clock.monotonic())
            try:
                if response.streaming:
                    for _ in response:  # type: ignore[attr-defined]
                        pass
            finally:
                response.close()  # tells Django that the request is over: connections are let go
        except Exception:
            _LOG.exception("event=refresh_failed route=%s", fetch.ask.route.template)

    # -- event loops -----------------------------------------------------------------------------

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        now = self.cache.clock.monotonic()
        target, extra, hit = self._fast(request, now)
        if hit is not None:
            return hit
        try:
            flow = self._flow(request, target, extra, now)
            decision = await arun(flow, self.cache.performer.aperform)
        except Exception:
            self._failed(now)
            return await self._acall(request)
        if isinstance(decision, Serve):
            fetch = decision.refresh
            if fetch is not None and not self._spawn(self._arefresh(copy_request(request), fetch)):
                fetch.abandon()
            return self._served(decision, now)
        return await self._aforward(request, decision, now)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.get_response(request)
        return response

    async def _aforward(
        self, request: HttpRequest, forward: Forward, now: float
    ) -> HttpResponseBase:
        exchange = _Exchange(self, forward, now)
        if forward.rewrite is not None:
            rewrite_request(request, forward.rewrite)
        try:
            with span_origin(exchange.template):
                response = await self._acall(request)
            return exchange.respond(response)
        except Exception:
            return exchange.failed()
        finally:
            exchange.release_unless_relaying()

    async def _arefresh(self, request: HttpRequest, fetch: Fetch) -> None:
        try:
            now = self.cache.clock.monotonic()
            response = await self._aforward(request, _refreshing(fetch), now)
            if response.streaming:
                async for _ in response:  # type: ignore[attr-defined]
                    pass
            await asyncio.to_thread(response.close)
        except Exception:
            _LOG.exception("event=refresh_failed route=%s", fetch.ask.route.template)

    def _spawn(self, work: Any) -> bool:
        """Run a coroutine in the background, in a context that knows nothing of this request (I1)."""
        if len(self._tasks) >= _MAX_TASKS:
            work.close()
            self.cache.count("dropped_stores", "")
            return False
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    # -- both ------------------------------------------------------------------------------------

    def _fast(
        self, request: HttpRequest, now: float
    ) -> tuple[Target, Extra | None, HttpResponseBase | None]:
        """Read the target, and answer it out of memory if that is all it takes."""
        meta = request.META
        target = self._reader.target(meta, scheme_of(request), raw_of(request))
        extra = self._reader.watched(meta)
        if request.method != "GET":
            return target, extra, None
        found = self.cache.engine.hit_in_memory(target, extra, None, now)
        if found is None:
            return target, extra, None
        entry, plan = found
        headers = fields_of_hit(entry, now, "memory")
        if self.cache.config.x_cache:
            headers.append((b"x-cache", b"HIT"))
        response = make_response(entry.status, headers, entry.body)
        self.cache.finish_hit(plan.route, entry.status, now)
        return target, extra, response

    def _flow(self, request: HttpRequest, target: Target, extra: Extra | None, now: float) -> Any:
        self.cache.start()
        asked = self._reader.request(request.META, scheme_of(request), raw_of(request))
        return on_request(self.cache.engine, asked, target, extra, now)

    def _served(self, served: Serve, started: float) -> HttpResponseBase:
        answer = render(self.cache.engine, served)
        self.cache.finish(served.ask.route, served.outcome, answer.status, started)
        return make_response(answer.status, answer.headers, answer.body or b"")

    def _failed(self, now: float) -> None:
        _LOG.exception("event=request_failed")
        self.cache.finish(None, Outcome.ERROR_BYPASS, 0, now)

    def save(self, stored: Stored) -> None:
        """Write to the shared store; the response has gone out."""
        try:
            self.cache.save(stored)
        except Exception:
            _LOG.exception("event=save_failed")


def _refreshing(fetch: Fetch) -> Forward:
    return Forward(
        route=fetch.ask.route,
        outcome=Outcome.REFRESH,
        reason="refresh",
        fetch=fetch,
        rewrite=fetch.ask.rewrite(keep_conditions=False),
    )


class _Exchange:
    """One call of the application, from its response to the last byte of it."""

    def __init__(self, middleware: CacheMiddleware, forward: Forward, started: float) -> None:
        self.middleware = middleware
        self.cache = middleware.cache
        self.forward = forward
        self.started = started
        self.keeping: Keeping | None = None
        self.response: HttpResponseBase | None = None
        self.relaying = False
        self.finished = False

    @property
    def template(self) -> str:
        """The route's template."""
        return self.forward.route.template if self.forward.route else "-"

    def respond(self, response: HttpResponseBase) -> HttpResponseBase:
        """Turn the application's response into the one that goes out."""
        body = None if response.streaming else response.content  # type: ignore[attr-defined]
        decided = on_head(
            self.cache.engine,
            self.forward,
            head_of(response),
            now=self.cache.clock.monotonic(),
            wall_now=self.cache.clock.time(),
            body=body,
        )
        if isinstance(decided, Serve):
            response.close()
            return self._stand_in(decided)
        answer, self.keeping = decided
        if body is not None and self.keeping is not None:
            self._keep(response, body)
        if answer.body is not None:
            response = not_modified(response, answer)
        else:
            apply_answer(response, answer)
            if response.streaming and self.keeping is not None:
                self._tee(response)
        if not self.relaying:
            self._count(self.forward.outcome, answer.status)
        return response

    def failed(self) -> HttpResponseBase:
        """Serve a stale answer in place of the exception being handled, or re-raise it."""
        served = on_error(self.cache.engine, self.forward, self.cache.clock.monotonic())
        if served is None:
            self._count(self.forward.outcome, 0)
            raise
        return self._stand_in(served)

    def _stand_in(self, served: Serve) -> HttpResponseBase:
        answer = render(self.cache.engine, served)
        self._count(served.outcome, answer.status)
        return make_response(answer.status, answer.headers, answer.body or b"")

    def _keep(self, response: HttpResponseBase, body: bytes) -> None:
        keeping, self.keeping = self.keeping, None
        assert keeping is not None
        stored = on_complete(self.cache.engine, keeping, body, self.cache.clock.monotonic())
        if stored is not None and self.cache.config.redis is not None:
            response._resource_closers.append(lambda: self.middleware.save(stored))

    def _tee(self, response: Any) -> None:
        """Copy a streamed body aside on its way out."""
        self.relaying = True
        self.response = response
        if response.is_async:
            response.streaming_content = self._acopy(response.streaming_content)
        else:
            response.streaming_content = self._copy(response.streaming_content)
        response._resource_closers.append(self.end)

    def _copy(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        body: list[bytes] = []
        for piece in pieces:
            self._take(body, piece)
            yield piece
        self._complete(body)

    async def _acopy(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        body: list[bytes] = []
        async for piece in pieces:
            self._take(body, piece)
            yield piece
        self._complete(body)

    def _take(self, body: list[bytes], piece: bytes) -> None:
        keeping = self.keeping
        if keeping is None:
            return
        body.append(piece)
        if sum(map(len, body)) > keeping.max_size:
            self.keeping = None
            give_up(self.cache.engine, keeping, "too-large")
            body.clear()

    def _complete(self, body: list[bytes]) -> None:
        if self.keeping is not None and self.response is not None:
            self._keep(self.response, b"".join(body))

    def end(self) -> None:
        """Let go of everything when the response is closed, whether or not its body was all sent."""
        self.relaying = False
        if not self.finished and self.response is not None:
            self._count(self.forward.outcome, self.response.status_code)
        self.release_unless_relaying()

    def release_unless_relaying(self) -> None:
        """Let go of the flight, unless a streamed body is still on its way."""
        if self.relaying:
            return
        keeping, self.keeping = self.keeping, None
        if keeping is not None:
            give_up(self.cache.engine, keeping, "incomplete")
        if self.forward.fetch is not None:
            self.forward.fetch.abandon()

    def _count(self, outcome: Outcome, status: int) -> None:
        if not self.finished:
            self.finished = True
            self.cache.finish(self.forward.route, outcome, status, self.started)
