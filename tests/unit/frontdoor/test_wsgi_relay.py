"""The relay of a WSGI application's response."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import pytest

from cachemw import Cache
from cachemw.wsgi import CacheMiddleware

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/a",
    "QUERY_STRING": "",
    "HTTP_HOST": "shop.example",
    "HTTP_COOKIE": "sid=own",
    "wsgi.url_scheme": "http",
    "wsgi.input": io.BytesIO(),
}


@pytest.mark.parametrize("first", ["returned", "written", "both", "written late"])
def test_nothing_of_a_response_that_is_asked_for_again_remains(first: str) -> None:
    # Guards: `WsgiRelay.run` restores the environ; `_write` and `_relayed` drop what is dropped.
    seen: list[dict[str, Any]] = []

    def late(write: Any) -> Iterable[bytes]:
        write(b"first")
        yield b"more"

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append({name: environ.get(name) for name in ("HTTP_COOKIE", "session")})
        environ["session"] = "begun"
        if "HTTP_COOKIE" in environ:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"own"]
        write = start_response("200 OK", [("Set-Cookie", "sid=new")])
        if first == "written late":
            return late(write)
        if first != "returned":
            write(b"first")
            write(b"second")
        return [b"third"] if first != "written" else []

    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]})
    app = CacheMiddleware(application, cache=cache)
    started: list[tuple[str, Any]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append((status, dict(headers)))
        return written.append

    environ = dict(ENVIRON)
    body = app(environ, start_response)
    assert b"".join(body) == b"own"
    body.close()  # type: ignore[attr-defined]
    assert seen == [
        {"HTTP_COOKIE": None, "session": None},
        {"HTTP_COOKIE": "sid=own", "session": None},
    ]
    assert written == []
    assert [(status, headers.get("Set-Cookie")) for status, headers in started] == [
        ("200 OK", None)
    ]
    assert not cache._core.engine.flights.open
