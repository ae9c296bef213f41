"""Requests with a body that no header announces are neither answered from the cache nor stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse

from .site import CACHE, INSIDE, Site, open_site


def search(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"query " + request.body)


@pytest.mark.parametrize("middleware", [[CACHE], INSIDE], ids=["loop", "thread"])
@pytest.mark.parametrize("version", ["2", "3", "1.1"])
@pytest.mark.parametrize(
    "length", [[], [("Content-Length", "0")]], ids=["no length", "a length of 0"]
)
def test_bytes_without_a_length_go_past_the_cache_under_asgi(
    version: str, middleware: list[str], length: list[tuple[str, str]]
) -> None:
    # Guard: `_with_length`. Under HTTP/1 the server tells by Transfer-Encoding.
    scope = {"http_version": version}
    with open_site({"/p": search}, interface="asgi", middleware=middleware, scope=scope) as site:
        ask = _unannounced(site, [("Transfer-Encoding", "chunked")] if version == "1.1" else length)
        for _ in range(2):
            reply = ask(b"evil")
            assert (reply.body, reply.hit) == (b"query evil", False)
        assert len(site.cache.memory) == 0
        assert ask(b"").body == b"query "
        if version != "1.1":
            assert ask(b"").hit
        assert ask(b"evil").body == b"query evil"


def _unannounced(site: Site, headers: list[tuple[str, str]]) -> Callable[[bytes], Any]:
    def ask(body: bytes) -> Any:
        server: Any = site.server
        inner = server.app

        async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
            scope = {
                **scope,
                "headers": [(n, v) for n, v in scope["headers"] if n != b"content-length"],
            }
            scope["headers"] += [(n.lower().encode(), v.encode()) for n, v in headers]
            await inner(scope, receive, send)

        server.app = app
        try:
            return site.get("/p", body=body)
        finally:
            server.app = inner

    return ask


def test_under_wsgi_django_reads_nothing_without_a_length() -> None:
    # So there is nothing that a key could lack: PEP 3333 leaves a terminated stream to the application.
    with open_site({"/p": search}) as site:
        site.server.app = WSGIHandler()
        assert site.get("/p", body=b"evil", headers={}).detail == "body"

        def without_length(environ: Any, start_response: Any) -> Any:
            environ = {k: v for k, v in environ.items() if k != "CONTENT_LENGTH"}
            environ["wsgi.input_terminated"] = True
            return WSGIHandler()(environ, start_response)

        site.server.app = without_length
        assert [site.get("/p", body=b"evil").body for _ in range(2)] == [b"query "] * 2
        assert site.get("/p").body == b"query "
