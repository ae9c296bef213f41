"""Calls of a WSGI application as a server makes them, but without a server; see `asgi_calls`."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from time import process_time
from typing import Any

from bench.constants import BODY, TEXT_HEADERS, URLS
from bench.timing import Subject

__all__ = ["CALLS", "Answer", "ask", "bare", "call", "environ_of", "subject"]

App = Callable[..., Iterable[bytes]]
Answer = tuple[str, list[tuple[str, str]], bytes]

CALLS = 200
_REQUEST = {
    "HTTP_HOST": "shop.example",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "HTTP_ACCEPT": "application/json, text/plain, */*",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_REFERER": "http://shop.example/",
    "HTTP_CONNECTION": "keep-alive",
}


def bare(environ: MutableMapping[str, Any], start_response: Any) -> Iterable[bytes]:
    """Return the constant response: the application without a cache."""
    start_response("200 OK", TEXT_HEADERS.copy())
    return [BODY]


def environ_of(url: str) -> dict[str, Any]:
    """Return a fresh environ for a GET request for this URL."""
    path, _, query = url.partition("?")
    return {
        "wsgi.errors": sys.stderr,
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": query,
        "RAW_URI": url,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        **_REQUEST,
    }


def call(app: App, environ: dict[str, Any]) -> Answer:
    """Call the application with this environ, and return status, headers and body."""
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        head[:] = (status, headers)
        return None

    body = app(environ, start_response)
    pieces = list(body)
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return head[0], head[1], pieces[0] if len(pieces) == 1 else b"".join(pieces)


def ask(app: App, url: str) -> Answer:
    """Call the application once for this URL, and return status, headers and body."""
    return call(app, environ_of(url))


def _round(app: App, urls: Iterator[str], calls: int) -> float:
    batch = [
        "".join(list(url)) for url in itertools.islice(urls, calls)
    ]  # new strings, whose hashes are not computed yet
    began = process_time()
    for url in batch:
        call(app, environ_of(url))
    return (process_time() - began) / calls


def subject(name: str, app: App, *, calls: int = CALLS, urls: Sequence[str] = URLS) -> Subject:
    """Return a subject that calls an application for these URLs in turn."""
    turn = itertools.cycle(urls)
    return Subject(name, lambda: _round(app, turn, calls))
