"""Relay of a WSGI application's response to the server, through an exchange (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus
from itertools import chain, islice
from typing import Any

from cachemw.engine.keeping.storing import is_endless
from cachemw.frontdoor.exchange import Exchange
from cachemw.frontdoor.wsgi_environ import Environ, apply_rewrite, native
from cachemw.http.fields import Fields
from cachemw.http.messages import Answer, Head
from cachemw.telemetry.spans import span_origin

__all__ = ["App", "StartResponse", "WsgiRelay", "start_nowhere", "status_line"]

StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class WsgiRelay:
    """One call of the application, from its head to where its body can be relayed."""

    def __init__(self, app: App, start_response: StartResponse, exchange: Exchange) -> None:
        self._app = app
        self._start_response = start_response
        self._exchange = exchange
        self._dropped = False
        """Whether the response is dropped, and the application is asked again."""
        self._begin()

    def _begin(self) -> None:
        """Begin a call of the application."""
        self._head: tuple[str, list[tuple[str, str]], Any] | None = None
        self._sent = False
        self._length = -1
        self._replacement: bytes | None = None
        self._wrote = False
        self._file_wrapper: Any = None
        """The server's own way to send a file: it wants its object back as it is."""

    def run(self, environ: Environ) -> Iterable[bytes]:
        """Call the application and return the body that the server is to send."""
        iterable: Iterable[bytes] = ()
        original = environ.copy() if self._exchange.may_ask_again else environ
        try:
            if self._exchange.rewrite is not None:
                apply_rewrite(environ, self._exchange.rewrite)
        except Exception:  # on an internal error, bypass the cache (I3)
            self._exchange.give_up("request_failed")
            self._exchange.finish()
            return self._app(environ, self._start_response)
        self._file_wrapper = environ.get("wsgi.file_wrapper")
        try:
            with span_origin(self._exchange.template), self._exchange.recording:
                iterable = self._app(environ, self._capture)
                body = self._relayed(iterable)
            if not self._dropped:
                return body
            dropped, iterable = iterable, ()
            with suppress(Exception):  # nobody sees this response
                _close(dropped)
            environ.clear()  # of what the first call has put there too
            environ.update(original)
            self._dropped = False
            self._begin()
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

    def consume(self, environ: Environ) -> None:
        """Call the application and read its body to the end: there is no client."""
        body = self.run(environ)
        try:
            for _ in body:
                pass
        finally:
            _close(body)

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
            # The head is out: the server re-raises exc_info, or complains of a second call.
            return self._start_response(status, headers, exc_info)
        self._head = (status, headers, exc_info)
        return self._write

    def _write(self, data: bytes) -> None:
        """Serve applications that use the legacy `write`: pass everything on, and store nothing."""
        self._wrote = True
        if not self._sent and not self._dropped:
            self._replacement = self._send_head(None)
            self._exchange.stop("write")
        if self._replacement is None and not self._dropped:
            self._writer(data)

    def _relayed(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        if self._dropped:  # by write()
            return ()
        if self._sent:  # by write(); the rest is in the iterable
            return _Body(self._exchange, iterable, iter(iterable), self._replacement)
        whole = _whole(iterable) if self._head is not None else None
        if whole is not None:
            replacement = self._send_head(whole)
            return self._body(iterable, iter((whole,)), replacement)
        # The head may come as late as the first piece. Nothing can be sent before that anyway, and
        # if the application fails before that, a stale answer can replace its response.
        pieces = iter(iterable)
        # A body that needs no look is not touched before the server asks for it.
        passes = self._head is not None and not self._exchange.may_store
        begun = [] if passes or self._is_endless() else list(islice(pieces, 1))
        all_pieces = chain(begun, pieces)
        if self._wrote:
            return _Body(self._exchange, iterable, all_pieces, self._replacement)
        whole = begun[0] if self._is_all(begun) else self._gathered(begun, pieces)
        replacement = self._send_head(whole)
        if passes and self._is_file(iterable):
            self._exchange.finish()
            return iterable
        return self._body(iterable, all_pieces, replacement)

    def _gathered(self, begun: list[bytes], pieces: Iterator[bytes]) -> bytes | None:
        """Return the whole body if it is needed and not too large; what was read of it is in `begun`."""
        limit = self._exchange.gathers
        if not limit or self._is_endless():
            return None
        size = sum(map(len, begun))
        for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if size > limit:
                return None
        return b"".join(begun)

    def _body(
        self, iterable: Iterable[bytes], pieces: Iterator[bytes], replacement: bytes | None
    ) -> Iterable[bytes]:
        """Return the body of a head that was decided on: none if the response is dropped."""
        if self._dropped:
            return ()
        return _Body(self._exchange, iterable, pieces, replacement, self._length)

    def _is_file(self, iterable: Iterable[bytes]) -> bool:
        """Tell whether the server may send a body without reading it: it made the object, or it is a file."""
        wrapper = self._file_wrapper
        return hasattr(iterable, "read") or (
            isinstance(wrapper, type) and isinstance(iterable, wrapper)
        )

    def _is_endless(self) -> bool:
        """Tell whether the head is of a stream without an end: nobody waits for its first piece."""
        try:
            return self._head is not None and is_endless(_fields(self._head[1]))
        except Exception:  # the server may take what we cannot read (I3)
            return False

    def _is_all(self, begun: list[bytes]) -> bool:
        """Tell whether the first piece is all that the head announces: frameworks wrap whole bodies."""
        if not begun or self._head is None:
            return False
        stated = [value for name, value in self._head[1] if name.lower() == "content-length"]
        return stated == [str(len(begun[0]))]

    def _send_head(self, body: bytes | None) -> bytes | None:
        """Decide on the head and send it; return a body that replaces the application's, if any."""
        if self._head is None:
            raise RuntimeError("the application sent a body before start_response")
        status, fields, exc_info = self._head
        try:
            code = int(status[:3])
            headers = _fields(fields)
        except Exception:  # the server may take what we cannot read (I3)
            self._send_unread()
            return None
        answer = self._exchange.decide(Head(status=code, headers=headers), body)
        if answer is None:
            self._dropped = True
            return None
        self._exchange.invalidate()
        if answer.body is not None:
            return self._replace(answer)
        self._sent = True
        self._length = _content_length(headers)
        self._writer = self._start_response(status, native(answer.headers), exc_info)
        return None

    def _send_unread(self) -> None:
        """Send a head that cannot be read as it is; what the request changed is purged all the same."""
        assert self._head is not None
        status, _, _ = self._head
        self._exchange.unreadable_head(status[:3])
        self._exchange.invalidate()
        self._sent = True
        self._writer = self._start_response(*self._head)

    def _replace(self, answer: Answer) -> bytes:
        """Send the head of a whole answer of the cache's own, and return its body."""
        self._sent = True
        self._start_response(status_line(answer.status), native(answer.headers))
        return answer.body or b""


class _Body:
    """A body on its way to the client: copied piece by piece, always closed at the end."""

    def __init__(
        self,
        exchange: Exchange,
        iterable: Iterable[bytes],
        pieces: Iterator[bytes],
        replacement: bytes | None,
        length: int = -1,
    ) -> None:
        self._exchange = exchange
        self._iterable = iterable
        """What has to be closed."""
        self._pieces = pieces
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
        self._exchange.sent()
        raise StopIteration

    def _pull(self) -> bytes:
        """Return the next piece of the application's body."""
        try:
            with self._exchange.recording:
                piece = next(self._pieces)
        except StopIteration:
            self._exchange.complete()
            if self._replacement is None:
                self._exchange.sent()  # closing may run what is no part of the response
            raise
        except Exception:
            self._exchange.fail(sent=True)
            raise
        if self._exchange.collecting:
            self._exchange.take(piece)
            self._size += len(piece)
            if self._size == self._length:
                # The client knows now that it has everything: the entry must be there.
                self._exchange.complete()
        return piece

    def close(self) -> None:
        """Close the application's iterable, then write what was stored to the shared store."""
        exchange = self._exchange
        try:
            while self._replacement is not None and exchange.collecting:
                self._drain()  # a 304 went out in place of this body, so the server pulled nothing
            _close(self._iterable)
        finally:
            exchange.finish()
            exchange.save()

    def __del__(self) -> None:
        # Servers close a body. Middleware outside may drop it, to send another response instead.
        self._exchange.finish_elsewhere()

    def _drain(self) -> None:
        try:
            self._pull()
        except StopIteration:
            return


def _whole(iterable: Iterable[bytes]) -> bytes | None:
    """Return the body if all of it is there: most frameworks return a list of one element."""
    if isinstance(iterable, (list, tuple)):
        return iterable[0] if len(iterable) == 1 else b"".join(iterable)
    return None


def _fields(pairs: Iterable[tuple[str, str]]) -> Fields:
    return Fields([(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in pairs])


def _content_length(headers: Fields) -> int:
    """Return the stated length, or -1."""
    value = headers.first(b"content-length")
    return int(value) if value is not None and value.isdigit() else -1


def status_line(status: int) -> str:
    """Return a status with its reason phrase."""
    return _STATUS_LINES.get(status) or f"{status} Unknown"


def _close(iterable: Iterable[bytes]) -> None:
    close = getattr(iterable, "close", None)
    if close is not None:
        close()


def start_nowhere(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    """Drop the head of a refresh: there is no client."""
    return lambda data: None
