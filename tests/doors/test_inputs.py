"""Inputs that could poison: each is keyed, removed, or keeps the cache out of it."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import Call, echo, numbered

REMOVED = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP"]
KEYED = [
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Origin",
]


@pytest.mark.parametrize("name", REMOVED)
def test_a_clients_address_is_not_seen_and_not_keyed(open_door: OpenDoor, name: str) -> None:
    # Guard: `visible_headers` in cachemw.engine.request.keying.
    door = open_door({"/p": echo(name)})
    for address in ("192.0.2.1", '"><script>', "192.0.2.2"):
        assert door.get("/p", {name: address}).body == f"{name}=None".encode()
    assert door.calls == 1


def test_a_route_that_declares_an_address_field_sees_it_keyed(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("x-forwarded-for")}, vary=["X-Forwarded-For"])
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        sent = {"X-Forwarded-For": address}
        assert door.get("/p", sent).body == f"x-forwarded-for={address}".encode()
    assert door.calls == 2


@pytest.mark.parametrize("name", KEYED)
def test_a_forged_field_reaches_its_sender_alone(open_door: OpenDoor, name: str) -> None:
    # Guard: KEYED in cachemw.engine.privacy.bypass.
    door = open_door({"/p": echo(name)})
    forged = [door.get("/p", {name: "evil.example"}).body for _ in range(2)]
    assert forged == [f"{name}=evil.example".encode()] * 2
    assert door.get("/p").body == f"{name}=None".encode()
    assert door.get("/p", {name: ""}).body != forged[0]
    assert door.get("/p", {name: "evil.example"}).body == forged[0]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("X_Forwarded_Host", "X-Forwarded-Host"),
        ("X-Forwarded_Host", "X-Forwarded-Host"),
        ("x_forwarded-for", "X-Forwarded-For"),
        ("X_Method_Override", "X-Method-Override"),
    ],
)
def test_an_underscored_spelling_reaches_its_sender_alone(
    open_door: OpenDoor, name: str, plain: str
) -> None:
    door = open_door({"/p": echo(name, plain)})
    door.get("/p", {name: "evil.example"})
    assert b"evil" not in door.get("/p").body


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_method_override_goes_past_the_cache(open_door: OpenDoor, name: str) -> None:
    door = open_door({"/p": numbered()})
    assert door.get("/p", {name: "DELETE"}).body == b"answer 1"
    assert door.get("/p").body == b"answer 2"
    assert door.get("/p", {name: "DELETE"}).body == b"answer 3"


def test_a_get_with_a_body_goes_past_the_cache(open_door: OpenDoor) -> None:
    door = open_door({"/p": lambda asked: b"body=" + asked.body})
    assert door.get("/p", body=b"evil").body == b"body=evil"
    assert door.get("/p").body == b"body="
    assert door.get("/p", body=b"other").body == b"body=other"
    assert door.get("/p").body == b"body="
    assert door.calls == 3


@pytest.mark.parametrize("name", ["If-Match", "If-Unmodified-Since"])
def test_a_precondition_is_for_the_application_to_judge(open_door: OpenDoor, name: str) -> None:
    """RFC 9111 4.3.2."""
    door = open_door({"/p": numbered()})
    door.get("/p", {name: '"v1"'})
    assert (door.get("/p").body, door.calls) == (b"answer 2", 2)
    assert door.get("/p", {name: '"v1"'}).calls == 3


@pytest.mark.parametrize(
    "hosts",
    [
        ["shop.example/x?"],
        ["shop.example#"],
        ["shop.example, evil.example"],
        ["user@shop.example"],
        ["shop example"],
        ["shop.example:port"],
        ["shop.example:80:80"],
        [""],
        ["shop.example", "evil.example"],
        [],
    ],
    ids=repr,
)
def test_a_malformed_host_stores_nothing(open_door: OpenDoor, hosts: list[str]) -> None:
    # Django and Werkzeug may refuse such a host themselves; what they say is not kept either.
    door = open_door({"/p": numbered()})
    for _ in range(2):
        assert not door.get("/p", hosts=hosts).hit
    assert len(door.cache.memory) == 0
    assert not door.get("/p").hit


def test_hosts_have_their_own_answers(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("host")})
    for host in ("one.example", "two.example", "one.example:8080", "one.example"):
        assert door.get("/p", hosts=[host]).body == f"host={host}".encode()
    assert door.calls == 3


SPELLINGS = ("shop.example", "SHOP.Example", "shop.example:80", "shop.example:443", "shop.example.")


def test_an_answer_is_for_the_spelling_of_the_host_that_made_it(open_door: OpenDoor) -> None:
    # Guard: `_base_plan` keys the Host as the application sees it. Its links may repeat the spelling.
    door = open_door({"/p": echo("host")})
    for host in (*SPELLINGS, *reversed(SPELLINGS)):
        assert door.get("/p", hosts=[host]).body == f"host={host}".encode()
    assert door.calls == len(SPELLINGS)


@pytest.mark.parametrize(
    "url",
    [
        *("//shop.example/p", "https://SHOP.example:443/p"),
        *("http://shop.example:80/p", "http://shop.example:/p"),
    ],
)
def test_a_purge_by_url_takes_every_spelling_of_the_host(open_door: OpenDoor, url: str) -> None:
    # Guard: `normalised_host` in the tags of an entry and of a purge.
    door = open_door({"/p": numbered()})
    others = ("other.example", "shop.example:8080")
    for host in (*SPELLINGS, *others):
        door.get("/p", hosts=[host])
    door.cache.purge(urls=[url])
    assert not any(door.get("/p", hosts=[host]).hit for host in SPELLINGS)
    assert all(door.get("/p", hosts=[host]).hit for host in others)


def test_an_unsafe_request_takes_every_spelling_of_the_host(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    for host in SPELLINGS:
        door.get("/p", hosts=[host])
    door.get("/p", method="POST", hosts=["Shop.example"])
    assert not any(door.get("/p", hosts=[host]).hit for host in SPELLINGS)


def test_schemes_have_their_own_answers(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    bodies = [door.get("/p", scheme=scheme).body for scheme in ("http", "https", "http")]
    assert bodies == [b"answer 1", b"answer 2", b"answer 1"]


@pytest.mark.parametrize("target", ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%00b", "/..%2Faccount"])
def test_an_encoded_separator_goes_past_the_cache(open_door: OpenDoor, target: str) -> None:
    door = open_door({"/{rest:path}": numbered()})
    for _ in range(2):
        assert not door.get(target).hit
    assert len(door.cache.memory) == 0


def test_an_absolute_form_target_goes_past_the_cache(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(), "/{rest:path}": numbered()})
    door.get("/p")
    for _ in range(2):
        reply = door.ask(Call(target="http://evil.example/p"))
        assert not reply.hit
    assert len(door.cache.memory) == 1
    assert door.get("/p").body == b"answer 1"


def test_spellings_of_a_path_share_nothing(open_door: OpenDoor) -> None:
    door = open_door({"/{rest:path}": lambda asked: asked.path.encode("utf-8", "replace")})
    targets = ["/a", "/%61", "/a/", "/A", "/a;x.css", "/a%20", "/a%3Fb", "/a.css"]
    bodies = [door.get(target).body for target in targets]
    assert [door.get(target).body for target in targets] == bodies
    assert door.calls == len(targets)


def test_a_request_cannot_make_an_answer_storable(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("Cache-Control", "no-store")])})
    for says in ("max-age=600", "public", "only-if-cached"):
        door.get("/p", {"Cache-Control": says})
    assert (door.calls, len(door.cache.memory)) == (3, 0)
