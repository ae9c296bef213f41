"""The applications of `apps`, whose answers say in a header which cache they went through.

A server may spread the requests of one connection over its workers, and one process may run the
application in several interpreters, so a test cannot tell from a connection who answers.
"""

from __future__ import annotations

import json
import os
from typing import Any

from apps import asgi_app as plain_asgi_app
from apps import cache
from apps import wsgi_app as plain_wsgi_app


def name() -> str:
    """Return the name of this process, or of this interpreter, among the heartbeats."""
    log: Any = cache.log
    return str(log.me)


def who() -> bytes:
    log: Any = cache.log
    return json.dumps({"pid": os.getpid(), "live": log.live, "me": log.me}).encode()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"worker", name().encode())]}
        await send(message)

    if scope["type"] == "http" and scope["path"] == "/who":
        body = who()
        headers = [(b"content-length", b"%d" % len(body))]
        await named({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return
    await plain_asgi_app(scope, receive, named)


def wsgi_app(environ: Any, start_response: Any) -> Any:
    def named(status: str, headers: Any, *failure: Any) -> Any:
        return start_response(status, [*headers, ("Worker", name())], *failure)

    if environ["PATH_INFO"] == "/who":
        body = who()
        named("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return plain_wsgi_app(environ, named)


application = wsgi_app  # as mod_wsgi calls it
