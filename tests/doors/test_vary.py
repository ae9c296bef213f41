"""Answers that vary: each client gets the variant its own request selects (RFC 9111 §4.1)."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import MANY_FIELDS
from .language import Asked, Call, Pairs, Said, echo, numbered

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
    nobody = door.get("/p")
    assert nobody.body == b"accept-language=None"
    assert "fwd=vary-miss" in (nobody.field("cache-status") or "")
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


# -- a content coding without Vary -----------------------------------------------------------------------


def coding(asked: Asked) -> Said:
    """Answer in a coding to who accepts one, and do not say that the answer varies."""
    accepted = asked.field("accept-encoding") or ""
    for each in ("br", "gzip"):
        if each in accepted:
            return Said(body=each.encode(), headers=[("Content-Encoding", each)])
    return Said(body=b"plain")


@pytest.mark.parametrize("ttl", ["60s", "response"])
@pytest.mark.parametrize("first", ["gzip", "br", "identity"])
def test_each_gets_a_coding_that_it_accepts(
    open_door: OpenDoor, clock: FakeClock, first: str, ttl: str
) -> None:
    def handler(asked: Asked) -> Said:
        said = coding(asked)
        return replace(said, headers=[("Cache-Control", "max-age=60"), *said.headers])

    door = open_door({"/p": handler}, ttl=ttl)
    door.get("/p", {"Accept-Encoding": first})
    if first == "identity":  # what everybody can read is for everybody, until it is stale
        assert door.get("/p", {"Accept-Encoding": "gzip"}).hit
        clock.advance(61)
    for hits in (False, True):
        for accepted in ("gzip", "br", "identity", None):
            reply = door.get("/p", {"Accept-Encoding": accepted} if accepted else {})
            coded = accepted in ("gzip", "br")
            assert reply.body == (str(accepted) if coded else "plain").encode()
            assert reply.field("content-encoding") == (accepted if coded else None)
            assert reply.field("vary") == ("Accept-Encoding" if coded else None)
            assert reply.hit or not hits


def test_those_who_wait_get_a_coding_that_they_accept(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": lambda asked: replace(coding(asked), wait=gate)})
    accepted = ["gzip", "identity", "gzip", "br"]
    calls = [Call(target="/p", headers=[("Accept-Encoding", each)]) for each in accepted]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    bodies = [reply.body for reply in replies]
    # If the one without a coding came first, its answer is for everybody.
    assert bodies in ([b"gzip", b"plain", b"gzip", b"br"], [b"plain"] * 4)


def test_a_part_of_vary_that_is_there_stays(open_door: OpenDoor) -> None:
    fields = [("Content-Encoding", "gzip"), ("Vary", "Accept")]
    door = open_door({"/p": numbered(headers=fields)})
    assert door.get("/p").field("vary") == "Accept, Accept-Encoding"
    assert door.get("/p").field("vary") == "Accept, Accept-Encoding"
    assert not door.get("/p", {"Accept-Encoding": "gzip"}).hit
