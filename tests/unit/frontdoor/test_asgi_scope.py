"""What an ASGI scope says about the client, beside its headers."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest

from cachemw.frontdoor.asgi_scope import outer_of

LIFESPAN = {"user": "of the database", "session": object()}


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ({}, []),
        ({"state": None, "extensions": None}, []),
        ({"session": {}}, [(b":session", b'scope["session"]')]),
        (
            {"user": None, "auth": 1},
            [(b":auth", b'scope["auth"]'), (b":user", b'scope["user"]')],
        ),
        ({"state": {"user_id": 7}}, [(b":user", b'scope["state"]["user_id"]')]),
        ({"state": UserDict(user="ann")}, [(b":user", b'scope["state"]["user"]')]),
        ({"state": {"session": "of the database", "db": 1}}, []),
        ({"state": dict(LIFESPAN)}, []),
        ({"state": {**LIFESPAN, "user": "ann"}}, [(b":user", b'scope["state"]["user"]')]),
        ({"extensions": {"tls": {"client_cert_chain": [], "client_cert_name": None}}}, []),
        ({"extensions": {"tls": {"tls_version": 0x304}}}, []),
        (
            {"extensions": {"tls": {"client_cert_chain": ["a", "b"], "client_cert_name": "CN=x"}}},
            [(b":client-cert", b"a\nb\nCN=x")],
        ),
        ({"extensions": {"tls": {"client_cert_name": "CN=x"}}}, [(b":client-cert", b"CN=x")]),
    ],
)
def test_outer(scope: dict[str, Any], found: list[tuple[bytes, bytes]]) -> None:
    assert outer_of(scope, LIFESPAN) == tuple(found)
