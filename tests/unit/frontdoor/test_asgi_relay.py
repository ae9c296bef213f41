"""The relay of an ASGI application's messages."""

from __future__ import annotations

import asyncio
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
