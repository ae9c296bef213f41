"""The applications under ASGI: bare, Starlette and FastAPI, each with a websocket and a lifespan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from .language import METHODS, PATIENCE, Asked, Origin, Piece, Said, first, match


async def sent(pieces: Iterator[Piece]) -> AsyncIterator[bytes]:
    """Yield the pieces of a body, waiting for the events in it."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            assert await asyncio.to_thread(piece.wait, PATIENCE)


async def waited(said: Said) -> Said:
    """Give an answer when what it waits for has come."""
    if said.wait is not None:
        assert await asyncio.to_thread(said.wait.wait, PATIENCE)
    return said


def encoded(said: Said) -> list[tuple[bytes, bytes]]:
    """Give an answer's fields as ASGI wants them."""
    return [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in said.pairs]


# -- bare ------------------------------------------------------------------------------------------


class Bare:
    """An application with nothing but the ASGI specification."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await self._echo(receive, send)
            case other:
                await send({"type": f"{other}.answered"})

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(scope["root_path"])
        for pattern in self.origin.handlers:
            params = match(pattern, path)
            if params is not None:
                said = self.origin.answer(pattern, await _asked(scope, receive, path, params))
                break
        else:
            said = Said(status=404, body=b"no such page")
        await waited(said)
        if said.messages:
            for message in said.messages:
                await send(message)
            return
        headers = encoded(said)
        if (
            isinstance(said.body, bytes)
            and said.status not in (204, 304)
            and first(said.headers, "content-length") is None
        ):
            headers.append((b"content-length", b"%d" % len(said.body)))
        await send({"type": "http.response.start", "status": said.status, "headers": headers})
        if isinstance(said.body, bytes):
            await send({"type": "http.response.body", "body": said.body})
        else:
            async for piece in sent(said.body):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        if said.afterwards is not None:
            said.afterwards()

    async def _lifespan(self, receive: Any, send: Any) -> None:
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            self.origin.life.append(step)
            await send({"type": f"lifespan.{step}.complete"})

    async def _echo(self, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": f"echo {text}"})
        await send({"type": "websocket.close"})


async def _asked(scope: Any, receive: Any, path: str, params: dict[str, str]) -> Asked:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in scope["headers"]]
    cookies = SimpleCookie("; ".join(value for name, value in headers if name == "cookie"))
    query = scope["query_string"].decode("latin-1")
    return Asked(
        method=scope["method"],
        path=path,
        query=query,
        headers=headers,
        body=body,
        params=params,
        arguments=parse_qsl(query, keep_blank_values=True),
        cookies={name: morsel.value for name, morsel in cookies.items()},
    )


# -- Starlette and FastAPI -------------------------------------------------------------------------


def with_starlette(origin: Origin) -> Starlette:
    """Make a Starlette application."""
    routes = [
        Route(pattern, _endpoint(origin, pattern), methods=METHODS) for pattern in origin.handlers
    ]
    return Starlette(routes=[*routes, WebSocketRoute("/echo", _echo)], lifespan=_lifespan(origin))


def with_fastapi(origin: Origin) -> FastAPI:
    """Make a FastAPI application, with nothing on it that was not asked for."""
    app = FastAPI(openapi_url=None, lifespan=_lifespan(origin))
    for pattern in origin.handlers:
        app.api_route(pattern, methods=list(METHODS))(_endpoint(origin, pattern))
    app.websocket("/echo")(_echo)
    return app


def _endpoint(origin: Origin, pattern: str) -> Any:
    async def endpoint(request: Request) -> Response:
        asked = Asked(
            method=request.method,
            path=request.scope["path"].removeprefix(request.scope["root_path"]),
            query=request.scope["query_string"].decode("latin-1"),
            headers=list(request.headers.items()),
            body=await request.body(),
            params=request.path_params,
            arguments=request.query_params.multi_items(),
            cookies=request.cookies,
        )
        return _response(await waited(origin.answer(pattern, asked)))

    return endpoint


def _response(said: Said) -> Response:
    if said.messages:
        return _Messages(said)
    response = (
        Response(said.body, status_code=said.status)
        if isinstance(said.body, bytes)
        else StreamingResponse(sent(said.body), status_code=said.status)
    )
    stated = encoded(said)
    names = {name for name, _ in stated}
    response.raw_headers = [*stated, *(p for p in response.raw_headers if p[0] not in names)]
    if said.afterwards is not None:
        response.background = BackgroundTask(said.afterwards)
    return response


class _Messages(Response):
    """A response that sends the messages it was given."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self._messages = said.messages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self._messages:
            await send(message)


async def _echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(f"echo {await socket.receive_text()}")
    await socket.close()


def _lifespan(origin: Origin) -> Any:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        origin.life.append("startup")
        yield
        origin.life.append("shutdown")

    return lifespan
