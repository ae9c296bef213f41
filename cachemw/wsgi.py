"""The front door for WSGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

The application's iterable is always closed, also when the client goes away. Bodies are copied aside
while they are relayed, piece by piece; what is not kept is handed to the server as it is, so that
`wsgi.file_wrapper` works.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from cachemw.cache import Cache
from cachemw.engine.answers import (
    Answer,
    Keeping,
    Stored,
    fields_of_hit,
    give_up,
    on_complete,
    on_error,
    on_head,
    render,
)
from cachemw.engine.drivers import run
from cachemw.engine.flows import Fetch, Forward, Serve, on_request
from cachemw.engine.outcomes import Outcome
from cachemw.environ import Environ, EnvironReader, apply_rewrite, native, raw_target
from cachemw.http.messages import Head
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_LOG = logging.getLogger("cachemw.faults")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_NOT_COPIED = ("gunicorn.", "werkzeug.", "uwsgi.", "mod_wsgi.")
"""Handles on the server's own connection, which a background call must not touch."""


class CacheMiddleware:
    """Answer what the cache may answer, and keep what it may keep of the rest."""

    def __init__(self, app: App, cache: Cache) -> None:
        """Wrap a WSGI application."""
        self.app = app
        self.cache = cache
        self._reader = EnvironReader(cache.engine.watched.names)
        self._hit = cache.engine.hit_in_memory
        self._monotonic = cache.clock.monotonic

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        now = self._monotonic()
        scheme = environ["wsgi.url_scheme"]
        raw = raw_target(environ)
        target = self._reader.target(environ, scheme, raw)
        extra = self._reader.watched(environ)
        if environ["REQUEST_METHOD"] == "GET":
            found = self._hit(target, extra, None, now)
            if found is not None:
                entry, plan = found
                headers = fields_of_hit(entry, now, "memory")
                if self.cache.config.x_cache:
                    headers.append((b"x-cache", b"HIT"))
                start_response(_status_line(entry.status), native(headers))
                self.cache.finish_hit(plan.route, entry.status, now)
                return [entry.body]
        cache = self.cache
        cache.start()
        try:
            request = self._reader.request(environ, scheme, raw)
            flow = on_request(cache.engine, request, target, extra, now)
            decision = run(flow, cache.performer.perform)
        except Exception:  # a fault of ours must not become the client's (I3)
            _LOG.exception("event=request_failed")
            cache.finish(None, Outcome.ERROR_BYPASS, 0, now)
            return self.app(environ, start_response)
        if isinstance(decision, Serve):
            return self._serve(environ, start_response, decision, now)
        if decision.rewrite is not None:
            apply_rewrite(environ, decision.rewrite)
        return _Exchange(self, start_response, decision, now).run(environ)

    def _serve(
        self, environ: Environ, start_response: StartResponse, served: Serve, started: float
    ) -> Iterable[bytes]:
        """Send a stored answer; begin its refresh in the background if this request leads it."""
        fetch = served.refresh
        if fetch is not None:
            own = _detached(environ)
            if not self.cache.background.submit(lambda: self._refresh(own, fetch)):
                fetch.abandon()
        answer = render(self.cache.engine, served)
        start_response(_status_line(answer.status), native(answer.headers))
        self.cache.finish(served.ask.route, served.outcome, answer.status, started)
        return [answer.body or b""]

    def _refresh(self, environ: Environ, fetch: Fetch) -> None:
        """Call the application once more, with nobody listening, and keep its answer."""
        rewrite = fetch.ask.rewrite(keep_conditions=False)
        if rewrite is not None:
            apply_rewrite(environ, rewrite)
        forward = Forward(
            route=fetch.ask.route, outcome=Outcome.REFRESH, reason="refresh", fetch=fetch
        )
        try:
            body = _Exchange(self, _nowhere, forward, self._monotonic()).run(environ)
            try:
                for _ in body:
                    pass
            finally:
                _close(body)
        except Exception:
            _LOG.exception("event=refresh_failed route=%s", fetch.ask.route.template)

    def save(self, stored: Stored) -> None:
        """Write to the shared store; the response has gone out."""
        try:
            self.cache.save(stored)
        except Exception:
            _LOG.exception("event=save_failed")


class _Exchange:
    """One call of the application."""

    def __init__(
        self,
        middleware: CacheMiddleware,
        start_response: StartResponse,
        forward: Forward,
        started: float,
    ) -> None:
        self.middleware = middleware
        self.start_response = start_response
        self.forward = forward
        self.started = started
        self.head: tuple[str, list[tuple[str, str]], Any] | None = None
        self.sent = False
        self.outcome = forward.outcome
        self.status = 0
        self.keeping: Keeping | None = None
        self.finished = False

    @property
    def cache(self) -> Cache:
        """The cache."""
        return self.middleware.cache

    def run(self, environ: Environ) -> Iterable[bytes]:
        """Call the application and give the body that the server is to send."""
        iterable: Iterable[bytes] = ()
        try:
            with span_origin(self.forward.route.template if self.forward.route else "-"):
                iterable = self.middleware.app(environ, self.capture)
                return self._relayed(iterable)
        except Exception:
            served = None if self.sent else on_error(self.cache.engine, self.forward, self._now())
            if served is None:
                self._abort(iterable)
                raise
            _close(iterable)
            return [self._stand_in(served)]
        except BaseException:
            self._abort(iterable)
            raise

    def _abort(self, iterable: Iterable[bytes]) -> None:
        try:
            _close(iterable)
        finally:
            self.finish()

    def _now(self) -> float:
        return self.cache.clock.monotonic()

    def capture(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Take the application's head; it is sent when the first of its body is known (PEP 3333)."""
        if self.sent:
            # The head is out: the server must re-raise exc_info, or complain of a second call.
            return self.start_response(status, headers, exc_info)
        self.head = (status, headers, exc_info)
        return self._write

    def _write(self, data: bytes) -> None:
        """Serve applications that use the legacy `write`: straight through, and nothing is kept."""
        if not self.sent:
            self._send_head(None)
            self._stop_keeping("write")
        self.writer(data)

    def _relayed(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        if self.sent:  # by write(); what is left in the iterable follows
            return _Relay(self, iterable, iter(iterable), [])
        whole = _whole(iterable) if self.head is not None else None
        if whole is not None:
            return self._relay_whole(iterable, whole)
        # The head may come as late as with the first piece. Until then nothing can be sent anyway.
        pieces = iter(iterable)
        first = [] if self._has_head_for(iterable) else _first(pieces)
        stand_in = self._send_head(None)
        if stand_in is not None:
            _close(iterable)
            return [stand_in]
        if self.forward.fetch is None and not first:
            self.finish()
            return iterable
        return _Relay(self, iterable, pieces, first)

    def _has_head_for(self, iterable: Iterable[bytes]) -> bool:
        """Whether the head is there, and no stand-in could be wanted before the first piece."""
        fetch = self.forward.fetch
        return self.head is not None and (fetch is None or fetch.stale is None)

    def _relay_whole(self, iterable: Iterable[bytes], body: bytes) -> Iterable[bytes]:
        stand_in = self._send_head(body)
        if stand_in is not None:
            _close(iterable)
            return [stand_in]
        return _Relay(self, iterable, iter((body,)), [])

    def _send_head(self, body: bytes | None) -> bytes | None:
        """Decide on the head and send it; gives a whole body to send instead of the application's."""
        if self.head is None:
            raise RuntimeError("the application sent a body before start_response")
        status, fields, exc_info = self.head
        code = int(status[:3])
        headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in fields]
        try:
            decided = on_head(
                self.cache.engine,
                self.forward,
                Head(status=code, headers=headers),
                now=self._now(),
                wall_now=self.cache.clock.time(),
                body=body,
            )
        except Exception:
            _LOG.exception("event=head_failed")
            decided = Answer(status=code, headers=headers, body=None), None
        if isinstance(decided, Serve):
            return self._stand_in(decided)
        answer, self.keeping = decided
        self.answer = answer
        self.status = answer.status
        self.sent = True
        line = status if answer.status == code else _status_line(answer.status)
        self.writer = self.start_response(line, native(answer.headers), exc_info)
        return None

    def _stand_in(self, served: Serve) -> bytes:
        """Send a stale answer's head in place of the application's failure; gives its body."""
        answer = render(self.cache.engine, served)
        self.sent = True
        self.outcome, self.status = served.outcome, answer.status
        self.start_response(_status_line(answer.status), native(answer.headers))
        self.finish()
        return answer.body or b""

    def complete(self, body: bytes) -> Stored | None:
        """Keep the whole body in memory."""
        keeping, self.keeping = self.keeping, None
        assert keeping is not None
        try:
            return on_complete(self.cache.engine, keeping, body, self._now())
        except Exception:
            _LOG.exception("event=store_failed")
            keeping.fetch.abandon()
            return None

    def _stop_keeping(self, reason: str) -> None:
        keeping, self.keeping = self.keeping, None
        if keeping is not None:
            give_up(self.cache.engine, keeping, reason)

    stop_keeping = _stop_keeping

    def finish(self) -> None:
        """Let go of the flight and count the request; harmless when done before."""
        if self.finished:
            return
        self.finished = True
        self._stop_keeping("incomplete")
        if self.forward.fetch is not None:
            self.forward.fetch.abandon()
        self.cache.finish(self.forward.route, self.outcome, self.status, self.started)


class _Relay:
    """The body on its way out: copied aside piece by piece, and closed at the end whatever happens."""

    def __init__(
        self,
        exchange: _Exchange,
        iterable: Iterable[bytes],
        pieces: Iterator[bytes],
        first: list[bytes],
    ) -> None:
        self._exchange = exchange
        self._iterable = iterable
        self._pieces = pieces
        self._first = first
        self._body: list[bytes] = []
        self._size = 0
        self._length = _content_length(exchange.head)
        self._stored: Stored | None = None
        self._replaced = exchange.answer.body is not None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while True:
            piece = self._next()
            if not self._replaced:
                return piece

    def _next(self) -> bytes:
        try:
            piece = self._first.pop() if self._first else next(self._pieces)
        except StopIteration:
            if self._exchange.keeping is not None:
                self._stored = self._exchange.complete(b"".join(self._body))
            raise
        keeping = self._exchange.keeping
        if keeping is not None:
            self._body.append(piece)
            self._size += len(piece)
            if self._size > keeping.max_size:
                self._exchange.stop_keeping("too-large")
                self._body.clear()
            elif self._size == self._length:
                # The client will know that it has everything: the entry must be there by then.
                self._stored = self._exchange.complete(b"".join(self._body))
        return piece

    def close(self) -> None:
        """Close the application's iterable, then write what was kept to the shared store."""
        try:
            if self._replaced:  # nobody pulled the body of which a 304 went out
                for _ in self:
                    pass
            _close(self._iterable)
        finally:
            self._exchange.finish()
            stored, self._stored = self._stored, None
            if stored is not None:
                self._exchange.middleware.save(stored)


def _first(pieces: Iterator[bytes]) -> list[bytes]:
    for piece in pieces:
        return [piece]
    return []


def _whole(iterable: Iterable[bytes]) -> bytes | None:
    """Give the body where it is all there: the one-element list that most frameworks return."""
    if isinstance(iterable, (list, tuple)):
        return iterable[0] if len(iterable) == 1 else b"".join(iterable)
    return None


def _content_length(head: tuple[str, list[tuple[str, str]], Any] | None) -> int:
    for name, value in head[1] if head else ():
        if name.lower() == "content-length" and value.isdigit():
            return int(value)
    return -1


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"{status} Unknown"


def _close(iterable: Iterable[bytes]) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


def _detached(environ: Environ) -> Environ:
    """Copy an environ for a background call: no body, nothing of the server's connection."""
    own = {name: v for name, v in environ.items() if not name.startswith(_NOT_COPIED)}
    own["wsgi.input"] = io.BytesIO()
    own.pop("wsgi.file_wrapper", None)
    return own


def _nowhere(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    """Take the head of a refresh: nobody listens."""
    return lambda data: None
