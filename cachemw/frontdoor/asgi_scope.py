"""Reading an ASGI scope as the engine wants it, and changing it as the engine says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from cachemw.engine.model.routes import Target
from cachemw.engine.privacy.identity_headers import CLIENT_CERTIFICATE
from cachemw.engine.request.keying import Rewrite
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Answer, Content, Request

__all__ = [
    "IDENTITY_IN_STATE",
    "NOBODY",
    "App",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "has_one_host",
    "header_pairs",
    "outer_of",
    "plain",
    "receive_body",
    "refresh_scope",
    "request_of",
    "rewritten",
    "send_answer",
    "send_nowhere",
    "target_of",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


IDENTITY_IN_STATE = frozenset(
    {"auth", "claims", "current_user", "identity", "principal", "user", "user_id"}
)
"""Names in `scope["state"]` (`request.state` in Starlette) by which middleware hands on who is asking. Not
`session`: there that is most often a session of the database."""


NOBODY: tuple[Pair, ...] = ()
"""What `outer_of` returns where nothing says who is asking."""


def outer_of(scope: Scope, lifespan_state: Mapping[str, object]) -> tuple[Pair, ...]:
    """Return what the server and outer middleware say about the client, for `Request.outer`.

    `lifespan_state` is what the application's lifespan put into every request's state.
    """
    found = [
        (b":" + name.encode("ascii"), f'scope["{name}"]'.encode("ascii"))
        for name in ("auth", "session", "user")
        if name in scope
    ]
    state = scope.get("state")
    if not isinstance(state, Mapping):
        state = {}
    found += [
        (b":user", f'scope["state"]["{name}"]'.encode("ascii"))
        for name in sorted(IDENTITY_IN_STATE & state.keys())
        if name not in lifespan_state or state[name] is not lifespan_state[name]
    ]
    tls = (scope.get("extensions") or {}).get("tls")
    if tls:
        certificate = [*(tls.get("client_cert_chain") or ()), tls.get("client_cert_name") or ""]
        if any(certificate):
            text = "\n".join(map(str, certificate))
            found.append((CLIENT_CERTIFICATE, text.encode("utf-8", "surrogatepass")))
    return tuple(found)


def request_of(scope: Scope, first: dict[bytes, bytes], outer: tuple[Pair, ...] = ()) -> Request:
    """Return the whole request; `first` maps each header to one of its values."""
    mount = scope.get("root_path") or ""
    path = scope["path"]
    raw = scope.get("raw_path")
    below = path
    # Servers differ: some put the mount into the path, some do not.
    if mount and (path == mount or path.startswith(mount + "/")):
        below = path[len(mount) :] or "/"
    headers = scope["headers"]
    if not all(
        type(pair) is tuple and type(pair[0]) is bytes and type(pair[1]) is bytes
        for pair in headers
    ):
        headers = header_pairs(headers)
        first = dict(headers)
    return Request(
        method=scope["method"],
        scheme=scope.get("scheme") or "http",
        mount=mount.rstrip("/"),
        path=below,
        raw_path=raw if raw is not None else quote(path, errors="surrogateescape").encode(),
        query=scope["query_string"],
        headers=Fields(headers, first),
        outer=outer,
    )


def plain(scope: Scope) -> tuple[Scope, list[Pair], dict[bytes, bytes]]:
    """Return a scope whose header pairs may have any form, its headers as pairs of bytes, and their index.

    ASGI allows any iterable of two bytes-like objects, also one that can be read once. What is no such
    thing is left to the application, and has no headers here.
    """
    try:
        given = list(scope["headers"])
        scope = {**scope, "headers": given}
        pairs = header_pairs(given)
    except Exception:  # the rules will find no Host, so the request bypasses the cache (I3)
        return scope, [], {}
    return {**scope, "headers": pairs}, pairs, dict(pairs)


def target_of(scope: Scope, host: bytes | None) -> Target:
    """Return the values that identify the target of a request."""
    return (
        scope.get("scheme"),
        host,
        scope.get("root_path"),
        scope["path"],
        scope.get("raw_path"),
        scope["query_string"],
    )


def has_one_host(headers: list[Pair]) -> bool:
    """Tell whether there is one Host header. An index by name hides a second one."""
    return sum(name == b"host" for name, _ in headers) == 1


def refresh_scope(scope: Scope, state: Mapping[str, Any] | None) -> Scope:
    """Return the scope of a refresh, which is made for everybody (I1).

    Its `state` is the lifespan's alone: middleware may have put a user or an open session into that of
    the request. The extensions belong to the connection of its client.
    """
    own = {**scope}
    if "state" in own:
        own["state"] = {} if state is None else dict(state)
    if "extensions" in own:
        own["extensions"] = {}
    return own


def rewritten(scope: Scope, rewrite: Rewrite | None) -> Scope:
    """Return the scope that the application is to see."""
    if rewrite is None:
        return scope
    return {**scope, "headers": list(rewrite.headers.pairs), "query_string": rewrite.query}


def header_pairs(headers: Iterable[tuple[bytes, bytes]]) -> list[Pair]:
    """Return a response's headers as pairs of bytes, with names in lower case."""
    return [
        (
            name if type(name) is bytes and name.islower() else bytes(name).lower(),
            value if type(value) is bytes else bytes(value),
        )
        for name, value in headers
    ]


def receive_body(content: Content | None) -> Receive:
    """Return the receive channel of a refresh: it gives a body, or an empty one, and then waits."""
    begun = False

    async def receive() -> Message:
        nonlocal begun
        if begun:
            # Frameworks cancel the response of a client that disconnects. This one never does.
            await asyncio.Event().wait()
        begun = True
        body = b"" if content is None else content.data
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def send_nowhere(message: Message) -> None:
    """Drop the messages of a refresh: there is no client."""


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole answer of the cache's own."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body or b""})
