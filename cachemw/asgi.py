"""The front door for ASGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

What is not HTTP (websockets, lifespan, unknown scopes) passes through. Nothing is buffered: a body is
copied while it is relayed. The start of a response waits for the first piece of its body only if a
Content-Length says that this piece may be all, so that the response can carry an ETag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from cachemw.cache import Cache
from cachemw.frontdoor.asgi_relay import AsgiRelay
from cachemw.frontdoor.asgi_scope import (
    IDENTITY_IN_STATE,
    NOBODY,
    App,
    Receive,
    Scope,
    Send,
    has_one_host,
    outer_of,
    plain,
    receive_body,
    refresh_scope,
    request_of,
    send_answer,
    send_nowhere,
    target_of,
)
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.fitting import check_asgi
from cachemw.frontdoor.lifespan import Lifespan
from cachemw.frontdoor.pipeline import Arrival, CacheReply, Pipeline
from cachemw.frontdoor.request_body import Incoming

__all__ = ["CacheMiddleware"]

_FRAMED = frozenset({"1.1", "1.0"})
"""Versions of HTTP in which a request without Content-Length and Transfer-Encoding has no body."""
_ABSENT = IDENTITY_IN_STATE.isdisjoint


class CacheMiddleware:
    """Serves what the cache may serve, and stores what it may store of the rest."""

    def __init__(self, app: App, cache: Cache) -> None:
        """Wrap an ASGI 3 application; raises TypeError for another one, and for what is no Cache."""
        check_asgi(app, cache)
        self.app = app
        self.cache = cache
        self._pipeline = pipeline = Pipeline(cache._core)
        self._names = pipeline.watched_names
        self._engine = pipeline.engine
        self._is_held_out = pipeline.is_held_out
        self._hit = pipeline.hit
        self._finish_hit = pipeline.finish_hit
        self._monotonic = pipeline.monotonic
        self._state: Mapping[str, Any] | None = None
        """The state of the server's lifespan, which it copies into the scope of each request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._pass(scope, receive, send)
            return
        now = self._monotonic()
        headers: Any = scope.get("headers")
        try:
            first = dict(headers) if type(headers) is list else {}
        except Exception:  # names that cannot be looked up
            first = {}
        host = first.get(b"host")
        if type(host) is not bytes:  # the pairs have another form, or there is no Host
            scope, headers, first = plain(scope)
            host = first.get(b"host")
        hit = arrival = None
        try:
            watched, outer = None, NOBODY
            if not self._names.isdisjoint(first):
                watched = [(name, value) for name, value in headers if name in self._names]
            if (
                ("session" in scope or "user" in scope or "auth" in scope)
                or ("extensions" in scope and "tls" in (scope["extensions"] or ()))
                or ((state := scope.get("state")) and not (type(state) is dict and _ABSENT(state)))
            ):
                outer = outer_of(scope, self._state or {})
                watched = [*(watched or ()), *outer] or None
            target = target_of(scope, host)
            held_out = self._engine.holdout > 0.0 and self._is_held_out()
            framed = scope.get("http_version", "1.1") in _FRAMED
            plain_get = scope["method"] == "GET" and framed and not held_out
            if plain_get and (len(first) == len(headers) or has_one_host(headers)):
                hit = self._hit(target, watched, headers, now)
            if hit is None:
                read = partial(request_of, scope, first, outer)  # a closure would slow every hit
                arrival = Arrival(read, target, watched, now, held_out, framed)
        except Exception:  # on an internal error, bypass the cache (I3)
            self._pipeline.bypass(now)
        if hit is None:
            await self._look_closer(scope, receive, send, arrival)
            return
        status, fields, body, route = hit
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})
        self._finish_hit(route, status, now)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is not HTTP."""
        if scope["type"] == "lifespan":
            self._state = scope.get("state")
            send = Lifespan(self._pipeline.core, send).relay
        await self.app(scope, receive, send)

    async def _look_closer(
        self, scope: Scope, receive: Receive, send: Send, arrival: Arrival | None
    ) -> None:
        if arrival is None:
            await self.app(scope, receive, send)
            return
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
            try:
                reply.astart_refresh(self._refresh(scope, reply))
            except Exception:
                reply.give_up_refresh()
        await send_answer(send, reply.answer)
        reply.finish()

    def _refresh(self, scope: Scope, reply: CacheReply) -> Callable[[Exchange], Awaitable[None]]:
        own, body = refresh_scope(scope, self._state), receive_body(reply.content)

        async def call(exchange: Exchange) -> None:
            await AsgiRelay(self.app, send_nowhere, exchange).run(own, body)

        return call
