"""Requests to an application in the test's own process, made as a server makes them, and its lifespan."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

__all__ = ["Response", "call_asgi", "call_wsgi", "environ_of", "live", "scope_of"]

HOST = "shop.example"


@dataclass(frozen=True, slots=True)
class Response:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cache_status(self) -> str:
        return self.headers.get("cache-status", "")


def environ_of(path: str, **variables: Any) -> dict[str, Any]:
    """Return the environ of a GET request."""
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "HTTP_HOST": HOST,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **variables,
    }


def call_wsgi(app: Any, path: str, **variables: Any) -> Response:
    """Ask for a path, to the last byte and `close()`."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        heads.append((status, headers))

    body = app(environ_of(path, **variables), start_response)
    try:
        whole = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    status, headers = heads[-1]
    return Response(int(status[:3]), {name.lower(): value for name, value in headers}, whole)


def scope_of(path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return the scope of a GET request."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", HOST.encode()), *headers],
    }


async def live(receive: Any, send: Any) -> None:
    """Answer the lifespan of a server, as an application that has nothing to start."""
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def call_asgi(app: Any, path: str, **scope: Any) -> Response:
    """Ask for a path, to the last message. `scope` is what else the scope has."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({**scope_of(path), **scope}, receive, send)
    start, *pieces = messages
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Response(start["status"], headers, b"".join(each.get("body", b"") for each in pieces))
