"""The relay of a WSGI application's response."""

from __future__ import annotations

import gc
import io
from collections.abc import Iterable
from typing import Any

import pytest

from cachemw import Cache
from cachemw.wsgi import CacheMiddleware
from tests.support.waiting import until

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


@pytest.mark.parametrize("pulled", [0, 1])
def test_a_body_that_middleware_outside_drops_frees_its_key(pulled: int) -> None:
    # Guard: `_Body.__del__`. Whoever drops a body should close it, and some do not.
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter([b"one", b"two"])

    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m"}]})
    environ = {name: value for name, value in ENVIRON.items() if name != "HTTP_COOKIE"}
    body = iter(CacheMiddleware(application, cache=cache)(environ, lambda *head: print))
    for _ in range(pulled):
        next(body)
    assert cache._core.engine.flights.open
    del body
    gc.collect()
    until(lambda: not cache._core.engine.flights.open)
    assert len(cache.memory) == 0


@pytest.mark.parametrize("kind", [list, iter])
def test_a_response_that_is_asked_for_again_is_counted_when_it_is_sent(kind: Any) -> None:
    # Guard: `_relayed` makes no body of a response that is dropped.
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        own = "HTTP_COOKIE" in environ
        start_response("200 OK", [] if own else [("Set-Cookie", "sid=new")])
        return kind([b"one"])  # type: ignore[no-any-return]

    cache = Cache.from_dict({"routes": [{"path": "/a", "ttl": "1m", "cookies": []}]})
    body = iter(CacheMiddleware(application, cache=cache)(dict(ENVIRON), lambda *head: print))
    next(body)
    gc.collect()
    assert cache.stats().by_label == {}
    body.close()  # type: ignore[attr-defined]
    assert cache.stats().by_label == {"miss": 1}
