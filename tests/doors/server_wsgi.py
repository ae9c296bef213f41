"""A server for one WSGI application, in process: PEP 3333 to the letter, by wsgiref's validator."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

from .language import PATIENCE, Call, Pairs, Reply


class WsgiServer:
    """Runs every request in the caller's thread, or concurrent ones in threads of their own."""

    hang_ups = ("close",)
    """How a client that went away shows: the iterable is closed before its end."""

    def __init__(self, app: Any) -> None:
        self.app = validator(app)

    def close(self) -> None:
        """Do nothing: every request has ended by itself."""

    def ask(self, call: Call) -> Reply:
        """Make one request."""
        response = _Response(call)
        error: Exception | None = None
        iterable: Any = None
        try:
            iterable = self.app(_environ(call), response.start)
            response.send(iterable)
        except Exception as raised:
            error = raised
        finally:
            if iterable is not None:
                iterable.close()
        if isinstance(error, AssertionError):
            raise error  # the validator's word
        return response.reply(error)

    def together(
        self, calls: Sequence[Call], when: Callable[[], bool], then: Callable[[], object]
    ) -> list[Reply]:
        """Begin requests in this order; when the condition holds, act; give all replies."""
        with ThreadPoolExecutor(len(calls)) as threads:
            futures = [threads.submit(self.ask, call) for call in calls]
            try:
                self.until(when)
            finally:
                then()
            return [future.result(PATIENCE) for future in futures]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it never came to be"
            threading.Event().wait(0.001)


class _Response:
    """One response on its way out."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.status = 0
        self.headers: Pairs = []
        self.pieces: list[bytes] = []
        self.begun = False
        self.complete = False
        self.gone = False

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        """Take the head; a second one is an error unless nothing of the first is out (PEP 3333)."""
        if exc_info is not None:
            if self.begun:
                raise exc_info[1]
        else:
            assert not self.status, "start_response was called twice"
        self.status = int(status[:3])
        # Django sends cookies with a blank before them; no client minds.
        self.headers = [(name.lower(), value.strip()) for name, value in headers]
        return self._send

    def send(self, iterable: Any) -> None:
        """Take the body, unless the client goes away."""
        for piece in iterable:
            self._send(piece)
            if self.call.hang_up_after is not None and len(self.pieces) >= self.call.hang_up_after:
                self.gone = True
                return
        self.complete = True

    def _send(self, piece: bytes) -> None:
        assert self.status, "a body came before start_response"
        if piece:
            self.begun = True
            self.pieces.append(piece)
            self.call.on_piece(piece)

    def reply(self, error: Exception | None) -> Reply:
        """Give what came of it."""
        body = b"".join(self.pieces)
        length = next((value for name, value in self.headers if name == "content-length"), None)
        short = length is not None and length != str(len(body)) and self.call.method != "HEAD"
        return Reply(
            status=self.status,
            headers=self.headers,
            body=body,
            error=error,
            complete=self.complete and not short,
        )


class _Input(io.RawIOBase):
    """The body as it comes over the wire."""

    def __init__(self, call: Call) -> None:
        self._pieces = call.pieces()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._pieces and not self._pieces[0]:
            del self._pieces[0]
        piece = self._pieces[0][: len(buffer)] if self._pieces else b""
        if piece:
            self._pieces[0] = self._pieces[0][len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _environ(call: Call) -> dict[str, Any]:
    raw, _, query = call.target.partition("?")
    path = raw if raw.startswith("/") else "/" + raw.partition("://")[2].partition("/")[2]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": call.mount.encode().decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": call.wired_mount + call.target,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": call.scheme,
        "wsgi.input": io.BufferedReader(_Input(call), 1),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if call.chunked or call.unannounced:
        environ["wsgi.input_terminated"] = True
    if not call.tells_target:
        del environ["RAW_URI"]
    hosts = [("host", host) for host in call.hosts]
    for name, value in [*hosts, *call.headers, *call.framing()]:
        variable = name.upper().replace("-", "_")
        if variable not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
            variable = f"HTTP_{variable}"
        joint = "; " if variable == "HTTP_COOKIE" else ", "
        environ[variable] = joint.join(filter(None, (environ.get(variable), value)))
    return environ
