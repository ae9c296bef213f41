"""Answers that vary: each client gets the variant its own request selects (RFC 9111 §4.1)."""

from __future__ import annotations

import threading

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import MANY_FIELDS
from .language import Call, Pairs, echo, numbered

STARS = ["*", " * ", "Accept, *", "*, Accept", "Accept,*,Cookie", "Accept-Language , * "]


@pytest.mark.parametrize("star", STARS)
def test_vary_star_is_not_stored(open_door: OpenDoor, star: str) -> None:
    routes = [{"path": "/ttl", "ttl": "60s"}, {"path": "/response", "ttl": "response"}]
    fields = [("Vary", star), ("Cache-Control", "public, max-age=60")]
    handlers = {"/ttl": numbered(headers=fields), "/response": numbered(headers=fields)}
    door = open_door(handlers, config={"routes": routes})
    for target in handlers:
        assert [door.get(target).body for _ in range(2)] == [b"answer 1", b"answer 2"]


@pytest.mark.parametrize("kind", MANY_FIELDS, indirect=True)
@pytest.mark.parametrize("lines", [["Accept", "*"], ["*", "Accept"], ["", "*"]])
def test_vary_star_on_any_line_is_not_stored(open_door: OpenDoor, lines: list[str]) -> None:
    door = open_door({"/p": numbered(headers=[("Vary", line) for line in lines])})
    door.get("/p")
    assert door.get("/p").calls == 2


def test_a_star_is_not_looked_for_inside_a_name(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("Vary", "X-*")])})
    door.get("/p")
    assert door.get("/p").calls == 1


@pytest.mark.parametrize("vary", ["Accept-Language", "accept-language", "ACCEPT-LANGUAGE, Accept"])
def test_two_clients_get_their_own_variants(open_door: OpenDoor, vary: str) -> None:
    door = open_door({"/p": echo("accept-language", headers=[("Vary", vary)])})
    for language in ("de", "en", "de", "en", "de"):
        reply = door.get("/p", {"Accept-Language": language})
        assert reply.body == f"accept-language={language}".encode()
        assert reply.field("vary") == vary
    assert door.get("/p").body == b"accept-language=None"
    assert door.get("/p").calls == 3


def test_an_empty_field_is_not_an_absent_one(open_door: OpenDoor, kind: str) -> None:
    if kind in ("wsgi", "flask", "django-sync", "django-async"):
        pytest.skip("a CGI variable that is empty may as well be absent")
    door = open_door({"/p": echo("accept-language", headers=[("Vary", "Accept-Language")])})
    assert door.get("/p").body == b"accept-language=None"
    assert door.get("/p", {"Accept-Language": ""}).body == b"accept-language="
    assert door.calls == 2


@pytest.mark.parametrize("kind", MANY_FIELDS, indirect=True)
def test_all_lines_of_vary_count(open_door: OpenDoor) -> None:
    fields = [("Vary", "Accept"), ("Vary", "X-Theme")]
    door = open_door({"/p": echo("accept", "x-theme", headers=fields)})
    for accept, theme in [("a", "t"), ("a", "u"), ("b", "t"), ("a", "t"), ("a", "u")]:
        reply = door.get("/p", {"Accept": accept, "X-Theme": theme})
        assert reply.body == f"accept={accept}\nx-theme={theme}".encode()
    assert door.calls == 3


def test_values_of_two_fields_cannot_be_shaped_into_each_other(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("x-a", "x-b", headers=[("Vary", "X-A, X-B")])})
    sent: list[Pairs] = [
        [("X-A", "1"), ("X-B", "2")],
        [("X-A", "12")],
        [("X-B", "12")],
        [("X-A", "1, x-b: 2")],
        [("X-A", "2"), ("X-B", "1")],
    ]
    bodies = [door.get("/p", pairs).body for pairs in sent]
    assert len(set(bodies)) == len(sent)
    assert [door.get("/p", pairs).body for pairs in sent] == bodies
    assert door.calls == len(sent)


def test_a_change_of_what_an_answer_varies_on_mixes_nobody(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    vary = ["Accept-Language"]
    door = open_door({"/p": lambda asked: echo("x-theme", headers=[("Vary", vary[0])])(asked)})
    door.get("/p", {"Accept-Language": "de"})
    vary[0] = "X-Theme"
    clock.advance(61)
    for theme in ("t", "u", "t"):
        sent = {"Accept-Language": "de", "X-Theme": theme}
        assert door.get("/p", sent).body == f"x-theme={theme}".encode()


def test_a_declared_field_is_keyed_although_the_answer_does_not_say_vary(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/p": echo("accept-language")}, vary=["Accept-Language"])
    for language in ("de", "en", "de"):
        reply = door.get("/p", {"Accept-Language": language})
        assert reply.body == f"accept-language={language}".encode()
    assert door.calls == 2


def test_those_who_wait_for_a_varying_answer_get_their_own(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door(
        {"/p": echo("accept-language", headers=[("Vary", "Accept-Language")], wait=gate)}
    )
    languages = ["de", "en", "de", "fr", "en", "de"]
    calls = [Call(target="/p", headers=[("Accept-Language", each)]) for each in languages]
    replies = door.together(calls, when=door.waiting(5), then=gate.set)
    assert [reply.body for reply in replies] == [
        f"accept-language={each}".encode() for each in languages
    ]
    assert door.calls == 3


def test_head_and_conditions_are_answered_from_the_right_variant(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("accept-language", headers=[("Vary", "Accept-Language")])})
    german, english = ({"Accept-Language": each} for each in ("de", "en-GB"))
    tags = [door.get("/p", sent).field("etag") or "" for sent in (german, english)]
    assert door.get("/p", {**german, "If-None-Match": tags[0]}).status == 304
    assert door.get("/p", {**english, "If-None-Match": tags[0]}).status == 200
    assert door.get("/p", english, method="HEAD").field("content-length") == "21"
    assert door.calls == 2
