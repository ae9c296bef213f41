"""The relay of an ASGI application's messages."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.engine.core.effects import SharedWrite

SCOPE = {
    "type": "http",
    "method": "GET",
    "scheme": "http",
    "root_path": "",
    "path": "/a",
    "raw_path": b"/a",
    "query_string": b"",
    "headers": [(b"host", b"shop.example")],
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"whole"})


def test_what_was_stored_is_saved_also_where_the_last_piece_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Guard: `save_later` in the `finally` of `AsgiRelay.run`. The write settles the lease, for which
    # other processes wait.
    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]})
    saved: list[SharedWrite] = []
    monkeypatch.setattr(cache._core.writer, "save_later", saved.append)
    app = CacheMiddleware(application, cache=cache)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client has gone")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    with pytest.raises(OSError, match="gone"):
        asyncio.run(app(dict(SCOPE), receive, send))
    assert [entry.body for write in saved for _, entry in write.entries] == [b"whole"]


@pytest.mark.parametrize("error", [ConnectionResetError, RuntimeError], ids=lambda e: e.__name__)
def test_a_piece_that_could_not_be_sent_makes_half_a_response(error: type[Exception]) -> None:
    # Guard: `spoil` in `AsgiRelay.relay`. Not every server raises an OSError when the client has gone.
    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]})

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more_body in (True, False):
            with suppress(error):
                await send({"type": "http.response.body", "body": b"x", "more_body": more_body})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise error

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(CacheMiddleware(stubborn, cache=cache)(dict(SCOPE), receive, send))
    assert len(cache.memory) == 0
    assert not cache._core.engine.flights.open


def conflicting(seen: list[Any], first: list[dict[str, Any]]) -> Any:
    """Make an application that sets a cookie which it was not shown; `first` are its messages then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cookies = [value for name, value in scope["headers"] if name == b"cookie"]
        state = scope["state"]
        seen.append((cookies, dict(state), (await receive())["type"]))
        state["user"] = "nobody"
        if cookies:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"own"})
            return
        headers = [(b"set-cookie", b"sid=new")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for message in first:
            await send(message)

    return app


PIECE = {"type": "http.response.body", "body": b"x" * 100_000, "more_body": True}
DROPPED: list[Any] = [
    pytest.param([{"type": "http.response.body", "body": b"first"}], id="whole"),
    pytest.param([PIECE, PIECE, {"type": "http.response.body"}], id="in pieces"),
    pytest.param([PIECE] * 1000, id="more than is dropped"),
    pytest.param([{"type": "http.response.pathsend", "path": "/x"}], id="a file"),
]


@pytest.mark.parametrize("first", DROPPED)
def test_nothing_of_a_response_that_is_asked_for_again_remains(first: list[Any]) -> None:
    # Guards: `AsgiRelay._drop`; `_copied` for the state; `_after_empty_body` for the channel.
    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]})
    seen: list[Any] = []
    app = CacheMiddleware(conflicting(seen, first), cache=cache)
    sent: list[Any] = []
    messages = iter(["http.request"])

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": next(messages, "http.disconnect"), "body": b"", "more_body": False}

    cookie = (b"cookie", b"sid=own")
    scope = {**SCOPE, "headers": [*SCOPE["headers"], cookie], "state": {"pool": 1}}
    asyncio.run(app(scope, receive, send))
    assert seen == [([], {"pool": 1}, "http.request"), ([b"sid=own"], {"pool": 1}, "http.request")]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[1]["body"] == b"own"
    assert not cache._core.engine.flights.open
