"""Reading a request's body up to a limit, and replaying it to the application.

Everything that was read is replayed byte for byte. If the body is too large, or the client disconnects
in the middle, the application sees what it would have seen without the cache.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, BinaryIO, cast

from cachemw.http.messages import Content

__all__ = ["TOO_LARGE", "UNREADABLE", "Incoming", "input_size", "read_input", "read_stream"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_BROKEN = Content(b"", "body-length")
TOO_LARGE = Content(b"", "body-limit")
UNREADABLE = Content(b"", "body")


class Incoming:
    """An ASGI receive channel whose request body can be read ahead."""

    __slots__ = ("_begun", "_last", "_more", "_pieces", "_receive", "was_read")

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

    async def read(self, limit: int) -> Content:
        """Read the body; stop at the first message that takes it beyond the limit."""
        size = 0
        self.was_read = True
        while self._more:
            message = await self._receive()
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

    async def __call__(self) -> Message:
        """Receive what was read, in one message, and then the server's messages."""
        if self._begun:
            body, self._pieces, self._begun = b"".join(self._pieces), [], False
            return {"type": "http.request", "body": body, "more_body": self._more}
        if self._last is not None:
            last, self._last = self._last, None
            return last
        return await self._receive()


def read_input(environ: MutableMapping[str, Any], limit: int) -> Content:
    """Read the body of a WSGI request, and leave it in `wsgi.input` to be read again."""
    size = input_size(environ, terminated=bool(environ.get("wsgi.input_terminated")))
    if size is None:
        return UNREADABLE
    content, environ["wsgi.input"] = read_stream(environ["wsgi.input"], size, limit)
    return content


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
