"""The front door for ASGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

Websockets, lifespan and whatever else is not HTTP pass through. Nothing is buffered on the way: a
body is copied aside while it is relayed. The start of a response waits for the first piece of its
body only where a Content-Length says that the body is of a piece, so that it can carry an ETag.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from random import random
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from cachemw.cache import Cache
from cachemw.engine.core.drivers import arun
from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.flows.on_request import on_request, refreshing
from cachemw.engine.lookup.rendering import Answer, hit_fields
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Extra, Target
from cachemw.engine.request.bodies import body_limit
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.frontdoor.exchange import Exchange, rendered
from cachemw.frontdoor.purge_endpoint import MAX_BODY, PurgeEndpoint
from cachemw.frontdoor.purge_orders import acarry_out, ordered
from cachemw.frontdoor.request_body import Incoming
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Content, Head, Request
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


_NO_FIELDS = Fields([])
_BEFORE_START = frozenset({"http.response.early_hint", "http.response.debug", "http.response.push"})
"""Messages that come before, and have nothing to do with, the response itself."""


class CacheMiddleware:
    """Answer what the cache may answer, and keep what it may keep of the rest."""

    def __init__(self, app: App, cache: Cache) -> None:
        """Wrap an ASGI 3 application."""
        self.app = app
        self.cache = cache
        self._names = cache.engine.watched.names
        self._engine = cache.engine
        self._bodied = cache.engine.bodied
        self._hit = cache.engine.hit_in_memory
        self._monotonic = cache.clock.monotonic
        self._hit_fields = hit_fields(cache.engine.settings, "memory")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._lifespan(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        now = self._monotonic()
        headers = scope["headers"]
        fields = dict(headers)
        extra = None
        if not self._names.isdisjoint(fields):
            extra = [pair for pair in headers if pair[0] in self._names]
        method = scope["method"]
        target = (
            scope.get("scheme"),
            fields.get(b"host"),
            scope.get("root_path"),
            scope["path"],
            scope.get("raw_path"),
            scope["query_string"],
        )
        holdout = self._engine.holdout
        held_out = holdout > 0.0 and random() < holdout
        if method == "GET" and not held_out:
            try:
                found = self._hit(target, extra, headers, now)
                fields_out = self._hit_fields(found[0], now) if found else []
            except Exception:  # a fault of ours: the way around the cache is open (I3)
                self.cache.logs.failed("hit_failed")
                found = None
            if found is not None:
                entry, plan = found
                status = entry.status
                await send({"type": "http.response.start", "status": status, "headers": fields_out})
                await send({"type": "http.response.body", "body": entry.body})
                self.cache.finish_hit(plan.route, status, now)
                return
        await self._slow(scope, receive, send, fields, target, extra, now, held_out)

    async def _slow(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        fields: dict[bytes, bytes],
        target: Target,
        extra: Extra | None,
        now: float,
        held_out: bool,
    ) -> None:
        cache = self.cache
        cache.start()
        if cache.endpoint is not None and (
            order := ordered(cache, lambda: _request(scope, fields))
        ):
            await self._carry_out(cache.endpoint, order, receive, send)
            return
        try:
            request, asked_at = _request(scope, fields), now
            if request.method in self._bodied:
                limit = body_limit(cache.engine, request, target)
                if limit is not None:
                    receive = incoming = Incoming(receive)
                    request = replace(request, content=await incoming.read(limit))
                    asked_at = self._monotonic()
            flow = on_request(cache.engine, request, target, extra, asked_at, held_out=held_out)
            decision = await arun(flow, cache.performer.aperform)
            answer = rendered(cache, decision) if isinstance(decision, Serve) else None
        except Exception:  # a fault of ours must not become the client's (I3)
            cache.logs.failed("request_failed")
            cache.finish(None, Outcome.ERROR_BYPASS, 0, now)
            await self.app(scope, receive, send)
            return
        if isinstance(decision, Serve):
            assert answer is not None
            await self._serve(scope, send, decision, answer, now)
            return
        exchange = Exchange(cache, decision, now)
        await _Relay(self, send, exchange).run(_rewritten(scope, decision), receive)

    async def _carry_out(
        self, endpoint: PurgeEndpoint, order: Request, receive: Receive, send: Send
    ) -> None:
        """Carry out what is ordered by HTTP, and answer."""
        if endpoint.reads(order):
            order = replace(order, content=await Incoming(receive).read(MAX_BODY))
        await _send_answer(send, await acarry_out(self.cache, order))

    async def _serve(
        self, scope: Scope, send: Send, served: Serve, answer: Answer, started: float
    ) -> None:
        """Send a stored answer; begin its refresh in the background if this request leads it."""
        if served.refresh is not None and not self.cache.tasks.spawn(
            self._refresh(scope, served.refresh)
        ):
            served.refresh.abandon()
        await _send_answer(send, answer)
        self.cache.finish(served.cacheable.route, served.outcome, answer.status, started)

    async def _refresh(self, scope: Scope, fetch: Fetch) -> None:
        """Call the application once more, with nobody listening, and keep its answer."""
        try:
            if not await self.cache.aleads_refresh(fetch):
                return
            forward = refreshing(fetch)
            exchange = Exchange(self.cache, forward, self._monotonic())
            own = {**_rewritten(scope, forward)}
            await _Relay(self, _nowhere, exchange).run(
                own, _nobody(fetch.cacheable.request.content)
            )
        except Exception:
            self.cache.logs.failed("refresh_failed")

    def save_later(self, stored: SharedWrite) -> None:
        """Write to the shared store when the response has gone out."""
        if self.cache.config.redis is not None and not self.cache.tasks.spawn(
            self.cache.asave(stored)
        ):
            self.cache.count("dropped_stores", "")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow the log before the first request comes, and close after the last."""
        server = object()

        async def relay(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.cache.servers.add(server)
                self.cache.start()
            elif message["type"] == "lifespan.shutdown.complete":
                self.cache.servers.discard(server)
                await self._shut_down()
            await send(message)

        await self.app(scope, receive, relay)

    async def _shut_down(self) -> None:
        # Closed under another server of this process, the cache would go on serving from memory
        # what is purged meanwhile.
        end = self.cache.aleave if self.cache.servers else self.cache.aclose
        with contextlib.suppress(Exception):
            await end()


class _Relay:
    """Passes the messages of one call of the application on, through its exchange."""

    __slots__ = ("_exchange", "_fields", "_held", "_middleware", "_replaced", "_send", "_sent")

    def __init__(self, middleware: CacheMiddleware, send: Send, exchange: Exchange) -> None:
        self._middleware = middleware
        self._send = send
        self._exchange = exchange
        self._held: Message | None = None
        self._fields = _NO_FIELDS
        """Of the message that is held."""
        self._sent = False
        self._replaced = False

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Call the application to its end; its flight is let go of, whatever happens."""
        exchange = self._exchange
        try:
            with span_origin(exchange.template), exchange.recording:
                await self._middleware.app(scope, receive, self.relay)
        except Exception:
            answer = exchange.fail(sent=self._sent)
            if answer is None:
                raise
            await self._replace(answer)
        finally:
            exchange.finish()

    async def relay(self, message: Message) -> None:
        """Take one message from the application."""
        kind = message["type"]
        try:
            if kind == "http.response.body":
                await self._on_body(message)
            elif kind == "http.response.start":
                await self._on_start(message)
            elif kind in _BEFORE_START:
                await self._send(message)
            else:
                # pathsend, zerocopysend, trailers, or of another age: what cannot be copied is not kept.
                await self._flush()
                self._exchange.stop("message")
                if not self._replaced:
                    await self._send(message)
        except OSError:  # the client is gone, which says nothing of the next one's answer
            self._exchange.finish()
            raise

    async def _on_start(self, message: Message) -> None:
        """Hold the start of a response that says how long it is, and has nothing behind it."""
        self._held, self._fields = message, Fields(_pairs(message.get("headers", ())))
        is_of_a_piece = b"content-length" in self._fields and not message.get("trailers")
        if self._exchange.forward.fetch is None or not is_of_a_piece:
            await self._flush()

    async def _flush(self, body: bytes | None = None) -> None:
        """Decide on the held start of the response, and send what is decided."""
        message, self._held = self._held, None
        if message is None:
            return
        head = Head(status=message["status"], headers=self._fields)
        answer = self._exchange.decide(head, body)
        if self._exchange.purge:
            await self._middleware.cache.ainvalidate(self._exchange.purge)
        if answer.body is not None:
            await self._replace(answer)
            return
        self._sent = True
        if message.get("trailers"):
            self._exchange.stop("trailers")
        await self._send({**message, "status": answer.status, "headers": answer.headers})

    async def _replace(self, answer: Answer) -> None:
        """Send a whole answer of ours; what the application still sends goes nowhere."""
        self._sent = self._replaced = True
        await _send_answer(self._send, answer)

    async def _on_body(self, message: Message) -> None:
        exchange = self._exchange
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        if self._held is not None:
            await self._flush(None if more else bytes(chunk))
        if exchange.keeping:
            exchange.take(chunk)
            if not more:  # the memory tier has the entry before the client has the last byte
                exchange.complete()
        if not self._replaced:
            await self._send(message)
        if exchange.stored is not None:
            stored, exchange.stored = exchange.stored, None
            self._middleware.save_later(stored)


async def _send_answer(send: Send, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body or b""})


async def _nowhere(message: Message) -> None:
    """Take the messages of a refresh: nobody listens."""


def _nobody(content: Content | None) -> Receive:
    """Give the receive channel of a client that sends a body, or an empty one, and then stays."""
    begun = False

    async def receive() -> Message:
        nonlocal begun
        if begun:
            # A disconnect would make frameworks cancel the response that is being made.
            await asyncio.Event().wait()
        begun = True
        body = b"" if content is None else content.data
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _pairs(headers: Iterable[tuple[bytes, bytes]]) -> list[Pair]:
    """Give a response's fields as pairs of bytes with names in lower case, as most of them are."""
    return [
        (
            name if type(name) is bytes and name.islower() else bytes(name).lower(),
            value if type(value) is bytes else bytes(value),
        )
        for name, value in headers
    ]


def _request(scope: Scope, fields: dict[bytes, bytes]) -> Request:
    mount = scope.get("root_path") or ""
    path = scope["path"]
    raw = scope.get("raw_path")
    raw_path: bytes = raw if raw is not None else quote(path, errors="surrogateescape").encode()
    below = path
    # Servers differ: some give the path with the mount in it, some without.
    if mount and (path == mount or path.startswith(mount + "/")):
        below = path[len(mount) :] or "/"
        raw_mount = quote(mount, errors="surrogateescape").encode()
        if raw_path.startswith(raw_mount):
            raw_path = raw_path[len(raw_mount) :] or b"/"
    headers = scope["headers"]
    if not isinstance(headers, list):
        headers = [(bytes(name), bytes(value)) for name, value in headers]
    return Request(
        method=scope["method"],
        scheme=scope.get("scheme") or "http",
        mount=mount,
        path=below,
        raw_path=raw_path,
        query=scope["query_string"],
        headers=Fields(headers, fields),
    )


def _rewritten(scope: Scope, forward: Forward) -> Scope:
    """Give the scope that the application is to see."""
    rewrite = forward.rewrite
    if rewrite is None:
        return scope
    return {**scope, "headers": list(rewrite.headers.pairs), "query_string": rewrite.query}
