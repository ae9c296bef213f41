"""The front door for WSGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

Nothing is buffered: a body is copied while it is relayed, and closed at the end whatever happens.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

from cachemw.cache import Cache
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.fitting import check_wsgi
from cachemw.frontdoor.pipeline import Arrival, CacheReply, Pipeline
from cachemw.frontdoor.request_body import carries_body, read_input
from cachemw.frontdoor.wsgi_environ import (
    Environ,
    EnvironReader,
    native,
    raw_target,
)
from cachemw.frontdoor.wsgi_relay import App, StartResponse, WsgiRelay, start_nowhere, status_line
from cachemw.http.messages import Content

__all__ = ["CacheMiddleware"]

_NOT_COPIED = ("gunicorn.", "werkzeug.", "uwsgi.", "mod_wsgi.")
"""Handles on the server's own connection, which a background call must not touch."""


class CacheMiddleware:
    """Serves what the cache may serve, and stores what it may store of the rest."""

    def __init__(self, app: App, cache: Cache) -> None:
        """Wrap a WSGI application; raises TypeError for another one, and for what is no Cache."""
        check_wsgi(app, cache)
        self.app = app
        self.cache = cache
        self._pipeline = pipeline = Pipeline(cache._core)
        self._reader = EnvironReader(pipeline.watched_names)
        self._engine = pipeline.engine
        self._is_held_out = pipeline.is_held_out
        self._hit = pipeline.hit
        self._finish_hit = pipeline.finish_hit
        self._monotonic = pipeline.monotonic

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        now = self._monotonic()
        hit = arrival = None
        try:
            scheme = environ["wsgi.url_scheme"]
            raw = raw_target(environ)
            target = self._reader.target(environ, scheme, raw)
            watched = self._reader.watched(environ)
            held_out = self._engine.holdout > 0.0 and self._is_held_out()
            terminated = environ.get("wsgi.input_terminated")
            if environ["REQUEST_METHOD"] == "GET" and not held_out:
                hit = self._hit(target, watched, None, now)
                if hit is not None and terminated and carries_body(environ):
                    hit = None
            if hit is None:
                arrival = Arrival(
                    lambda: self._reader.request(environ, scheme, raw),
                    target,
                    watched,
                    now,
                    held_out,
                    framed=not terminated,
                )
        except Exception:  # on an internal error, bypass the cache (I3)
            hit = None
            self._pipeline.bypass(now)
        if hit is not None:
            status, headers, body, route = hit
            start_response(status_line(status), native(headers))
            self._finish_hit(route, status, now)
            return [body]
        return self._look_closer(environ, start_response, arrival)

    def _look_closer(
        self, environ: Environ, start_response: StartResponse, arrival: Arrival | None
    ) -> Iterable[bytes]:
        decision = None
        if arrival is not None:
            decision = self._pipeline.decide(arrival, lambda limit: read_input(environ, limit))
        if decision is None:
            return self.app(environ, start_response)
        if isinstance(decision, Exchange):
            return WsgiRelay(self.app, start_response, decision).run(environ)
        return self._reply(environ, start_response, decision)

    def _reply(
        self, environ: Environ, start_response: StartResponse, reply: CacheReply
    ) -> Iterable[bytes]:
        if reply.refreshes:
            try:
                reply.start_refresh(self._refresh(environ, reply.content))
            except Exception:
                reply.give_up_refresh()
        answer = reply.answer
        start_response(status_line(answer.status), native(answer.headers))
        reply.finish()
        return [answer.body or b""]

    def _refresh(self, environ: Environ, content: Content | None) -> Callable[[Exchange], None]:
        own = _detached(environ, content)

        def call(exchange: Exchange) -> None:
            WsgiRelay(self.app, start_nowhere, exchange).consume(own)

        return call


def _detached(environ: Environ, content: Content | None) -> Environ:
    """Copy an environ for a refresh: with a body of its own, without the server's connection."""
    own = {name: v for name, v in environ.items() if not name.startswith(_NOT_COPIED)}
    own["wsgi.input"] = io.BytesIO(b"" if content is None else content.data)
    own.pop("wsgi.file_wrapper", None)
    return own
