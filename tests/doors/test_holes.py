"""Holes: pages with a piece for each client are stored without it, behind every front door."""

from __future__ import annotations

import base64
import gzip
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw import hole
from cachemw.testing import FakeClock

from . import holes
from .conftest import OpenDoor
from .doors import ASGI_APPS, Door
from .language import Asked, Call, Handler, Piece, Said

ANN, BOB = {"Cookie": "basket=ann"}, {"Cookie": "basket=bob"}
SIGNED_IN = {"Cookie": "basket=ann; sessionid=1"}


@pytest.fixture(autouse=True)
def nothing_raises() -> Iterator[None]:
    yield
    holes.RAISING.clear()


def piece(*arguments: str) -> bytes:
    return hole("basket", *arguments).encode()


def page(**said: Any) -> Handler:
    return lambda asked: Said(body=b"<p>" + piece() + b"</p>", **said)


def opened(open_door: OpenDoor, handler: Handler, flags: str = "on", **options: Any) -> Door:
    settings = {
        "holes": {"basket": "tests.doors.holes:basket"},
        "flags": {"low": flags},
    }
    given = {"personal_cookies": ["sessionid"], "risk": "low", "name": "p", **options}
    return open_door({"/p": handler}, settings=settings, **given)


def of(name: str, times: int = 1) -> bytes:
    return b"<p>" + f"<b>{name}</b>".encode() * times + b"</p>"


def in_pieces(asked: Asked) -> Said:
    own = piece()
    return Said(body=iter([b"<p>", own, own, b"</p>"]))


FORMS: dict[str, Handler] = {
    "whole": lambda asked: Said(body=b"<p>" + piece() + piece() + b"</p>"),
    "in pieces": in_pieces,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_client_gets_its_own_piece(open_door: OpenDoor, form: str) -> None:
    door = opened(open_door, FORMS[form])
    if form == "in pieces" and door.kind.startswith("django"):
        pytest.skip("Django decides about a stream when its head is there")
    for headers, name in (
        (ANN, "basket=ann"),
        (BOB, "basket=bob"),
        ({}, "empty"),
        (ANN, "basket=ann"),
    ):
        reply = door.get("/p", headers)
        assert (reply.body, reply.complete) == (of(name, times=2), True)
        assert reply.field("content-length") == str(len(reply.body))
    assert door.calls == 1
    assert [entry.body for entry in door.cache.memory.entries()] == [b"<p></p>"]


def test_whoever_bypasses_gets_it_at_once(open_door: OpenDoor) -> None:
    door = opened(open_door, page())
    door.get("/p", BOB)
    reply = door.get("/p", SIGNED_IN)
    assert (reply.body, reply.detail, reply.calls) == (of("basket=ann"), "personal-cookie", 2)


def test_a_route_that_is_off_and_a_path_without_a_route(open_door: OpenDoor) -> None:
    door = opened(open_door, page(), flags="off")
    assert [door.get("/p", each).body for each in (ANN, BOB)] == [
        of("basket=ann"),
        of("basket=bob"),
    ]


def test_the_arguments_come_back(open_door: OpenDoor) -> None:
    door = opened(open_door, lambda asked: Said(body=piece("1") + piece("2")))
    for headers, name in ((ANN, "basket=ann"), (BOB, "basket=bob")):
        assert door.get("/p", headers).body == f"<b>{name}1</b><b>{name}2</b>".encode()
    assert door.calls == 1


def test_a_head_has_the_length_of_the_clients_own(open_door: OpenDoor) -> None:
    door = opened(open_door, page())
    door.get("/p", ANN)
    reply = door.get("/p", {"Cookie": "basket=somebody"}, method="HEAD")
    assert (reply.body, reply.calls) == (b"", 1)
    assert reply.field("content-length") == str(len(of("basket=somebody")))


def test_it_is_never_called_current_and_never_cut_into_parts(open_door: OpenDoor) -> None:
    # Guard: a piece of the application's own has no state, so nothing tells whether it is current.
    door = opened(open_door, page(headers=[("ETag", '"1"'), ("Last-Modified", DATE)]))
    first = door.get("/p", ANN)
    assert first.field("etag") is None
    for condition in (
        {"If-None-Match": '"1"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": DATE},
    ):
        reply = door.get("/p", {**BOB, **condition})
        assert (reply.status, reply.body, reply.calls) == (200, of("basket=bob"), 1)
    reply = door.get("/p", {**BOB, "Range": "bytes=0-3"})
    assert (reply.status, reply.body) == (200, of("basket=bob"))


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_those_who_wait_get_their_own(open_door: OpenDoor) -> None:
    go = threading.Event()
    door = opened(open_door, page(wait=go))
    calls = [Call(target="/p", headers=[("Cookie", f"basket={name}")]) for name in "abc"]
    replies = door.together(calls, when=door.waiting(2), then=go.set)
    assert [reply.body for reply in replies] == [of(f"basket={name}") for name in "abc"]
    assert door.calls == 1


def test_a_stale_one_is_filled_and_refreshed(open_door: OpenDoor, clock: FakeClock) -> None:
    numbers = iter(range(1, 9))

    def handler(asked: Asked) -> Said:
        return Said(body=b"%d " % next(numbers) + piece())

    door = opened(open_door, handler, stale_while_revalidate="1h")
    door.get("/p", ANN)
    clock.advance(61)
    assert door.get("/p", BOB).body == b"1 <b>basket=bob</b>"
    door.until(lambda: door.calls == 2 and door.idle())
    assert [door.get("/p", each).body[:1] for each in (ANN, BOB)] == [b"2", b"2"]
    assert door.get("/p", ANN).body == b"2 <b>basket=ann</b>"


def test_a_failing_application_leaves_a_filled_answer(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    works = [True]

    def handler(asked: Asked) -> Said:
        return Said(body=b"<p>" + piece() + b"</p>") if works.pop() else Said(status=503)

    works[:] = [False, True]
    door = opened(open_door, handler, stale_if_error="1h")
    door.get("/p", ANN)
    clock.advance(61)
    assert door.get("/p", BOB).body == of("basket=bob")


def coded(asked: Asked) -> Said:
    return Said(
        body=gzip.compress(b"<p>" + piece() + b"</p>"),
        headers=[("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")],
    )


def test_a_body_in_gzip_is_unpacked(open_door: OpenDoor) -> None:
    door = opened(open_door, coded)
    for headers, name in ((ANN, "basket=ann"), (BOB, "basket=bob")):
        reply = door.get("/p", {**headers, "Accept-Encoding": "gzip"})
        assert (reply.body, reply.field("content-encoding")) == (of(name), None)
    assert door.calls == 1


LOST: dict[str, Handler] = {
    "changed": lambda asked: Said(body=base64.b64encode(piece())),
    "in a header": lambda asked: Said(headers=[("X-Basket", piece().decode())]),
    "one of two": lambda asked: Said(body=piece() + base64.b64encode(piece())),
    "in another coding": lambda asked: Said(
        body=piece(), headers=[("Content-Encoding", "br"), ("Vary", "Accept-Encoding")]
    ),
    "dropped": lambda asked: Said(body=b"no basket" if piece() else b""),
}


@pytest.mark.parametrize("way", LOST)
def test_a_piece_that_cannot_be_followed(open_door: OpenDoor, way: str) -> None:
    # Guard: nobody gets a placeholder, and nobody another's piece.
    door = opened(open_door, LOST[way])
    first = door.get("/p", ANN)
    assert (first.calls, first.detail) == (2, "cookie-conflict")
    assert door.cache.stats().refused == {"p": {"lost-piece": 1}}
    for headers, name in ((ANN, b"basket=ann"), (BOB, b"basket=bob")):
        reply = door.get("/p", headers)
        said = (reply.field("x-basket") or "").encode() + reply.body
        said += b"".join(base64.b64decode(each) for each in [reply.body] if way == "changed")
        assert b"cachemw-hole" not in said
        assert name in said or way in ("one of two", "dropped")
    assert len(door.cache.memory) == 0


def late(asked: Asked) -> Said:
    def pieces() -> Iterator[Piece]:
        yield b"<p>"
        yield piece()
        yield b"</p>"

    return Said(body=pieces())


def test_a_piece_that_comes_after_the_head_is_the_clients_own(open_door: OpenDoor) -> None:
    door = opened(open_door, late)
    for number, (headers, name) in enumerate(((ANN, "basket=ann"), (BOB, "basket=bob")), start=1):
        reply = door.get("/p", headers)
        assert reply.body == of(name)
        assert reply.calls >= number
    assert len(door.cache.memory) == 0


def test_a_body_that_is_too_large_to_be_gathered(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        own = piece()
        return Said(body=iter([b"x" * 600, own, b"x" * 600]))

    door = opened(open_door, handler, max_size=1024)
    for headers, name in ((ANN, "basket=ann"), (BOB, "basket=bob")):
        assert door.get("/p", headers).body == b"x" * 600 + f"<b>{name}</b>".encode() + b"x" * 600
    assert len(door.cache.memory) == 0


def test_a_function_that_raises_fails_no_hit(open_door: OpenDoor, clock: FakeClock) -> None:
    # I3: the application is called in place of the cache, and the function's error is its own.
    def handler(asked: Asked) -> Said:
        try:
            return Said(body=b"<p>" + piece() + b"</p>")
        except ZeroDivisionError:
            return Said(body=b"no basket today")

    door = opened(open_door, handler, ttl="1h")
    holes.RAISING.append(True)
    assert door.get("/p", ANN).body == b"no basket today"
    holes.RAISING.clear()
    clock.advance(61)
    assert door.get("/p", ANN).body == of("basket=ann")
    holes.RAISING.append(True)
    assert door.get("/p", BOB).body == b"no basket today"
    holes.RAISING.clear()
    assert door.get("/p", BOB).body == of("basket=bob")
    assert door.calls == 4


def test_in_shadow_it_is_filled_and_compared_without(open_door: OpenDoor) -> None:
    door = opened(open_door, page(), flags="shadow")
    for headers, name in ((ANN, "basket=ann"), (BOB, "basket=bob"), ({}, "empty")):
        assert door.get("/p", headers).body == of(name)
    assert door.cache.stats().by_label == {"shadow_miss": 1, "shadow_hit": 2}


def test_in_shadow_what_cannot_be_followed_is_said(open_door: OpenDoor) -> None:
    door = opened(open_door, LOST["changed"], flags="shadow")
    for headers, name in ((ANN, b"basket=ann"), (BOB, b"basket=bob")):
        assert name in base64.b64decode(door.get("/p", headers).body)
    assert door.cache.stats().refused == {"p": {"lost-piece": 2}}


def test_where_the_application_sees_the_clients_cookies_nothing_is_cut(
    open_door: OpenDoor,
) -> None:
    # Guard: what is overlooked there would be of use to somebody.
    public = page(headers=[("Cache-Control", "public, max-age=60")])
    door = opened(open_door, public, personal_cookies=[])
    for headers, name in ((ANN, "basket=ann"), (BOB, "basket=bob")):
        assert door.get("/p", headers).body == of(name)
    assert door.cache.stats().refused == {"p": {"lost-piece": 2}}
    assert len(door.cache.memory) == 0


def test_the_application_is_not_asked_whether_a_cut_page_is_current(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = opened(open_door, page(headers=[("ETag", '"1"')]))
    door.get("/p", ANN)
    clock.advance(61)
    assert door.get("/p", BOB).body == of("basket=bob")
    assert door.seen.field("if-none-match") is None


def test_a_head_renews_no_cut_page(open_door: OpenDoor, clock: FakeClock) -> None:
    def handler(asked: Asked) -> Said:
        own = piece() if asked.method == "GET" else b""
        return Said(body=b"<p>" + own + b"</p>", headers=[("ETag", '"1"')])

    door = opened(open_door, handler)
    door.get("/p", ANN)
    clock.advance(61)
    door.get("/p", BOB, method="HEAD")
    assert door.get("/p", BOB).body == of("basket=bob")


def test_a_page_that_is_made_from_a_filled_one_is_not_kept(open_door: OpenDoor) -> None:
    asking: list[Door] = []

    def outer(asked: Asked) -> Said:
        return Said(body=b"around " + asking[0].from_inside("/inner").body)

    door = open_door(
        {"/inner": page(), "/outer": outer},
        settings={"holes": {"basket": "tests.doors.holes:basket"}},
        personal_cookies=["sessionid"],
    )
    asking.append(door)
    for times in (1, 2):  # made for the outer page, then served from the cache
        assert door.get("/outer").body == b"around " + of("empty")
        if door.kind in (*ASGI_APPS, "django-async"):
            return  # asked in another thread, so that nothing is known of it
        assert door.cache.stats().refused["outer"] == {"lost-piece": times}
    assert door.cache.stats().by_label["hit_memory"] == 1
