"""The pipeline: what every front door does with a request, written once.

A front door translates its host's requests and responses, and nothing else. In this order:

1. `is_held_out` draws whether the request belongs to the holdout, which never uses the cache.
2. `hit` answers a GET from memory with one plain call. Most requests end here.
3. `decide` (threads) or `adecide` (event loops) looks closer. It returns
   - a `CacheReply`: send its answer, then call `finish`; start its refresh first, if it has one;
   - an `Exchange`: call the application through it, rewritten as it says;
   - None: the cache failed. Call the application as if there were no cache (I3).

A refresh calls the application again when no client waits for the response. `Reply.start_refresh`
and `Reply.astart_refresh` run it in the background, and release its flight whatever happens: a
flight that is kept makes every later request for its key wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.core.drivers import arun, run
from cachemw.engine.core.effects import Effect
from cachemw.engine.flows.on_request import forward_past, on_request, refreshing
from cachemw.engine.lookup.leasing import leads_refresh
from cachemw.engine.lookup.rendering import hit_fields, render
from cachemw.engine.model.entry import EntryWithHoles
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.request.bodies import body_limit
from cachemw.engine.request.decisions import Fetch, Serve
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.purge_endpoint import MAX_BODY, endpoint_of
from cachemw.frontdoor.purge_orders import PurgeOrders
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Answer, Content, Request
from cachemw.process.chance import draw
from cachemw.recording.context import current, passing, reused
from cachemw.wiring.core import Core

__all__ = ["Arrival", "CacheReply", "Pipeline"]

_LOOK = 0.001
"""Seconds between two looks whether Redis has answered what is switched off, when a process starts."""

_recording = current.get

Hit = tuple[int, list[Pair], bytes, RouteState]
"""Status, headers and body to send, and the route, for `finish_hit`."""


_NOBODY = Request(
    method="GET", scheme="http", mount="", path="/", raw_path=b"/", query=b"", headers=Fields([])
)
"""After an internal error, holes are filled as for a client without cookies."""


class Arrival(Struct, frozen=True):
    """A request that memory did not answer."""

    read: Callable[[], Request]
    """Reads the request; what it raises is a failure of the cache, not of the request."""
    target: Target
    watched: Extra | None
    """Those headers that decide whether the request is special; None where it has none of them."""
    started: float
    held_out: bool
    framed: bool = True
    """Whether the headers tell if a body follows, as in HTTP/1 (RFC 9112 §6.3)."""


class _ReadBody(Struct, frozen=True):
    """Effect: read the request's body, up to so many bytes. Result: `(Content, now)`."""

    limit: int


class _AwaitFlags(Struct, frozen=True):
    """Effect: wait for the live flags, up to so many seconds. Result: `(None, now)`."""

    seconds: float


class _ExecutePurge(Struct, frozen=True):
    """Effect: execute a purge that was ordered over HTTP. Result: `(Answer, now)`."""

    order: Request


_Effect = Effect | _ReadBody | _AwaitFlags | _ExecutePurge
_Steps = Generator[_Effect, Any, "CacheReply | Exchange"]


class CacheReply:
    """An answer of the cache's own, and what follows it."""

    __slots__ = ("_core", "_served", "_started", "answer")

    def __init__(self, core: Core, answer: Answer, served: Serve | None, started: float) -> None:
        """Make a reply; `served` is None for the answer to a purge, which is no cached response."""
        self.answer = answer
        self._core = core
        self._served = served
        self._started = started

    @property
    def refreshes(self) -> bool:
        """Whether a refresh is to be started."""
        return self._served is not None and self._served.refresh is not None

    @property
    def content(self) -> Content | None:
        """The request's body, for the refresh."""
        refresh = self._refresh()
        return refresh.cacheable.request.content

    def start_refresh(self, call: Callable[[Exchange], None]) -> None:
        """Start the refresh in a worker thread; `call` calls the application and consumes its body."""
        fetch = self._refresh()
        try:
            if not self._core.workers.submit(
                lambda: _run_refresh(self._core, fetch, call), fetch.abandon
            ):
                fetch.abandon()
        except Exception:
            self.give_up_refresh()

    def astart_refresh(self, call: Callable[[Exchange], Awaitable[None]]) -> None:
        """Start the refresh in a task of the running event loop."""
        fetch = self._refresh()
        work = _arun_refresh(self._core, fetch, call)
        try:
            # A task that is cancelled before it begins (its event loop ends) runs no `finally`.
            if not self._core.tasks.spawn(work, fetch.abandon):
                fetch.abandon()
        except Exception:
            work.close()
            self.give_up_refresh()

    def give_up_refresh(self) -> None:
        """Log the exception being handled, and release the flight of the refresh (I3)."""
        self._core.reporter.logs.failed("refresh_failed")
        self._refresh().abandon()

    def _refresh(self) -> Fetch:
        assert self._served is not None
        assert self._served.refresh is not None
        return self._served.refresh

    def finish(self) -> None:
        """Count the request: its answer has been sent."""
        served = self._served
        if served is not None:
            self._core.reporter.finish(
                served.cacheable.route, served.outcome, self.answer.status, self._started
            )


def _run_refresh(core: Core, fetch: Fetch, call: Callable[[Exchange], None]) -> None:
    exchange = None
    try:
        if run(leads_refresh(core.engine, fetch), core.effects.perform):
            exchange = _refreshing(core, fetch)
            call(exchange)
    except Exception:
        core.reporter.logs.failed("refresh_failed")
    finally:
        _end_refresh(core, fetch, exchange)


async def _arun_refresh(
    core: Core, fetch: Fetch, call: Callable[[Exchange], Awaitable[None]]
) -> None:
    exchange = None
    try:
        if await arun(leads_refresh(core.engine, fetch), core.effects.aperform):
            exchange = _refreshing(core, fetch)
            await call(exchange)
    except Exception:
        core.reporter.logs.failed("refresh_failed")
    finally:
        _end_refresh(core, fetch, exchange)


def _refreshing(core: Core, fetch: Fetch) -> Exchange:
    fills = core.engine.fills
    client = (fills, fetch.cacheable.request) if fills else None
    return Exchange(core, refreshing(fetch), core.clock.monotonic(), client)


def _end_refresh(core: Core, fetch: Fetch, exchange: Exchange | None) -> None:
    """Release the flight and the lease, wherever the refresh failed: others wait for both."""
    if exchange is not None:
        exchange.finish()
    fetch.abandon()
    if (lease := fetch.take_lease()) is not None:
        core.writer.settle(lease, uncacheable=fetch.uncacheable)


class Pipeline:
    """The pipeline of one front door."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.watched_names = core.engine.watched.names
        """The headers that `Arrival.watched` and `hit` want to see."""
        self.monotonic = core.clock.monotonic
        self.finish_hit = core.reporter.finish_hit
        """Call it with the hit's route and status when the hit has been sent."""
        self.engine = core.engine
        """For `engine.holdout`: the hot path calls `is_held_out` only if a share is held out."""
        self._hit_in_memory = core.engine.hit_in_memory
        self._hit_headers = hit_fields(core.engine.settings, "memory")
        endpoint = endpoint_of(core.config.endpoint)
        self._purge_orders = None if endpoint is None else PurgeOrders(core, endpoint)

    def is_held_out(self) -> bool:
        """Draw whether a request belongs to the holdout."""
        return draw() < self.engine.holdout

    def hit(
        self, target: Target, watched: Extra | None, headers: Sequence[Pair] | None, now: float
    ) -> Hit | None:
        """Answer a GET from memory, or return None.

        `headers` are all of the request's, or None where reading them costs too much: then
        responses that vary are left to `decide`.
        """
        try:
            found = self._hit_in_memory(target, watched, headers, now)
            if found is None:
                return None
            entry, plan = found
            # An application that asks itself. `reused` does the same; this path has a budget.
            recording = _recording()
            if recording is not None:
                recording.add_stored(entry.tags, stale=False)
            return entry.status, self._hit_headers(entry, now), entry.body, plan.route
        except Exception:  # on an internal error, bypass the cache (I3)
            self.core.reporter.logs.failed("hit_failed")
            return None

    def decide(
        self, arrival: Arrival, read_body: Callable[[int], Content]
    ) -> CacheReply | Exchange | None:
        """Decide on a request, in a thread. See the module for what to do with the result."""
        core = self.core

        def perform(effect: _Effect) -> tuple[Any, float]:
            if isinstance(effect, _ReadBody):
                return read_body(effect.limit), self.monotonic()
            if isinstance(effect, _AwaitFlags):
                for _ in self._looks_for_flags(effect.seconds):
                    time.sleep(_LOOK)
                return None, self.monotonic()
            if isinstance(effect, _ExecutePurge):
                assert self._purge_orders is not None
                return self._purge_orders.execute(effect.order), self.monotonic()
            return core.effects.perform(effect)

        try:
            return run(self._steps(arrival), perform)
        except Exception:
            self.bypass(arrival.started)
            return None

    async def adecide(
        self, arrival: Arrival, read_body: Callable[[int], Awaitable[Content]]
    ) -> CacheReply | Exchange | None:
        """Decide on a request as `decide` does, without blocking the event loop."""
        core = self.core

        async def perform(effect: _Effect) -> tuple[Any, float]:
            if isinstance(effect, _ReadBody):
                return await read_body(effect.limit), self.monotonic()
            if isinstance(effect, _AwaitFlags):
                for _ in self._looks_for_flags(effect.seconds):
                    await asyncio.sleep(_LOOK)
                return None, self.monotonic()
            if isinstance(effect, _ExecutePurge):
                assert self._purge_orders is not None
                return await self._purge_orders.aexecute(effect.order), self.monotonic()
            return await core.effects.aperform(effect)

        try:
            if not core.tasks.can_run():
                return self._without_loop(arrival)
            return await arun(self._steps(arrival), perform)
        except Exception:
            self.bypass(arrival.started)
            return None

    def _steps(self, arrival: Arrival) -> _Steps:
        core, engine = self.core, self.engine
        core.start()
        core.effects.begin_request()
        request, now = arrival.read(), arrival.started
        if core.asks_for_flags and engine.router.match(request.mount, request.path):
            began = time.monotonic()
            _, now = yield _AwaitFlags(core.flags_wait)
            core.note_flags_wait(began)
        orders = self._purge_orders
        if orders is not None and orders.matches(request):
            if orders.reads_body(request):
                content, _ = yield _ReadBody(MAX_BODY)
                request = replace(request, content=content)
            answer, _ = yield _ExecutePurge(request)
            return CacheReply(core, answer, None, arrival.started)
        if request.method in engine.bodied or not arrival.framed:
            limit = body_limit(engine, request, arrival.target, framed=arrival.framed)
            if limit is not None:
                content, now = yield _ReadBody(limit)
                request = replace(request, content=content)
        decision = yield from on_request(
            engine, request, arrival.target, arrival.watched, now, held_out=arrival.held_out
        )
        if isinstance(decision, Serve):
            stale = decision.outcome.outcome == "stale"
            filled = type(decision.entry) is EntryWithHoles
            reused(decision.entry.tags, stale=stale, filled=filled)
            return CacheReply(core, _rendered(core, decision), decision, arrival.started)
        try:
            client = (engine.fills, request) if engine.fills else None
            return Exchange(core, decision, arrival.started, client)
        except BaseException:
            if decision.fetch is not None:
                _end_refresh(core, decision.fetch, None)
            raise

    def _looks_for_flags(self, seconds: float) -> Iterator[None]:
        """Yield until this process knows the live flags, or Redis is away, or the time is over."""
        end = time.monotonic() + seconds
        while self.core.asks_for_flags and time.monotonic() < end:
            yield

    def _without_loop(self, arrival: Arrival) -> Exchange:
        """Forward a request of another event loop than asyncio's (trio), which the cache cannot use."""
        core = self.core
        core.reporter.logs.loop_unsupported()
        core.start()
        request, fills = arrival.read(), core.engine.fills
        forward = forward_past(core.engine, request, "event-loop")
        return Exchange(core, forward, arrival.started, (fills, request) if fills else None)

    def bypass(self, started: float) -> None:
        """Log and count an internal error; the request goes to the application (I3)."""
        if self.engine.fills:  # who asks is not known for certain
            passing.set((self.engine.fills, _NOBODY))
        self.core.reporter.logs.failed("request_failed")
        self.core.reporter.finish(None, Outcome.ERROR_BYPASS, 0, started)


def _rendered(core: Core, served: Serve) -> Answer:
    """Render a stored answer; if that fails, release the flight of the refresh that was to follow."""
    try:
        return render(core.engine, served)
    except BaseException:
        if served.refresh is not None:
            served.refresh.abandon()
        raise
