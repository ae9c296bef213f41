"""Reading a request's body up to a limit, and replaying it to the application.

A limit of 0 asks whether there is a body at all. The answer does not wait for long: what may still come
counts as a body.

Everything that was read is replayed byte for byte. If the body is too large, or the client disconnects
in the middle, the application sees what it would have seen without the cache.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, BinaryIO, cast

from cachemw.http.messages import Content

__all__ = [
    "TOO_LARGE",
    "UNREADABLE",
    "Incoming",
    "carries_body",
    "input_size",
    "read_input",
    "read_stream",
]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_BROKEN = Content(b"", "body-length")
TOO_LARGE = Content(b"", "body-limit")
UNREADABLE = Content(b"", "body")
_PATIENCE = 1.0
"""Seconds to wait for the end of a request that should have no body (I3). It comes with the headers."""


class Incoming:
    """An ASGI receive channel whose request body can be read ahead."""

    __slots__ = ("_begun", "_last", "_late", "_more", "_pieces", "_receive", "was_read")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._pieces: list[bytes] = []
        self._begun = False
        """Whether the beginning of the body is held here, for the application to receive."""
        self._more = True
        self.was_read = False
        """Whether anything was received: then the application must receive from here."""
        self._last: Message | None = None
        """The message that came instead of the rest: the client disconnected."""
        self._late: asyncio.Future[Message] | None = None
        """The message that was waited for, and has not come."""

    async def read(self, limit: int) -> Content:
        """Read the body; stop at the first message that takes it beyond the limit."""
        size = 0
        self.was_read = True
        while self._more:
            message = await (self._receive() if limit else self._soon())
            if message is None:
                return UNREADABLE
            if message["type"] != "http.request":
                self._last = message
                return _BROKEN
            self._begun = True
            self._more = message.get("more_body", False)
            piece = bytes(message.get("body", b""))
            if piece:
                self._pieces.append(piece)
                size += len(piece)
            if size > limit:
                return TOO_LARGE
        self._pieces = [b"".join(self._pieces)]
        return Content(self._pieces[0])

    async def _soon(self) -> Message | None:
        """Return the next message; None if it does not come soon."""
        self._late = late = asyncio.ensure_future(self._receive())
        await asyncio.wait((late,), timeout=_PATIENCE)
        if not late.done():
            return None
        self._late = None
        return late.result()

    def close(self) -> None:
        """Stop waiting for a message that nobody wants any more."""
        if self._late is not None:
            self._late.cancel()

    async def __call__(self) -> Message:
        """Receive what was read, in one message, and then the server's messages."""
        if self._begun:
            body, self._pieces, self._begun = b"".join(self._pieces), [], False
            return {"type": "http.request", "body": body, "more_body": self._more}
        if self._last is not None:
            last, self._last = self._last, None
            return last
        if self._late is not None:
            late, self._late = self._late, None
            return await late
        return await self._receive()


def read_input(environ: MutableMapping[str, Any], limit: int) -> Content:
    """Read the body of a WSGI request, and leave it in `wsgi.input` to be read again."""
    terminated = bool(environ.get("wsgi.input_terminated"))
    # Applications read a terminated stream to its end, whatever Content-Length says.
    size = input_size(environ, terminated=terminated) if limit or not terminated else -1
    if size is None:
        return UNREADABLE
    content, environ["wsgi.input"] = read_stream(environ["wsgi.input"], size, limit)
    return content


def carries_body(environ: MutableMapping[str, Any]) -> bool:
    """Tell whether a terminated stream holds a byte; it is left to be read again.

    Servers set `wsgi.input_terminated` where no header need tell that there is a body, and gunicorn
    always. Other bodies have a header, which the rules for requests know.
    """
    content, environ["wsgi.input"] = read_stream(environ["wsgi.input"], -1, 0)
    return content.fault is not None


def input_size(environ: Mapping[str, Any], *, terminated: bool) -> int | None:
    """Return how many bytes a stream holds: -1 if it marks its own end, None if that is unknown."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        return int(length)
    if terminated:
        return -1
    # Without a length there is nothing to read (PEP 3333), unless the server left a coding on it.
    return None if "HTTP_TRANSFER_ENCODING" in environ else 0


def read_stream(stream: Any, size: int, limit: int) -> tuple[Content, BinaryIO]:
    """Read `size` bytes, or all with -1; return them, and a stream that replays them."""
    wanted = limit + 1 if size < 0 else size
    pieces: list[bytes] = []
    error: Exception | None = None
    try:
        while wanted > 0 and (piece := stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
    except Exception as raised:  # raised to the application, where the body ends early
        error = raised
    data = b"".join(pieces)
    if error is None and (wanted == 0) is (size >= 0):
        return Content(data), io.BytesIO(data)
    content = TOO_LARGE if error is None and size < 0 else _BROKEN
    return content, cast(BinaryIO, io.BufferedReader(_Repeated(data, stream, error)))


class _Repeated(io.RawIOBase):
    """A stream that replays what was read, and then the rest, or the error that came instead."""

    def __init__(self, data: bytes, rest: Any, error: Exception | None) -> None:
        self._data = io.BytesIO(data)
        self._rest = rest
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data.read(len(buffer)) or self._further(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def _further(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        return bytes(self._rest.read(size))
