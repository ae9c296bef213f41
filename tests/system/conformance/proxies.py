"""The applications behind the cache: reverse proxies of the suite's server, one ASGI and one WSGI.

They relay what they get, as it is: no retries, no connection kept for the next request, and a body
ends where the origin's `Content-Length` says. An origin that breaks off raises, as a fault of any
application does. `ORIGIN_PORT` in the environment says where the origin listens.

Fields that concern one connection only: those of a request never go on. Of an answer, ASGI lets an
application send any but `Transfer-Encoding` (framing is the server's), so the others are left for
the cache to deal with. WSGI forbids them all (PEP 3333), so there they are taken out here.
"""

from __future__ import annotations

import asyncio
import http.client
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import is_hop_by_hop

from cachemw import Cache, asgi, wsgi

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds that the origin may take: it is to answer at once or to break off."""

Field = tuple[str, str]


class BrokenOff(Exception):
    """The origin closed the connection without an answer, or in the middle of it.

    No OSError: gunicorn takes one that an application raises for a client that has gone away.
    """


class Answer(NamedTuple):
    status: int
    reason: str
    fields: list[Field]
    body: bytes


def ask(method: str, target: str, fields: Iterable[Field], body: bytes) -> Answer:
    """Ask the origin over a connection of its own; raises BrokenOff."""
    port = int(os.environ["ORIGIN_PORT"])
    connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in end_to_end(fields):
            if name.lower() != "content-length":
                connection.putheader(name.encode("latin-1"), value.encode("latin-1"))
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return Answer(answer.status, answer.reason, answer.headers.items(), answer.read())
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOff(repr(error)) from error
    finally:
        connection.close()


def end_to_end(fields: Iterable[Field]) -> list[Field]:
    """Leave out what concerns one connection only (RFC 9110, 7.6.1), also what `Connection` lists."""
    pairs = list(fields)
    listed = {
        option.strip().lower()
        for name, value in pairs
        if name.lower() == "connection"
        for option in value.split(",")
    }
    return [pair for pair in pairs if not is_hop_by_hop(pair[0]) and pair[0].lower() not in listed]


def for_asgi(fields: Iterable[Field]) -> list[tuple[bytes, bytes]]:
    """Leave out the origin's framing and its answer to our own `Connection: close`."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in fields
        if name.lower() != "transfer-encoding"
        and (name.lower(), value.lower()) != ("connection", "close")
    ]


async def asgi_proxy(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    target = scope["raw_path"].decode("ascii")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("ascii")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = await asyncio.to_thread(ask, scope["method"], target, fields, body)
    # The suite's server says 999 where it misses a condition; uvicorn has no status line above 599.
    head = {"status": min(answer.status, 599), "headers": for_asgi(answer.fields)}
    await send({"type": "http.response.start", **head})
    await send({"type": "http.response.body", "body": answer.body})


def wsgi_proxy(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    fields = [
        (name.removeprefix("HTTP_").replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name == "CONTENT_TYPE" and value)
    ]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = ask(environ["REQUEST_METHOD"], environ["RAW_URI"], fields, body)
    start_response(f"{answer.status} {answer.reason}", end_to_end(answer.fields))
    return [answer.body]


cache = Cache.from_file(Path(__file__).with_name("cachemw.toml"))
asgi_app = asgi.CacheMiddleware(asgi_proxy, cache=cache)
wsgi_app = wsgi.CacheMiddleware(wsgi_proxy, cache=cache)
