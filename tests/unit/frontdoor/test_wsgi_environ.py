"""What a WSGI environ says about the client, and what a rewrite leaves."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.engine.request.keying import Rewrite
from cachemw.frontdoor.wsgi_environ import EnvironReader, apply_rewrite
from cachemw.http.fields import Fields

READER = EnvironReader(frozenset({b"cookie", b"x-user", b"x_user", b":remote-user"}))
BARE = {"REQUEST_METHOD": "GET", "PATH_INFO": "/p", "QUERY_STRING": "", "HTTP_HOST": "a"}

SAID: list[tuple[dict[str, Any], list[tuple[bytes, bytes]]]] = [
    ({}, []),
    ({"REMOTE_USER": "ann"}, [(b":remote-user", b"ann")]),
    ({"REMOTE_USER": "", "AUTH_TYPE": None}, []),
    ({"REMOTE_USER": "J\xf6rg"}, [(b":remote-user", "J\xf6rg".encode())]),
    ({"SSL_CLIENT_VERIFY": "NONE"}, [(b":ssl-client-verify", b"NONE")]),
    ({"Shib-Session-ID": "_1"}, [(b":shib-session-id", b"_1")]),
    ({"beaker.session": {}}, [(b":session", b'environ["beaker.session"]')]),
    (
        {"REMOTE_USER": "ann", "AUTH_TYPE": "Basic"},
        [(b":auth-type", b"Basic"), (b":remote-user", b"ann")],
    ),
]


@pytest.mark.parametrize(("said", "found"), SAID)
def test_variables_are_read_and_noticed(
    said: dict[str, Any], found: list[tuple[bytes, bytes]]
) -> None:
    environ = {**BARE, **said}
    assert list(READER.request(environ, "http", None).outer) == found
    assert READER.watched(environ) == (found or None), "the fast path must notice them"


def test_watched_headers_come_in_one_order() -> None:
    environ = {"HTTP_X_USER": "ann", "HTTP_COOKIE": "a=1", **BARE}
    assert READER.watched(environ) == READER.watched(dict(reversed(environ.items())))
    assert READER.watched(environ) == [(b"cookie", b"a=1"), (b"x-user", b"ann")]


def test_a_rewrite_leaves_the_variables_of_the_server() -> None:
    environ = {**BARE, "REMOTE_USER": "ann", "HTTP_COOKIE": "a=1", "HTTP_REMOTE_USER": "bob"}
    apply_rewrite(environ, Rewrite(query=b"", headers=Fields([(b"host", b"a")])))
    assert environ == {**BARE, "REMOTE_USER": "ann"}
