"""The front door for WSGI applications.

    app = CacheMiddleware(app, cache=Cache.from_file("cachemw.toml"))

The application's iterable is always closed, also when the client goes away. Bodies are copied aside
while they are relayed, piece by piece; what is not kept is handed to the server as it is, so that
`wsgi.file_wrapper` works.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from random import random
from typing import Any

from msgspec.structs import replace

from cachemw.cache import Cache
from cachemw.engine.core.drivers import run
from cachemw.engine.flows.on_request import on_request, refreshing
from cachemw.engine.lookup.rendering import Answer, hit_fields
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.bodies import body_limit
from cachemw.engine.request.decisions import Fetch, Serve
from cachemw.frontdoor.exchange import Exchange, rendered
from cachemw.frontdoor.purge_endpoint import MAX_BODY, PurgeEndpoint
from cachemw.frontdoor.purge_orders import carry_out, ordered
from cachemw.frontdoor.request_body import read_input
from cachemw.frontdoor.wsgi_environ import Environ, EnvironReader, apply_rewrite, native, raw_target
from cachemw.http.fields import Fields
from cachemw.http.messages import Content, Head
from cachemw.telemetry.spans import span_origin

__all__ = ["CacheMiddleware"]

StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

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
        self._hit_fields = hit_fields(cache.engine.settings, "memory")
        self._monotonic = cache.clock.monotonic
        self._engine = cache.engine
        self._bodied = cache.engine.bodied

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        now = self._monotonic()
        scheme = environ["wsgi.url_scheme"]
        raw = raw_target(environ)
        target = self._reader.target(environ, scheme, raw)
        extra = self._reader.watched(environ)
        holdout = self._engine.holdout
        held_out = holdout > 0.0 and random() < holdout
        if environ["REQUEST_METHOD"] == "GET" and not held_out:
            try:
                found = self._hit(target, extra, None, now)
                headers = self._hit_fields(found[0], now) if found else []
            except Exception:  # a fault of ours: the way around the cache is open (I3)
                self.cache.logs.failed("hit_failed")
                found = None
            if found is not None:
                entry, plan = found
                start_response(_status_line(entry.status), native(headers))
                self.cache.finish_hit(plan.route, entry.status, now)
                return [entry.body]
        cache = self.cache
        cache.start()
        if cache.endpoint is not None:
            answer = self._ordered(cache.endpoint, environ, scheme, raw)
            if answer is not None:
                start_response(_status_line(answer.status), native(answer.headers))
                return [answer.body or b""]
        try:
            request, asked_at = self._reader.request(environ, scheme, raw), now
            if request.method in self._bodied:
                limit = body_limit(cache.engine, request, target)
                if limit is not None:
                    request = replace(request, content=read_input(environ, limit))
                    asked_at = self._monotonic()
            flow = on_request(cache.engine, request, target, extra, asked_at, held_out=held_out)
            decision = run(flow, cache.performer.perform)
            answer = rendered(cache, decision) if isinstance(decision, Serve) else None
        except Exception:  # a fault of ours must not become the client's (I3)
            cache.logs.failed("request_failed")
            cache.finish(None, Outcome.ERROR_BYPASS, 0, now)
            return self.app(environ, start_response)
        if isinstance(decision, Serve):
            assert answer is not None
            return self._serve(environ, start_response, decision, answer, now)
        if decision.rewrite is not None:
            apply_rewrite(environ, decision.rewrite)
        return _Call(self, start_response, Exchange(cache, decision, now)).run(environ)

    def _ordered(
        self, endpoint: PurgeEndpoint, environ: Environ, scheme: str, raw: str | None
    ) -> Answer | None:
        """Carry out what is ordered by HTTP; None: the request is no order."""
        order = ordered(self.cache, lambda: self._reader.request(environ, scheme, raw))
        if order is None:
            return None
        if endpoint.reads(order):
            order = replace(order, content=read_input(environ, MAX_BODY))
        return carry_out(self.cache, order)

    def _serve(
        self,
        environ: Environ,
        start_response: StartResponse,
        served: Serve,
        answer: Answer,
        started: float,
    ) -> Iterable[bytes]:
        """Send a stored answer; begin its refresh in the background if this request leads it."""
        fetch = served.refresh
        if fetch is not None:
            own = _detached(environ, fetch.cacheable.request.content)
            if not self.cache.background.submit(lambda: self._refresh(own, fetch)):
                fetch.abandon()
        start_response(_status_line(answer.status), native(answer.headers))
        self.cache.finish(served.cacheable.route, served.outcome, answer.status, started)
        return [answer.body or b""]

    def _refresh(self, environ: Environ, fetch: Fetch) -> None:
        """Call the application once more, with nobody listening, and keep its answer."""
        try:
            if not self.cache.leads_refresh(fetch):
                return
            forward = refreshing(fetch)
            if forward.rewrite is not None:
                apply_rewrite(environ, forward.rewrite)
            exchange = Exchange(self.cache, forward, self._monotonic())
            body = _Call(self, _nowhere, exchange).run(environ)
            try:
                for _ in body:
                    pass
            finally:
                _close(body)
        except Exception:
            self.cache.logs.failed("refresh_failed")


class _Call:
    """One call of the application, from its head to where its body can be relayed."""

    def __init__(
        self, middleware: CacheMiddleware, start_response: StartResponse, exchange: Exchange
    ) -> None:
        self._app = middleware.app
        self._start_response = start_response
        self._exchange = exchange
        self._head: tuple[str, list[tuple[str, str]], Any] | None = None
        self._sent = False
        self._length = -1
        self._replacement: bytes | None = None
        self._wrote = False

    def run(self, environ: Environ) -> Iterable[bytes]:
        """Call the application and give the body that the server is to send."""
        iterable: Iterable[bytes] = ()
        try:
            with span_origin(self._exchange.template), self._exchange.recording:
                iterable = self._app(environ, self._capture)
                return self._relayed(iterable)
        except Exception:
            answer = self._exchange.fail(sent=self._sent)
            self._abort(iterable)
            if answer is None:
                raise
            return [self._replace(answer)]
        except BaseException:
            self._abort(iterable)
            raise

    def _abort(self, iterable: Iterable[bytes]) -> None:
        try:
            _close(iterable)
        finally:
            self._exchange.finish()

    def _capture(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Take the application's head; it goes out when the first of its body is known (PEP 3333)."""
        if self._sent:
            # The head is out: the server must re-raise exc_info, or complain of a second call.
            return self._start_response(status, headers, exc_info)
        self._head = (status, headers, exc_info)
        return self._write

    def _write(self, data: bytes) -> None:
        """Serve applications that use the legacy `write`: straight through, and nothing is kept."""
        self._wrote = True
        if not self._sent:
            self._replacement = self._send_head(None)
            self._exchange.stop("write")
        if self._replacement is None:
            self._writer(data)

    def _relayed(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        if self._sent:  # by write(); what is left in the iterable follows
            return _Body(self._exchange, iterable, [], self._replacement, -1)
        whole = _whole(iterable) if self._head is not None else None
        if whole is not None:
            replacement = self._send_head(whole)
            return _Body(self._exchange, iterable, [whole], replacement, self._length, whole=True)
        # The head may come as late as with the first piece. Until then nothing can be sent anyway,
        # and if the application fails before that, a stale answer may stand in.
        pieces = iter(iterable)
        passes = self._passes()
        begun = [] if passes else _one(pieces)
        if self._wrote:
            return _Body(self._exchange, iterable, begun, self._replacement, -1, pieces=pieces)
        replacement = self._send_head(begun[0] if self._is_all(begun) else None)
        if passes:
            self._exchange.finish()
            return iterable  # the server's own wsgi.file_wrapper, perhaps
        return _Body(self._exchange, iterable, begun, replacement, self._length, pieces=pieces)

    def _passes(self) -> bool:
        """Whether the body is none of our business."""
        return self._head is not None and self._exchange.forward.fetch is None

    def _is_all(self, begun: list[bytes]) -> bool:
        """Whether the first piece is all that the head announces: frameworks wrap whole bodies."""
        if not begun or self._head is None:
            return False
        stated = [value for name, value in self._head[1] if name.lower() == "content-length"]
        return stated == [str(len(begun[0]))]

    def _send_head(self, body: bytes | None) -> bytes | None:
        """Decide on the head and send it; give a whole body to send instead of the application's."""
        if self._head is None:
            raise RuntimeError("the application sent a body before start_response")
        status, fields, exc_info = self._head
        code = int(status[:3])
        headers = Fields([(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in fields])
        answer = self._exchange.decide(Head(status=code, headers=headers), body)
        if self._exchange.purge:
            self._exchange.cache.invalidate(self._exchange.purge)
        if answer.body is not None:
            return self._replace(answer)
        self._sent = True
        self._length = _content_length(headers)
        self._writer = self._start_response(status, native(answer.headers), exc_info)
        return None

    def _replace(self, answer: Answer) -> bytes:
        """Send the head of a whole answer of ours, and give its body."""
        self._sent = True
        self._start_response(_status_line(answer.status), native(answer.headers))
        return answer.body or b""


class _Body:
    """The body on its way out: copied aside piece by piece, closed at the end whatever happens."""

    def __init__(
        self,
        exchange: Exchange,
        iterable: Iterable[bytes],
        first: list[bytes],
        replacement: bytes | None,
        length: int,
        *,
        whole: bool = False,
        pieces: Iterator[bytes] | None = None,
    ) -> None:
        self._exchange = exchange
        self._iterable = iterable
        self._first = first
        self._pieces = iter(()) if whole else pieces or iter(iterable)
        self._length = length
        self._size = 0
        self._replacement = None if replacement is None else [replacement]

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._replacement is None:
            return self._pull()
        if self._replacement:
            return self._replacement.pop()
        raise StopIteration

    def _pull(self) -> bytes:
        """Give the next piece of the application's body."""
        try:
            piece = self._first.pop() if self._first else self._next()
        except StopIteration:
            self._exchange.complete()
            raise
        except Exception:
            self._exchange.fail(sent=True)
            raise
        if self._exchange.keeping:
            self._exchange.take(piece)
            self._size += len(piece)
            if self._size == self._length:
                # The client will know that it has everything: the entry must be there by then.
                self._exchange.complete()
        return piece

    def _next(self) -> bytes:
        with self._exchange.recording:
            return next(self._pieces)

    def close(self) -> None:
        """Close the application's iterable, then write what was kept to the shared store."""
        exchange = self._exchange
        try:
            while self._replacement is not None and exchange.keeping:
                self._drain()  # nobody pulled the body in whose place a 304 went out
            _close(self._iterable)
        finally:
            exchange.finish()
            stored, exchange.stored = exchange.stored, None
            if stored is not None:
                exchange.cache.save(stored)

    def _drain(self) -> None:
        try:
            self._pull()
        except StopIteration:
            return


def _one(pieces: Iterator[bytes]) -> list[bytes]:
    for piece in pieces:
        return [piece]
    return []


def _whole(iterable: Iterable[bytes]) -> bytes | None:
    """Give the body where it is all there: the one-element list that most frameworks return."""
    if isinstance(iterable, (list, tuple)):
        return iterable[0] if len(iterable) == 1 else b"".join(iterable)
    return None


def _content_length(headers: Fields) -> int:
    """Give the stated length, or -1."""
    value = headers.first(b"content-length")
    return int(value) if value is not None and value.isdigit() else -1


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"{status} Unknown"


def _close(iterable: Iterable[bytes]) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


def _detached(environ: Environ, content: Content | None) -> Environ:
    """Copy an environ for a background call: a body of its own, nothing of the server's connection."""
    own = {name: v for name, v in environ.items() if not name.startswith(_NOT_COPIED)}
    own["wsgi.input"] = io.BytesIO(b"" if content is None else content.data)
    own.pop("wsgi.file_wrapper", None)
    return own


def _nowhere(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    """Take the head of a refresh: nobody listens."""
    return lambda data: None
