"""Cookies that a stored answer does not set (`drop_set_cookie`): behind every front door.

The application counts what it is shown: `history` is the cookie of the last page, as a shop sets it.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any

import msgspec
import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Call, Reply, Said

DROP = {"cookies": [], "drop_set_cookie": ["history"]}


class Shop:
    """A page that sets `history` to another value each time, and more cookies if told so."""

    def __init__(self, *more: str, form: str = "whole", **said: Any) -> None:
        self.more = more
        self.form = form
        self.said = said
        self.numbers = itertools.count(1)

    def __call__(self, asked: Asked) -> Said:
        number = next(self.numbers)
        headers = [("Set-Cookie", f"history=secret{number}")]
        headers += [("Set-Cookie", line) for line in self.more]
        body = b"page %d" % number
        said = {**self.said}
        headers += said.pop("headers", [])
        if self.form == "in pieces":
            return Said(body=iter([body[:2], body[2:]]), headers=headers, **said)
        return Said(body=body, headers=headers, **said)


def cookies(reply: Reply) -> list[str]:
    """Give the cookies that a reply sets, without attributes."""
    return [
        value.partition(";")[0].replace('"', "")
        for name, value in reply.headers
        if name == "set-cookie"
    ]


def kept(door: Any) -> bytes:
    """Give all that memory holds."""
    return b"".join(msgspec.msgpack.encode(item) for item in door.cache.memory.entries())


@pytest.mark.parametrize("form", ["whole", "in pieces"])
def test_it_is_no_reason_not_to_store_and_only_the_first_client_gets_it(
    open_door: OpenDoor, form: str
) -> None:
    # Guard: `without_dropped` in `Exchange`.
    door = open_door({"/p": Shop(form=form)}, **DROP)
    first = door.get("/p")
    assert (first.body, cookies(first), first.hit) == (b"page 1", ["history=secret1"], False)
    for _ in range(2):
        reply = door.get("/p")
        assert (reply.body, cookies(reply), reply.hit) == (b"page 1", [], True)
    assert kept(door)
    assert b"secret" not in kept(door)


def test_a_client_keeps_the_one_that_the_application_was_not_shown(open_door: OpenDoor) -> None:
    # Guard: `without_dropped` leaves it out. It was made as if the client had none.
    door = open_door({"/p": Shop(), "/q": Shop()}, **DROP)
    reply = door.get("/p", {"Cookie": "history=own; x=1"})
    assert (reply.body, cookies(reply), reply.calls) == (b"page 1", [], 1)
    assert door.get("/p", {"Cookie": "history=other"}).hit
    other = door.get("/q", {"Cookie": "x=1"})
    assert cookies(other) == ["history=secret1"]


def test_one_that_the_application_was_shown_is_set_anew(open_door: OpenDoor) -> None:
    door = open_door({"/p": Shop()}, cookies=["history"], drop_set_cookie=["history"])
    reply = door.get("/p", {"Cookie": "history=own"})
    assert cookies(reply) == ["history=secret1"]
    again = door.get("/p", {"Cookie": "history=own"})
    assert (again.hit, cookies(again)) == (True, [])


def test_beside_another_cookie_nothing_is_stored(open_door: OpenDoor) -> None:
    door = open_door({"/p": Shop("sid=1")}, **DROP)
    for number in (1, 2):
        reply = door.get("/p")
        assert sorted(cookies(reply)) == [f"history=secret{number}", "sid=1"]
        assert reply.calls == number
    assert not kept(door)


def test_another_removed_cookie_is_asked_for_again_with_all(open_door: OpenDoor) -> None:
    door = open_door({"/p": Shop("sid=1")}, **DROP)
    reply = door.get("/p", {"Cookie": "sid=own; history=own"})
    assert (reply.calls, reply.detail) == (2, "cookie-conflict")
    assert sorted(cookies(reply)) == ["history=secret2", "sid=1"]


@pytest.mark.parametrize("says", ["private", "no-store"])
def test_an_answer_that_is_not_stored_sets_it_for_its_client(
    open_door: OpenDoor, says: str
) -> None:
    door = open_door({"/p": Shop(headers=[("Cache-Control", says)])}, **DROP)
    for number in (1, 2):
        assert cookies(door.get("/p")) == [f"history=secret{number}"]


def test_those_who_wait_do_not_get_it(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": Shop(wait=gate)}, **DROP)
    calls = [Call(target="/p") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    assert [reply.body for reply in replies] == [b"page 1"] * 4
    assert sorted(map(cookies, replies)) == [[], [], [], ["history=secret1"]]


def test_a_head_freshens_what_is_stored_and_keeps_it_out(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door(
        {"/p": Shop(headers=[("ETag", '"v"'), ("Content-Length", "6")])}, **DROP, retain="1h"
    )
    door.get("/p")
    clock.advance(61)
    head = door.ask(Call(target="/p", method="HEAD"))
    assert cookies(head) == ["history=secret2"]
    reply = door.get("/p")
    assert (reply.body, cookies(reply), reply.hit) == (b"page 1", [], True)
    assert b"secret" not in kept(door)


def test_a_304_renews_what_is_stored_and_keeps_it_out(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    shop = Shop(headers=[("ETag", '"v"')])

    def handler(asked: Asked) -> Said:
        said = shop(asked)
        if asked.field("if-none-match"):
            return Said(status=304, body=b"", headers=said.headers)
        return said

    door = open_door({"/p": handler}, **DROP, retain="1h")
    door.get("/p")
    clock.advance(61)
    renewed = door.get("/p")
    assert (renewed.status, renewed.body) == (200, b"page 1")
    assert (cookies(renewed), renewed.calls) == (["history=secret2"], 2)
    reply = door.get("/p")
    assert (reply.body, cookies(reply), reply.hit) == (b"page 1", [], True)
    clock.advance(61)
    kept_own = door.get("/p", {"Cookie": "history=own"})
    assert (cookies(kept_own), kept_own.calls) == ([], 3)
    assert b"secret" not in kept(door)


def test_a_client_with_its_own_copy_gets_a_304(open_door: OpenDoor) -> None:
    door = open_door({"/p": Shop(headers=[("ETag", '"v"')])}, **DROP)
    for number in (1, 2):
        reply = door.get("/p", {"If-None-Match": '"v"'})
        assert (reply.status, reply.calls) == (304, 1)
        assert cookies(reply) == (["history=secret1"] if number == 1 else [])


def test_a_range_is_cut_from_what_was_stored_without_it(open_door: OpenDoor) -> None:
    door = open_door({"/p": Shop()}, **DROP)
    door.get("/p")
    reply = door.get("/p", {"Range": "bytes=0-3"})
    assert (reply.status, reply.body, cookies(reply)) == (206, b"page", [])


def test_a_refresh_hands_it_to_nobody(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": Shop()}, **DROP, stale_while_revalidate="5m")
    door.get("/p")
    clock.advance(61)
    stale = door.get("/p", {"Cookie": "history=own"})
    assert (stale.body, cookies(stale)) == (b"page 1", [])
    door.until(lambda: door.calls == 2 and door.idle())
    reply = door.get("/p")
    assert (reply.body, cookies(reply), reply.hit) == (b"page 2", [], True)
    assert b"secret" not in kept(door)


def test_a_stale_answer_in_place_of_an_error_does_not_set_it(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    shop = Shop()

    def handler(asked: Asked) -> Said:
        said = shop(asked)
        return said if said.body == b"page 1" else Said(status=503, headers=said.headers)

    door = open_door({"/p": handler}, **DROP, stale_if_error="5m")
    door.get("/p")
    clock.advance(61)
    reply = door.get("/p")
    assert (reply.status, reply.body, cookies(reply)) == (200, b"page 1", [])


def test_shadow_alters_nothing_and_would_store_it(open_door: OpenDoor) -> None:
    shop = Shop()

    def handler(asked: Asked) -> Said:
        return Said(body=b"page", headers=shop(asked).headers)

    door = open_door({"/p": handler}, **DROP, settings={"flags": {"high": "shadow"}})
    for number in (1, 2, 3):
        reply = door.get("/p", {"Cookie": "history=own"})
        assert (cookies(reply), reply.calls) == ([f"history=secret{number}"], number)
        assert door.seen.field("cookie") == "history=own"
    assert door.cache.stats().refused == {}
    assert door.cache.stats().by_label == {"shadow_miss": 1, "shadow_hit": 2}
