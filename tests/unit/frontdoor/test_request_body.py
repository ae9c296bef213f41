"""Reading a body ahead: what the application reads afterwards is what it would have read anyway."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.frontdoor.request_body import Incoming, input_size, read_input, read_stream
from cachemw.http.messages import Content

LIMIT = 8
PIECES = st.lists(st.binary(max_size=6), max_size=6)


# -- ASGI ------------------------------------------------------------------------------------------


def messages_of(pieces: list[bytes], *, gone: bool) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    if gone:
        return [*messages, {"type": "http.disconnect"}]
    return [*messages, {"type": "http.request"}]  # whose members may be left out


def receive_all(incoming: Incoming) -> tuple[bytes, str]:
    """Receive as an application does; give the body, and what came last."""

    async def receive() -> tuple[bytes, str]:
        body = b""
        while True:
            message = await incoming()
            if message["type"] != "http.request":
                return body, message["type"]
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return body, "end"

    return asyncio.run(receive())


@given(PIECES, st.booleans(), st.booleans())
def test_an_application_receives_what_was_sent(pieces: list[bytes], gone: bool, read: bool) -> None:
    left = messages_of(pieces, gone=gone)

    async def receive() -> Any:
        return left.pop(0)

    incoming = Incoming(receive)
    whole = b"".join(pieces)
    if read:
        content = asyncio.run(incoming.read(LIMIT))
        if len(whole) > LIMIT:
            assert content.fault == "body-limit"
        elif gone:
            assert content.fault == "body-length"
        else:
            assert content == Content(whole)
    assert receive_all(incoming) == (whole, "http.disconnect" if gone else "end")


def test_no_more_is_read_than_the_limit_and_a_message() -> None:
    read = 0

    async def receive() -> Any:
        nonlocal read
        read += 3
        return {"type": "http.request", "body": b"xxx", "more_body": True}

    asyncio.run(Incoming(receive).read(LIMIT))
    assert read == 9


def test_a_receive_that_raises_loses_nothing() -> None:
    left: list[Any] = [
        {"type": "http.request", "body": b"abc", "more_body": True},
        OSError("the client is gone"),
    ]

    async def receive() -> Any:
        if len(left) > 1:
            return left.pop(0)
        raise left[0]

    incoming = Incoming(receive)
    with pytest.raises(OSError, match="gone"):
        asyncio.run(incoming.read(LIMIT))
    assert asyncio.run(incoming())["body"] == b"abc"  # type: ignore[arg-type]
    with pytest.raises(OSError, match="gone"):
        asyncio.run(incoming())  # type: ignore[arg-type]


def test_after_the_body_the_server_is_heard() -> None:
    left: list[Any] = [{"type": "http.request", "body": b"abc"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return left.pop(0)

    async def converse() -> list[Any]:
        incoming = Incoming(receive)
        await incoming.read(LIMIT)
        return [(await incoming())["type"] for _ in range(2)]

    assert asyncio.run(converse()) == ["http.request", "http.disconnect"]


# -- WSGI ------------------------------------------------------------------------------------------


class Wire:
    """A stream that gives at most so many bytes at once, and may break."""

    def __init__(self, data: bytes, at_once: int, error: Exception | None = None) -> None:
        self.data = io.BytesIO(data)
        self.at_once = at_once
        self.error = error

    def read(self, size: int) -> bytes:
        piece = self.data.read(min(size, self.at_once))
        if not piece and self.error is not None:
            raise self.error
        return piece


@given(st.binary(max_size=24), st.integers(1, 9), st.none() | st.integers(0, 12), st.booleans())
def test_a_stream_can_be_read_once_more(
    data: bytes, at_once: int, missing: int | None, breaks: bool
) -> None:
    """`missing`: how many bytes the length says are still to come; None: no length."""
    error = OSError("the client is gone") if breaks else None
    size = -1 if missing is None else len(data) + missing
    content, stream = read_stream(Wire(data, at_once, error), size, LIMIT)
    if missing == 0 or (missing is None and len(data) <= LIMIT and not breaks):
        assert content == Content(data)
    else:
        large = missing is None and len(data) > LIMIT
        assert content.fault == ("body-limit" if large else "body-length")
    read = b""
    try:
        while piece := stream.read(5):
            read += piece
    except OSError:
        assert breaks
    assert data.startswith(read)
    if not breaks:
        assert read == data


@given(st.lists(st.sampled_from([b"ab", b"c\n", b"\n"])), st.integers(1, 3))
def test_a_stream_that_was_too_large_has_all_that_files_have(
    pieces: list[bytes], at_once: int
) -> None:
    data = b"".join(pieces)
    reads: list[Any] = [
        lambda stream: stream.read(),
        lambda stream: b"".join(stream),
        lambda stream: b"".join(stream.readlines()),
        lambda stream: b"".join(iter(stream.readline, b"")),
    ]
    for read in reads:
        _, stream = read_stream(Wire(data, at_once), -1, 2)
        assert read(stream) == data


@pytest.mark.parametrize(
    ("environ", "terminated", "size"),
    [
        ({"CONTENT_LENGTH": "5"}, False, 5),
        ({"CONTENT_LENGTH": "5"}, True, 5),
        ({}, True, -1),
        ({}, False, 0),
        ({"CONTENT_LENGTH": ""}, False, 0),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, True, -1),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, False, None),
    ],
)
def test_an_input_is_as_long_as_its_server_says(
    environ: dict[str, str], terminated: bool, size: int | None
) -> None:
    assert input_size(environ, terminated=terminated) == size


def test_no_byte_behind_the_body_is_read() -> None:
    """On a connection that is kept alive, they are the next request's."""
    environ: dict[str, Any] = {"CONTENT_LENGTH": "3", "wsgi.input": (wire := io.BytesIO(b"abcdef"))}
    assert read_input(environ, LIMIT) == Content(b"abc")
    assert wire.read() == b"def"
    assert environ["wsgi.input"].read() == b"abc"


def test_an_input_that_cannot_be_read_is_left_alone() -> None:
    wire = io.BytesIO(b"3\r\nabc\r\n0\r\n\r\n")
    environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": wire}
    assert read_input(environ, LIMIT).fault == "body"
    assert (environ["wsgi.input"], wire.tell()) == (wire, 0)
