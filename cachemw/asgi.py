"""The front door for ASGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

What is not HTTP (websockets, lifespan, unknown scopes) passes through. Nothing is buffered: a body is
copied while it is relayed. The start of a response waits for the first piece of its body only if a
Content-Length says that this piece may be all, so that the response can carry an ETag.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from cachemw.cache import Cache
from cachemw.frontdoor.asgi_relay import AsgiRelay
from cachemw.frontdoor.asgi_scope import (
    IDENTITY_IN_STATE,
    App,
    Receive,
    Scope,
    Send,
    outer_of,
    receive_body,
    request_of,
    send_answer,
    send_nowhere,
)
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.lifespan import Lifespan
from cachemw.frontdoor.pipeline import Arrival, CacheReply, Pipeline
from cachemw.frontdoor.request_body import Incoming

__all__ = ["CacheMiddleware"]

_FRAMED = frozenset({"1.1", "1.0"})
"""Versions of HTTP in which a request without Content-Length and Transfer-Encoding has no body."""
_NOT_IN_STATE = IDENTITY_IN_STATE.isdisjoint


class CacheMiddleware:
    """Serves what the cache may serve, and stores what it may store of the rest."""

    def __init__(self, app: App, cache: Cache) -> None:
        """Wrap an ASGI 3 application."""
        self.app = app
        self.cache = cache
        self._pipeline = pipeline = Pipeline(cache._core)
        self._names = pipeline.watched_names
        self._engine = pipeline.engine
        self._is_held_out = pipeline.is_held_out
        self._hit = pipeline.hit
        self._finish_hit = pipeline.finish_hit
        self._monotonic = pipeline.monotonic
        self._lifespan_state: Mapping[str, object] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._pass_on(scope, receive, send)
            return
        now = self._monotonic()
        headers = scope["headers"]
        first = dict(headers)
        watched = None
        if not self._names.isdisjoint(first):
            watched = [pair for pair in headers if pair[0] in self._names]
        outer: tuple[tuple[bytes, bytes], ...] = ()
        known = (
            "session" in scope
            or "user" in scope
            or "auth" in scope
            or ("extensions" in scope and "tls" in scope["extensions"])
        )
        if "state" in scope and (state := scope["state"]) and state.__class__ is dict:
            known = known or not _NOT_IN_STATE(state)
        if known:
            outer = outer_of(scope, self._lifespan_state)
            watched = [*(watched or ()), *outer] or None
        target = (
            scope.get("scheme"),
            first.get(b"host"),
            scope.get("root_path"),
            scope["path"],
            scope.get("raw_path"),
            scope["query_string"],
        )
        held_out = self._engine.holdout > 0.0 and self._is_held_out()
        framed = scope.get("http_version") in _FRAMED
        if scope["method"] == "GET" and framed and not held_out:
            hit = self._hit(target, watched, headers, now)
            if hit is not None:
                status, fields, body, route = hit
                await send({"type": "http.response.start", "status": status, "headers": fields})
                await send({"type": "http.response.body", "body": body})
                self._finish_hit(route, status, now)
                return
        read = partial(request_of, scope, first, outer)  # a closure would make every hit slower
        arrival = Arrival(read, target, watched, now, held_out, framed)
        await self._look_closer(scope, receive, send, arrival)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            send = Lifespan(self._pipeline.core, send).relay
            self._lifespan_state = scope.get("state") or {}
        await self.app(scope, receive, send)

    async def _look_closer(
        self, scope: Scope, receive: Receive, send: Send, arrival: Arrival
    ) -> None:
        incoming = Incoming(receive)
        try:
            decision = await self._pipeline.adecide(arrival, incoming.read)
            if incoming.was_read:
                receive = incoming
            if decision is None:
                await self.app(scope, receive, send)
            elif isinstance(decision, Exchange):
                await AsgiRelay(self.app, send, decision).run(scope, receive)
            else:
                await self._reply(scope, send, decision)
        finally:
            incoming.close()

    async def _reply(self, scope: Scope, send: Send, reply: CacheReply) -> None:
        if reply.refreshes:
            body = receive_body(reply.content)

            async def call(exchange: Exchange) -> None:
                await AsgiRelay(self.app, send_nowhere, exchange).run({**scope}, body)

            reply.astart_refresh(call)
        await send_answer(send, reply.answer)
        reply.finish()
