"""Answers that set a cookie which was removed from their request (I1): behind every front door.

The application behaves as one with sessions: it knows its visitor by `sid`, and begins a new session for
whoever shows none.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Call, Handler, Piece, Reply, Said


class Sessions:
    """An application with sessions. `form` says how its answers come."""

    def __init__(self, form: str = "whole", wait: threading.Event | None = None) -> None:
        self._form = form
        self._wait = wait
        self._fresh = itertools.count(1)
        self.closed: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        """Greet the visitor of the session, and set its cookie again, as sliding sessions do."""
        sid = asked.cookies.get("sid") or f"new{next(self._fresh)}"
        body = f"session {sid}, query {asked.query!r}".encode()
        said: dict[str, Any] = {"headers": [("Set-Cookie", f"sid={sid}")], "wait": self._wait}
        if self._form == "in pieces":
            return Said(body=iter([body[:3], body[3:]]), **said)
        if self._form == "with a length":
            said["headers"].append(("Content-Length", str(len(body))))
        return Said(body=body, closed=lambda: self.closed.append(sid), **said)


FORMS = ["whole", "in pieces", "with a length"]


def plain_at_first() -> Handler:
    """Make a handler whose first answer is for everybody; then it has sessions."""
    first, sessions = iter([Said(body=b"stored")]), Sessions()
    return lambda asked: next(first, None) or sessions(asked)


def session_of(reply: Reply) -> tuple[bytes, str]:
    """Give the session in a reply's body, and the one in its cookie."""
    body = reply.body.removeprefix(b"session ").partition(b",")[0]
    return body, (reply.field("set-cookie") or "").partition(";")[0]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_asked_for_again_with_its_own_cookies(open_door: OpenDoor, form: str) -> None:
    door = open_door({"/p": Sessions(form)}, cookies=[], ignore_query=["utm_*"])
    own = {"Cookie": "sid=ann; x=1", "If-None-Match": '"x"'}
    reply = door.get("/p?utm_a=1&b=2", own)
    assert session_of(reply) == (b"ann", "sid=ann")
    assert reply.body.endswith(b"query 'utm_a=1&b=2'"), "the request is the client's own"
    assert (door.seen.field("cookie"), door.seen.field("if-none-match")) == ("sid=ann; x=1", '"x"')
    assert (reply.calls, reply.detail, reply.complete) == (2, "cookie-conflict", True)
    assert len([name for name, _ in reply.headers if name == "set-cookie"]) == 1
    assert door.cache.stats().by_label == {"miss": 1}
    assert door.cache.stats().refused == {"p": {"cookie-conflict": 1}}


def test_then_the_url_bypasses_untouched_for_a_while(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": Sessions()}, cookies=[])
    door.get("/p", {"Cookie": "sid=ann"})
    for number, sid in enumerate(("ann", "bob", "ann"), start=3):
        reply = door.get("/p", {"Cookie": f"sid={sid}; _ga=1"})
        assert session_of(reply) == (sid.encode(), f"sid={sid}")
        assert (reply.calls, reply.detail) == (number, "cookie-conflict")
        assert door.seen.field("cookie") == f"sid={sid}; _ga=1"
    clock.advance(61)
    assert door.get("/p", {"Cookie": "sid=bob"}).calls == 7


def test_what_was_stored_before_is_not_served_meanwhile(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": plain_at_first()}, cookies=[])
    assert [door.get("/p").body for _ in range(2)] == [b"stored"] * 2
    clock.advance(61)
    assert session_of(door.get("/p", {"Cookie": "sid=ann"}))[0] == b"ann"
    assert session_of(door.get("/p"))[0] == b"new2"


def test_visitors_at_the_same_time_get_each_their_own(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": Sessions(wait=gate)}, cookies=[])
    calls = [Call(target="/p", headers=[("Cookie", f"sid=v{each}")]) for each in range(6)]
    replies = door.together(calls, when=door.waiting(5), then=gate.set)
    for number, reply in enumerate(replies):
        assert session_of(reply) == (b"v%d" % number, f"sid=v{number}")
    assert door.calls == 7, "only the leader is asked again"


def test_a_head_is_asked_again_too(open_door: OpenDoor) -> None:
    door = open_door({"/p": Sessions()}, cookies=[])
    reply = door.ask(Call(target="/p", method="HEAD", headers=[("Cookie", "sid=ann")]))
    assert (session_of(reply)[1], reply.calls) == ("sid=ann", 2)


def test_an_error_of_the_second_call_is_the_applications_own(open_door: OpenDoor) -> None:
    sessions = Sessions()

    def handler(asked: Asked) -> Said:
        if "sid" in asked.cookies:
            raise RuntimeError("the database of sessions is away")
        return sessions(asked)

    door = open_door({"/p": handler}, cookies=[])
    assert door.get("/p", {"Cookie": "sid=ann"}).failed
    assert door.calls == 2
    reply = door.get("/p")
    assert (session_of(reply)[0], reply.detail) == (b"new2", "cookie-conflict")


def test_a_response_that_was_dropped_is_closed(open_door: OpenDoor, kind: str) -> None:
    if kind not in ("wsgi", "django", "django-async", "flask"):
        pytest.skip("nothing is closed there")
    sessions = Sessions()
    door = open_door({"/p": sessions}, cookies=[])
    door.get("/p", {"Cookie": "sid=ann"})
    assert sessions.closed == ["new1", "ann"]


def test_a_stream_without_end_is_ended(open_door: OpenDoor) -> None:
    """I3: the client does not wait for it. Guard: `AsgiRelay._drop` raises."""

    def endless() -> Iterator[Piece]:
        while True:
            yield b"data: x\n\n" * 1000

    def handler(asked: Asked) -> Said:
        if "sid" in asked.cookies:
            return Said(body=b"own")
        headers = [("Set-Cookie", "sid=new"), ("Content-Type", "text/event-stream")]
        return Said(body=endless(), headers=headers)

    door = open_door({"/p": handler}, cookies=[])
    assert door.get("/p", {"Cookie": "sid=ann"}).body == b"own"


def test_what_sets_another_cookie_is_relayed_as_before(open_door: OpenDoor) -> None:
    door = open_door({"/p": Sessions()}, cookies=[])
    reply = door.get("/p", {"Cookie": "theme=dark"})
    assert (session_of(reply), reply.calls) == ((b"new1", "sid=new1"), 1)


def test_a_refresh_marks_the_url_and_hands_its_answer_to_nobody(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": plain_at_first()}, cookies=[], stale_while_revalidate="5m")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p", {"Cookie": "sid=ann"}).body == b"stored"
    door.until(lambda: bool(door.cache.stats().refused))
    reply = door.get("/p", {"Cookie": "sid=bob"})
    assert (session_of(reply), reply.detail) == ((b"bob", "sid=bob"), "cookie-conflict")


def test_shadow_counts_the_harm_and_changes_nothing(open_door: OpenDoor) -> None:
    flags = {"flags": {"high": "shadow"}}
    door = open_door({"/p": Sessions()}, cookies=[], settings=flags)
    for number in (1, 2):
        reply = door.get("/p", {"Cookie": "sid=ann"})
        assert (session_of(reply), reply.calls) == ((b"ann", "sid=ann"), number)
    assert door.cache.stats().refused == {"p": {"cookie-conflict": 2}}
