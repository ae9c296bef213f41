"""Between Django's requests and responses and the engine's messages."""

from __future__ import annotations

import io
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cachemw.engine.request.keying import Rewrite
from cachemw.frontdoor.request_body import TOO_LARGE, UNREADABLE, input_size, read_stream
from cachemw.frontdoor.wsgi_environ import apply_rewrite, native, raw_target
from cachemw.http.fields import Fields
from cachemw.http.messages import Answer, Content, Head

__all__ = [
    "copy_request",
    "head_of",
    "make_response",
    "raw_of",
    "read_body",
    "rewrite_request",
    "scheme_of",
    "stood_in",
]

_REQUEST_CACHES = ("GET", "COOKIES", "headers", "_current_scheme_host", "accepted_types")
"""What Django works out of META once and remembers on the request."""


def scheme_of(request: HttpRequest) -> str:
    """Give the scheme that the server saw; the header that may override it is keyed."""
    scheme: str | None = request.META.get("wsgi.url_scheme")
    return scheme or getattr(request, "scope", {}).get("scheme") or "http"


def raw_of(request: HttpRequest) -> str | None:
    """Give the request target as it came, where the server tells."""
    scope = getattr(request, "scope", None)
    if scope is None:
        return raw_target(request.META)
    raw: bytes | None = scope.get("raw_path")
    return None if raw is None else raw.decode("latin-1")


def head_of(response: HttpResponseBase) -> Head:
    """Give a response's head; its cookies stand beside its headers until the handler sends them."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.items()
    ]
    headers += [
        (b"set-cookie", cookie.OutputString().encode("latin-1", "replace"))
        for cookie in response.cookies.values()
    ]
    return Head(status=response.status_code, headers=Fields(headers))


def make_response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> HttpResponse:
    """Make a fresh response: Django hangs the request's clean-up on every response it sends."""
    response = HttpResponse(body, status=status, content_type="")
    # The mapping that Django keeps, filled at once: its own setter encodes and checks every value
    # again, which stored fields have been through already.
    pairs = native(headers)
    response.headers._store = dict(zip([name for name, _ in pairs], pairs, strict=True))
    return response


def apply_answer(response: HttpResponseBase, answer: Answer, ours: frozenset[bytes]) -> None:
    """Put our own fields on the application's response, and take off those that were for us alone."""
    kept = set()
    for name, value in answer.headers:
        kept.add(name)
        if name in (b"cache-status", b"etag", b"x-cache"):
            response[_NAMES[name]] = value.decode("latin-1")
    for name in ours - kept:
        del response[name.decode("ascii")]


_NAMES = {b"cache-status": "Cache-Status", b"etag": "ETag", b"x-cache": "X-Cache"}


def stood_in(response: HttpResponseBase, answer: Answer) -> HttpResponse:
    """Make the stored answer that goes out instead of a response, with its cookies if it has them still."""
    headers = [pair for pair in answer.headers if pair[0] != b"set-cookie"]
    own = make_response(answer.status, headers, answer.body or b"")
    if len(headers) < len(answer.headers):
        own.cookies = response.cookies  # a mapping has room for one Set-Cookie only
    return own


def not_modified(response: HttpResponseBase, answer: Answer) -> HttpResponse:
    """Make the 304 that goes out instead of a response, and takes over its cookies and clean-up."""
    own = stood_in(response, answer)
    own._resource_closers.extend(response._resource_closers)  # type: ignore[attr-defined]
    return own


def rewrite_request(request: HttpRequest, rewrite: Rewrite) -> None:
    """Make a request what the application is to see."""
    apply_rewrite(request.META, rewrite)
    for name in _REQUEST_CACHES:
        request.__dict__.pop(name, None)


def read_body(request: HttpRequest, limit: int) -> Content:
    """Read a request's body, and leave it to be read again, as if nobody had."""
    own: Any = request
    if hasattr(own, "_body"):  # read by something outside of us
        return Content(own._body) if len(own._body) <= limit else TOO_LARGE
    if own._read_started:
        return UNREADABLE
    if hasattr(own, "scope"):
        return _read_file(own, limit)
    size = input_size(own.META, terminated=False)  # Django reads no body without a length
    if size is None:
        return UNREADABLE
    content, own._stream = read_stream(own._stream, size, limit)
    return content


def _read_file(request: Any, limit: int) -> Content:
    """Read the file that Django has put the whole body into, as it does under ASGI."""
    file = request._stream
    if not (hasattr(file, "seekable") and file.seekable()):  # its test client's
        content, request._stream = read_stream(file, -1, limit)
        return content
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > limit:
        return TOO_LARGE
    content = Content(file.read())
    file.seek(0)
    return content


def copy_request(request: HttpRequest, content: Content | None) -> HttpRequest:
    """Make a request for a background call: same target, fields and body, nothing of the first one's life."""
    body = io.BytesIO(b"" if content is None else content.data)
    scope: Any = getattr(request, "scope", None)
    if scope is not None:
        own: HttpRequest = ASGIRequest(scope, body)
        own.META.clear()
        own.META.update(request.META)
        return own
    environ = {**request.META, "wsgi.input": body}
    environ.pop("wsgi.file_wrapper", None)
    return type(request)(environ)  # type: ignore[call-arg]
