"""Who is asking (I1): headers, variables of the server and certificates count as Authorization does."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any

import msgspec
import pytest

from cachemw.engine.privacy.identity_headers import IDENTITY

from . import identities
from .conftest import OpenDoor
from .doors import Door
from .language import Call, Handler, echo, numbered
from .outside import ENVIRON_DOORS, SCOPE_DOORS, Put, opened_behind

NAMES = ["Proxy-Authorization", "X-API-Key", "X-Forwarded-User", "Remote-User", "X-Amzn-Oidc-Data"]


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_nobody_gets_what_was_made_for_another(open_door: OpenDoor, name: str) -> None:
    # Guard: `keyed_headers` in cachemw.engine.request.keying.
    door = open_door({"/p": echo(name)}, cookies=[])
    for who in ("ann", "bob", None, "ann", None):
        reply = door.get("/p", {} if who is None else {name: who})
        assert reply.body == f"{name}={who}".encode()
    assert door.calls == 4, "only the second request of nobody is a hit"


def test_no_header_of_the_table_is_shared(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, cookies=[])
    door.get("/p")
    for calls, name in enumerate(sorted(IDENTITY), start=2):
        reply = door.get("/p", {name.decode(): "ann"})
        assert (reply.calls, reply.detail) == (calls, "authorization"), name
    assert door.get("/p").hit


def test_an_answer_for_all_goes_to_those_who_say_who_they_are(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("Cache-Control", "public, max-age=60")])})
    sent = [{}, {"X-API-Key": "1"}, {"X-API-Key": "2"}]
    assert [door.get("/p", headers).body for headers in sent] == [b"answer 1"] * 3


def test_those_who_say_who_they_are_do_not_wait_for_each_other(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": echo("x-api-key", wait=gate)})
    calls = [Call(target="/p", headers=[("X-API-Key", key)]) for key in "123"]
    replies = door.together(calls, when=lambda: door.calls == 3, then=gate.set)
    assert [reply.body for reply in replies] == [f"x-api-key={key}".encode() for key in "123"]


def test_a_route_that_varies_on_it_keeps_each_apart(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("x-api-key")}, vary=["X-API-Key"])
    for key in ("s3cr3t-1", "s3cr3t-2", "s3cr3t-1", "s3cr3t-2"):
        reply = door.get("/p", {"X-API-Key": key})
        assert reply.body == f"x-api-key={key}".encode()
    assert (reply.hit, door.calls) == (True, 2)
    # Another header still counts.
    assert not door.get("/p", {"X-API-Key": "s3cr3t-1", "X-User": "ann"}).hit


def test_the_value_does_not_stand_in_keys(open_door: OpenDoor) -> None:
    # Guard: `keyed_headers` conceals it; `Variants.values` does where the response varies on it.
    varies = [("Vary", "X-Auth-Token"), ("Cache-Control", "public, max-age=60")]
    door = open_door({"/p": numbered(headers=varies)}, vary=["X-API-Key"])
    sent = {"X-API-Key": "s3cr3t-key", "X-Auth-Token": "s3cr3t-token"}
    assert [door.get("/p", sent).calls for _ in range(2)] == [1, 1]
    assert door.get("/p", {**sent, "X-Auth-Token": "other"}).calls == 2
    for item in door.cache.memory.entries():
        assert b"s3cr3t" not in msgspec.msgpack.encode(item)


def test_the_configuration_adds_headers(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("x-staff")}, settings={"identity_headers": ["X-Staff"]})
    for who in ("ann", "bob", "ann"):
        assert door.get("/p", {"X-Staff": who}).body == f"x-staff={who}".encode()
    assert door.calls == 3


def test_an_added_header_is_seen_even_if_it_would_be_removed(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("x-real-ip")}, settings={"identity_headers": ["X-Real-IP"]})
    for who in ("192.0.2.1", "192.0.2.2"):
        assert door.get("/p", {"X-Real-IP": who}).body == f"x-real-ip={who}".encode()


@pytest.mark.parametrize("value", ["NONE", "", "(null)"])
def test_a_proxy_may_say_that_nobody_is_known(open_door: OpenDoor, value: str) -> None:
    door = open_door({"/p": echo("x-ssl-client-verify")})
    said = {"X-SSL-Client-Verify": value}
    bodies = [door.get("/p", said).body for _ in range(2)]
    assert (bodies[0], door.calls) == (bodies[1], 1)
    assert door.get("/p").body == b"x-ssl-client-verify=None", "it is in the key"
    for _ in range(2):
        door.get("/p", {"X-SSL-Client-Verify": "SUCCESS"})
    assert door.calls == 4


# -- variables of the server -----------------------------------------------------------------------


def opened(
    kind: str, handlers: dict[str, Handler], put: Put, **options: Any
) -> AbstractContextManager[Door]:
    """Open a door with these options of its routes, behind what `put` does."""
    routes = [{"path": path, "ttl": "60s", **options} for path in handlers]
    return opened_behind(put, kind, handlers, {"routes": routes})


def variable(name: str) -> Put:
    def put(environ: dict[str, Any], who: str | None) -> None:
        if who is not None:
            environ[name] = who

    return put


@pytest.mark.parametrize("kind", ENVIRON_DOORS)
@pytest.mark.parametrize("name", ["REMOTE_USER", "AUTH_TYPE", "SSL_CLIENT_S_DN", "OIDC_CLAIM_sub"])
def test_whom_the_server_names_gets_an_answer_of_their_own(kind: str, name: str) -> None:
    # Guard: VARIABLES in `EnvironReader`.
    with opened(kind, {"/p": numbered()}, variable(name), cookies=[]) as door:
        calls = [door.get("/p", {"X-As": who}).calls for who in ("ann", "bob", "ann")]
        assert calls == [1, 2, 3]
        assert [door.get("/p", {"X-As": who}).calls for who in ("", "")] == [4, 4]
        assert [door.get("/p").calls for _ in range(2)] == [4, 4], "empty is as good as absent"
        assert door.get("/p", {"X-As": "ann"}).calls == 5


@pytest.mark.parametrize("kind", ENVIRON_DOORS)
@pytest.mark.parametrize("vary", ["REMOTE_USER", "Remote-User"])
def test_a_route_that_varies_on_a_variable_keeps_each_apart(kind: str, vary: str) -> None:
    with opened(kind, {"/p": numbered()}, variable("REMOTE_USER"), vary=[vary]) as door:
        sent = [{"X-As": "ann"}, {"X-As": "bob"}, {"X-As": "ann"}, {}]
        assert [door.get("/p", headers).calls for headers in sent] == [1, 2, 2, 3]
        # What a client claims is not what the server says.
        assert [door.get("/p", {"Remote-User": "ann"}).calls for _ in range(2)] == [4, 4]


@pytest.mark.parametrize("kind", ENVIRON_DOORS)
def test_a_certificate_that_was_not_shown_names_nobody(kind: str) -> None:
    with opened(kind, {"/p": numbered()}, variable("SSL_CLIENT_VERIFY")) as door:
        assert [door.get("/p", {"X-As": "NONE"}).calls for _ in range(2)] == [1, 1]
        assert [door.get("/p", {"X-As": "SUCCESS"}).calls for _ in range(2)] == [2, 3]


@pytest.mark.parametrize("kind", ENVIRON_DOORS)
def test_an_identity_function_reads_a_variable_that_no_client_can_forge(kind: str) -> None:
    name = f"{identities.__name__}:remote_user"
    with opened(kind, {"/p": numbered()}, variable("REMOTE_USER"), identity=name) as door:
        assert [door.get("/p", {"X-As": who}).calls for who in ("ann", "bob", "ann")] == [1, 2, 2]
        forged = door.get("/p", {"Remote-User": "ann"})
        assert (forged.hit, forged.detail) == (False, "identity")


def certificate(scope: dict[str, Any], who: str | None) -> None:
    chain = [] if who is None else [f"-----BEGIN CERTIFICATE-----\n{who}"]
    name = None if who is None else f"CN={who}"
    scope["extensions"] = {"tls": {"client_cert_chain": chain, "client_cert_name": name}}


@pytest.mark.parametrize("kind", SCOPE_DOORS)
def test_who_shows_a_certificate_gets_an_answer_of_their_own(kind: str) -> None:
    # Guard: `outer_of` in cachemw.frontdoor.asgi_scope.
    with opened(kind, {"/p": numbered()}, certificate, cookies=[]) as door:
        assert [door.get("/p", {"X-As": who}).calls for who in ("ann", "bob", "ann")] == [1, 2, 3]
        assert [door.get("/p").calls for _ in range(2)] == [4, 4]
        assert door.get("/p", {"X-As": "ann"}).calls == 5
    with opened(kind, {"/p": numbered()}, certificate, vary=["Client-Cert"]) as door:
        assert [door.get("/p", {"X-As": who}).calls for who in ("ann", "bob", "ann")] == [1, 2, 2]
