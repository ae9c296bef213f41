"""The applications under WSGI: bare, and Flask. Both say what `Origin` tells them to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import flask
from werkzeug.datastructures import Headers

from .language import METHODS, PATIENCE, Asked, Origin, Piece, Said, angled, match

Environ = dict[str, Any]


def bare(origin: Origin) -> Callable[..., Iterable[bytes]]:
    """Make an application with nothing but PEP 3333."""

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        for pattern in origin.handlers:
            params = match(pattern, path)
            if params is not None:
                said = origin.answer(pattern, _asked(environ, path, params))
                break
        else:
            said = Said(status=404, body=b"no such page")
        if said.wait is not None:
            assert said.wait.wait(PATIENCE)
        phrase = HTTPStatus(said.status).phrase
        start_response(f"{said.status} {phrase}", said.pairs)
        return _Whole(said) if isinstance(said.body, bytes) else _Pieces(said)

    return app


def _asked(environ: Environ, path: str, params: dict[str, str]) -> Asked:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("wsgi.input_terminated"):
        length = 1 << 20
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    return Asked(
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers=[
            (name[5:].replace("_", "-").lower(), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ],
        body=environ["wsgi.input"].read(length) if length else b"",
        params=params,
        arguments=parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True),
        cookies={name: morsel.value for name, morsel in cookies.items()},
    )


class _Whole(list[bytes]):
    """The list with one element that most applications return, and its `close`."""

    def __init__(self, said: Said) -> None:
        assert isinstance(said.body, bytes)
        super().__init__([said.body])
        self._said = said

    def close(self) -> None:
        if self._said.closed is not None:
            self._said.closed()


class _Pieces:
    """A streamed body, and its `close`."""

    def __init__(self, said: Said) -> None:
        assert not isinstance(said.body, bytes)
        self._said = said
        self._pieces = sent(said.body)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        if self._said.closed is not None:
            self._said.closed()


def sent(pieces: Iterator[Piece]) -> Iterator[bytes]:
    """Yield the pieces of a body, waiting for the events in it."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            assert piece.wait(PATIENCE)


def with_flask(origin: Origin) -> flask.Flask:
    """Make a Flask application."""
    app = flask.Flask("behaviour", static_folder=None)
    app.url_map.merge_slashes = False
    for index, pattern in enumerate(origin.handlers):
        app.add_url_rule(
            angled(pattern),
            endpoint=str(index),
            view_func=_flask_view(origin, pattern),
            methods=METHODS,
            provide_automatic_options=False,
        )
    return app


def _flask_view(origin: Origin, pattern: str) -> Callable[..., flask.Response]:
    def view(**params: Any) -> flask.Response:
        request = flask.request
        said = origin.answer(
            pattern,
            Asked(
                method=request.method,
                path=request.path,
                query=request.query_string.decode("latin-1"),
                headers=[(name.lower(), value) for name, value in request.headers.items()],
                body=request.get_data(),
                params=params,
                arguments=list(request.args.items(multi=True)),
                cookies=dict(request.cookies),
            ),
        )
        if said.wait is not None:
            assert said.wait.wait(PATIENCE)
        body = said.body if isinstance(said.body, bytes) else sent(said.body)
        response = flask.Response(body, status=said.status, headers=Headers(said.pairs))
        if said.status in (204, 304):
            del response.headers["Content-Type"]
        if said.closed is not None:
            response.call_on_close(said.closed)
        return response

    return view
