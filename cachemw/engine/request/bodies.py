"""Requests with a body: which bodies are read, and how a body becomes part of the key.

A route may list POST and QUERY, and say what their bodies are. Only then the middleware reads a body,
up to the route's limit, and only if nothing else about the request makes it bypass the cache. The
meaning of a body depends on its Content-Type and Content-Encoding, so both are part of the key. The
body itself enters the key as a keyed digest.

Other requests have no body, or bypass the cache. In HTTP/1 the headers tell (RFC 9112 §6.3). Where they
do not (HTTP/2, HTTP/3, some WSGI servers), the middleware looks whether a first byte comes.
"""

from __future__ import annotations

from cachemw.config.syntax.flag import OFF
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.keys import encode_parts
from cachemw.engine.model.routes import RouteState, Target
from cachemw.engine.privacy.bypass import bypass_reason
from cachemw.http.fields import Fields
from cachemw.http.invalidation import is_unsafe
from cachemw.http.messages import Content, Request

__all__ = ["body_limit", "body_part", "body_reason", "may_mutate", "unkeyed_body"]

_DESCRIBING = (b"content-type", b"content-encoding")
_UNDERSCORED = frozenset({b"content_type", b"content_encoding"})


def body_limit(
    engine: Engine, request: Request, target: Target, *, framed: bool = True
) -> int | None:
    """Return how many bytes of a body the middleware must read; None: it must not read the body.

    `framed` tells whether the headers say if there is a body. If they do not, the limit of a body that
    must not be there is 0.
    """
    plan = engine.memo.known(target)
    if plan is not None:
        route = plan.route
    else:
        match = engine.router.match(request.mount, request.path)
        if match is None:
            return None
        route = engine.routes[match[0]]
    if route.share == OFF or request.method not in route.methods:
        return None
    if request.method not in route.bodied:
        suspicious = engine.watched.suspicious
        return None if framed or bypass_reason(request, suspicious) else 0
    if bypass_reason(request, engine.watched.suspicious, keyed=True) or _why_unread(route, request):
        return None
    return route.body_limit


def body_reason(route: RouteState, request: Request) -> str | None:
    """Return why a request must bypass the cache because of its body, or None."""
    reason = _why_unread(route, request)
    if reason is not None:
        return reason
    content = request.content
    if content is None:
        return "body"
    if content.fault is not None:
        return content.fault
    length = request.headers.first(b"content-length")
    return None if length is None or int(length) == len(content.data) else "body-length"


def unkeyed_body(content: Content | None) -> str | None:
    """Return why a request must bypass the cache because bytes came that its key does not have (I7)."""
    return None if content is None or content == Content(b"") else "body"


def _why_unread(route: RouteState, request: Request) -> str | None:
    """Return why a body must not even be read, or None."""
    fields = request.headers
    if not _UNDERSCORED.isdisjoint(fields.names):
        return "spelling"
    if request.method == "POST" and b"if-none-match" in fields:  # RFC 9110 §13.1.2: perhaps a 412
        return "precondition"
    codings = [coding.lower() for coding in fields.members(b"transfer-encoding")]
    lengths = fields.values(b"content-length")
    if codings and (lengths or codings != [b"chunked"]):  # RFC 9112 §6.3: perhaps smuggling
        return "body"
    if not lengths:
        return None
    if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > _DIGITS:
        return "body-length"
    return "body-limit" if int(lengths[0]) > route.body_limit else None


_DIGITS = 20
"""Digits of a Content-Length that are read: int() refuses thousands of them."""


def may_mutate(route: RouteState, request: Request, reason: str) -> bool:
    """Tell whether a request that bypasses the cache may change something, by its query language (I5).

    `reason` is why it bypasses. A safe method proves nothing: some servers run mutations of a GET too.
    """
    if route.language is None:
        return False
    in_url = request.method in ("GET", "HEAD") and not _announces_body(request.headers)
    if in_url or reason == "operation":  # everything that it asks for has been read
        operation = route.language.operation(request, request.query, persisted=route.persisted)
        return operation == "mutation"
    return request.method in _RUN_BY_SERVERS or is_unsafe(request.method)


_RUN_BY_SERVERS = frozenset({"GET", "HEAD", "QUERY"})
"""The safe methods whose query a server may run."""


def _announces_body(fields: Fields) -> bool:
    lengths = fields.values(b"content-length")
    return b"transfer-encoding" in fields or any(length.strip(b" 0") for length in lengths)


def body_part(engine: Engine, request: Request) -> bytes:
    """Return what the key holds of a request's method and body. `body_reason` must have returned None."""
    assert request.content is not None
    return encode_parts(
        (
            request.method.encode("ascii"),
            *(_joined(request.headers, name) for name in _DESCRIBING),
            engine.keys.conceal(request.content.data),
        )
    )


def _joined(fields: Fields, name: bytes) -> bytes | None:
    return b", ".join(fields.values(name)) if name in fields else None
