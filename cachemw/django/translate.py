"""Translation between Django's requests and responses and the engine's messages."""

from __future__ import annotations

import io
from http.cookies import Morsel
from typing import Any

from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from cachemw.engine.request.keying import Rewrite
from cachemw.frontdoor.asgi_scope import outer_of
from cachemw.frontdoor.request_body import TOO_LARGE, UNREADABLE, input_size, read_stream
from cachemw.frontdoor.wsgi_environ import apply_rewrite, native, raw_target
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Answer, Content, Head

__all__ = [
    "copy_request",
    "head_of",
    "make_response",
    "outer_of_request",
    "read_body",
    "response_of",
    "rewrite_request",
    "seen_of",
    "set_host",
    "stood_in",
]

_OF_SERVER = (
    *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string"),
    *("root_path", "headers", "client", "server"),
)
"""What a server puts into the scope of a request, without `state`, in which middleware leaves its own."""

_REQUEST_CACHES = ("GET", "COOKIES", "headers", "_current_scheme_host", "accepted_types")
"""Attributes of a request that Django computes from META once and then keeps."""


def seen_of(request: HttpRequest) -> tuple[dict[str, Any], str, str | None]:
    """Return META, the scheme that the server saw, and the target as the client sent it.

    `request.scheme` may come from a header (SECURE_PROXY_SSL_HEADER), which is part of the key instead.
    The target is None where the server does not say it.
    """
    meta: dict[str, Any] = request.META
    scope = getattr(request, "scope", None)
    if scope is None:
        return meta, meta.get("wsgi.url_scheme") or "http", raw_target(meta)
    if scope.get("http_version", "1.1")[:2] != "1.":
        meta = _with_length(request, meta)
    raw: bytes | None = scope.get("raw_path")
    return meta, scope.get("scheme") or "http", None if raw is None else raw.decode("latin-1")


def set_host(request: HttpRequest) -> bool:
    """Set the Host header of a request of Django's test clients that has none; return whether it was set.

    Live, every cached request has one. The application sees the same header as the key. Its
    `get_host()` returns what it did, and a host that ALLOWED_HOSTS refuses is left out.
    """
    meta = request.META
    if meta.get("HTTP_HOST") or not hasattr(request, _OF_TEST_CLIENT):
        return False
    try:
        meta["HTTP_HOST"] = request.get_host()
    except DisallowedHost:
        return False
    request.__dict__.pop("headers", None)  # computed from META, perhaps by outer middleware
    return True


_OF_TEST_CLIENT = "_dont_enforce_csrf_checks"
"""What both test clients set on each request, and no server does. Django's CSRF middleware reads it."""


def _with_length(request: Any, meta: dict[str, Any]) -> dict[str, Any]:
    """Return META with the length of the body, if there is one.

    HTTP/2 and HTTP/3 need no header to announce a body, and it must not be overlooked (I7). Under
    HTTP/1 Content-Length or Transfer-Encoding does (RFC 9112 §6.3).
    """
    size = len(request._body) if hasattr(request, "_body") else _size(request._stream)
    return {**meta, "CONTENT_LENGTH": str(size)} if size else meta


def _size(file: Any) -> int:
    position = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(position)
    return int(size)


_IDENTITY = {
    "session": b":session",
    "user": b":user",
    "auser": b":user",
    "auth": b":auth",
    "current_user": b":user",
}
"""Attributes by which middleware hands on who is asking. They are looked for, and not evaluated: whoever
reads `request.user` reads the session, and then every response varies on the cookie."""


def outer_of_request(request: HttpRequest) -> list[Pair]:
    """Return what outer middleware has put into a request about the client, for `Request.outer`."""
    attributes = request.__dict__
    found = [
        (kind, f"request.{name}".encode("ascii"))
        for name, kind in _IDENTITY.items()
        if name in attributes
    ]
    scope = attributes.get("scope")
    return found if scope is None else [*found, *outer_of(scope, {})]


def head_of(response: HttpResponseBase) -> Head:
    """Return a response's status and headers, with the cookies, which Django keeps apart."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.items()
    ]
    headers += [(b"set-cookie", _set_cookie(cookie)) for cookie in response.cookies.values()]
    return Head(status=response.status_code, headers=Fields(headers))


def make_response(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> HttpResponse:
    """Return a new response. It must be new each time: Django adds the request's clean-up to it."""
    response = HttpResponse(body, status=status, content_type="")
    # Fill the mapping that Django keeps directly: its setter encodes and checks every value again,
    # and stored headers were checked already.
    pairs = native(headers)
    response.headers._store = dict(zip([name for name, _ in pairs], pairs, strict=True))
    return response


def response_of(answer: Answer) -> HttpResponse:
    """Return the response of an answer that is all the cache's own.

    Django's mapping of headers holds one Set-Cookie only, so it keeps cookies apart.
    """
    headers = [pair for pair in answer.headers if pair[0] != b"set-cookie"]
    own = make_response(answer.status, headers, answer.body or b"")
    if len(headers) < len(answer.headers):
        for name, value in answer.headers:
            if name == b"set-cookie":
                own.cookies.load(value.decode("latin-1"))
    return own


def _keep_cookies(response: HttpResponseBase, answer: Answer) -> None:
    """Remove the cookies from a response that its answer does not set."""
    cookies = response.cookies
    kept = [value for name, value in answer.headers if name == b"set-cookie"]
    if len(kept) < len(cookies):
        for name in [each for each, cookie in cookies.items() if _set_cookie(cookie) not in kept]:
            del cookies[name]


def _set_cookie(cookie: Morsel[str]) -> bytes:
    return cookie.OutputString().encode("latin-1", "replace")


def apply_answer(response: HttpResponseBase, answer: Answer, ours: frozenset[bytes]) -> None:
    """Set the cache's headers on the application's response; remove those that were only for the cache."""
    _keep_cookies(response, answer)
    kept = set()
    for name, value in answer.headers:
        kept.add(name)
        if name in _NAMES:
            response[_NAMES[name]] = value.decode("latin-1")
    for name in ours - kept:
        del response[name.decode("ascii")]


_NAMES = {
    b"cache-status": "Cache-Status",
    b"etag": "ETag",
    b"vary": "Vary",
    b"x-cache": "X-Cache",
}


def stood_in(response: HttpResponseBase, answer: Answer) -> HttpResponse:
    """Return an answer that is sent instead of a response, with the latter's clean-up.

    The clean-up moves, because closing both would send `request_finished` twice.
    """
    own = response_of(answer)
    for name in own.cookies.keys() & response.cookies.keys():
        if own.cookies[name].OutputString() == response.cookies[name].OutputString():
            own.cookies[name] = response.cookies[name]  # with attributes that `load` does not know
    own._resource_closers.extend(response._resource_closers)  # type: ignore[attr-defined]
    return own


def rewrite_request(request: HttpRequest, rewrite: Rewrite) -> None:
    """Change a request into what the application may see."""
    apply_rewrite(request.META, rewrite)
    for name in _REQUEST_CACHES:
        request.__dict__.pop(name, None)


def read_body(request: HttpRequest, limit: int) -> Content:
    """Read a request's body, and leave the request so that the application can read it again."""
    own: Any = request
    if hasattr(own, "_body"):  # an outer middleware has read it
        return Content(own._body) if len(own._body) <= limit else TOO_LARGE
    if own._read_started:
        return UNREADABLE
    if hasattr(own, "scope"):
        return _read_file(own, limit)
    size = input_size(own.META, terminated=False)  # Django reads no body without Content-Length
    if size is None:
        return UNREADABLE
    content, own._stream = read_stream(own._stream, size, limit)
    return content


def _read_file(request: Any, limit: int) -> Content:
    """Read the file that holds the whole body, as Django has under ASGI."""
    file = request._stream
    if not (hasattr(file, "seekable") and file.seekable()):  # Django's test client
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
    """Return a new request for a call in the background, with the same target, headers and body.

    What outer middleware has put into the request (a user, a session) stays behind, except which URLs
    it is to be resolved with.
    """
    body = io.BytesIO(b"" if content is None else content.data)
    scope: Any = getattr(request, "scope", None)
    own: Any
    if scope is not None:
        own = ASGIRequest({name: scope[name] for name in _OF_SERVER if name in scope}, body)
        own.META.clear()
        own.META.update(request.META)
    else:
        environ = {**request.META, "wsgi.input": body}
        for name in ("SCRIPT_NAME", "PATH_INFO"):  # decoded in META, to be decoded again
            environ[name] = environ.get(name, "").encode().decode("latin-1")
        environ.pop("wsgi.file_wrapper", None)
        own = type(request)(environ)  # type: ignore[call-arg]
    if hasattr(request, "urlconf"):
        own.urlconf = request.urlconf
    return own  # type: ignore[no-any-return]
