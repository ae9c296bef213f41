"""Stale answers: served while one refresh runs, or in place of an error, and never longer."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest

from cachemw.engine.core.effects import Lease
from cachemw.engine.model.entry import Key
from cachemw.testing import FakeClock

from . import doors
from .conftest import OpenDoor
from .doors import ASGI_APPS
from .language import Asked, Call, Handler, Said, echo, numbered


def failing(*said: Said | Exception) -> Handler:
    """Make a handler that answers well once, and then with each of these in turn."""
    left: list[Said | Exception] = [Said(body=b"well"), *said]

    def handler(asked: Asked) -> Said:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


# -- stale-while-revalidate ------------------------------------------------------------------------


def test_a_stale_answer_is_served_while_it_is_renewed(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": numbered()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    stale = door.get("/p")
    assert (stale.body, stale.hit, stale.detail, stale.field("age")) == (
        b"answer 1",
        True,
        "stale",
        "61",
    )
    door.until(lambda: door.calls == 2 and door.idle())
    fresh = door.get("/p")
    assert (fresh.body, fresh.detail, fresh.field("age")) == (b"answer 2", "memory", "0")
    assert door.calls == 2


def test_exactly_one_refresh_runs_however_many_ask(open_door: OpenDoor, clock: FakeClock) -> None:
    gate = threading.Event()
    gate.set()
    door = open_door({"/p": numbered(wait=gate)}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    gate.clear()
    assert [door.get("/p").body for _ in range(5)] == [b"answer 1"] * 5
    door.until(lambda: door.calls == 2)
    assert [door.get("/p").body for _ in range(5)] == [b"answer 1"] * 5
    assert door.calls == 2
    gate.set()
    door.until(door.idle)
    assert (door.get("/p").body, door.calls) == (b"answer 2", 2)


@pytest.mark.parametrize("part", ["leads_refresh", "refreshing", "Exchange"])
def test_a_refresh_that_fails_before_the_application_releases_its_flight(
    open_door: OpenDoor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    # Guard: `_end_refresh` in cachemw.frontdoor.pipeline.
    door = open_door({"/p": numbered()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)

    def broken(*args: Any) -> Any:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(f"cachemw.frontdoor.pipeline.{part}", broken)
        assert door.get("/p").detail == "stale"
        door.until(door.idle)
    assert door.get("/p").detail == "stale"
    door.until(lambda: door.calls == 2 and door.idle())
    assert door.get("/p").body == b"answer 2"


@pytest.mark.parametrize("part", ["refreshing", "Exchange"])
def test_a_refresh_that_fails_before_the_application_settles_its_lease(
    open_door: OpenDoor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    # Guard: `take_lease` in `_end_refresh` in cachemw.frontdoor.pipeline. Other processes wait for it.
    door = open_door({"/p": numbered()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    lease = Lease(Key(b"digest", b"full"), b"token")
    settled: list[Lease] = []

    def leads(engine: Any, fetch: Any) -> Any:
        fetch.lease = lease
        return True
        yield

    def broken(*args: Any) -> Any:
        raise RuntimeError("broken")

    def settle(lease: Lease, *, uncacheable: bool) -> None:
        settled.append(lease)

    monkeypatch.setattr("cachemw.frontdoor.pipeline.leads_refresh", leads)
    monkeypatch.setattr(f"cachemw.frontdoor.pipeline.{part}", broken)
    monkeypatch.setattr(door.cache._core.writer, "settle", settle)
    assert door.get("/p").detail == "stale"
    door.until(lambda: settled == [lease] and door.idle())


def test_beyond_its_window_a_stale_answer_is_not_served(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": numbered()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(90)
    assert (door.get("/p").body, door.calls) == (b"answer 2", 2)


@pytest.mark.parametrize(
    ("says", "stale"),
    [
        ("max-age=60", True),
        ("max-age=60, stale-while-revalidate=5", True),
        ("max-age=60, stale-while-revalidate=0", False),
        ("max-age=60, must-revalidate", False),
        ("max-age=60, proxy-revalidate", False),
        ("s-maxage=60", False),
    ],
)
def test_the_response_has_the_last_word_on_staleness(
    open_door: OpenDoor, clock: FakeClock, says: str, stale: bool
) -> None:
    fields = [("Cache-Control", says)]
    door = open_door({"/p": numbered(headers=fields)}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").body == (b"answer 1" if stale else b"answer 2")


@pytest.mark.parametrize(
    "refresh",
    [
        RuntimeError("the refresh failed"),
        Said(status=500),
        Said(body=b"private", headers=[("Cache-Control", "private")]),
        Said(body=b"cookie", headers=[("Set-Cookie", "user=1")]),
    ],
    ids=["raises", "500", "private", "set-cookie"],
)
def test_a_refresh_that_brings_nothing_to_keep_leaves_the_stale_answer(
    open_door: OpenDoor, clock: FakeClock, refresh: Said | Exception
) -> None:
    door = open_door({"/p": failing(refresh)}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    for calls in (2, 3):
        reply = door.get("/p")
        assert (reply.status, reply.body, reply.field("set-cookie")) == (200, b"well", None)
        door.until(lambda calls=calls: door.calls == calls and door.idle())  # type: ignore[misc]


def test_a_refresh_asks_on_our_conditions_not_the_clients(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": numbered(headers=[("ETag", '"v1"')])}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    reply = door.get("/p?", {"If-None-Match": '"v0", "v1"', "X-Forwarded-For": "192.0.2.1"})
    assert reply.status == 304
    door.until(lambda: door.calls == 2 and door.idle())
    seen = door.seen.field("if-none-match"), door.seen.field("x-forwarded-for")
    assert seen == ('"v1"', None)
    assert door.get("/p").body == b"answer 2"


def test_a_refresh_renews_the_variant_that_was_asked_for(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    varies = [("Vary", "Accept-Language")]
    door = open_door({"/p": echo("accept-language", headers=varies)}, stale_while_revalidate="30s")
    for language in ("de", "en"):
        door.get("/p", {"Accept-Language": language})
    clock.advance(61)
    assert door.get("/p", {"Accept-Language": "en"}).detail == "stale"
    door.until(lambda: door.calls == 3 and door.idle())
    assert door.seen.field("accept-language") == "en"
    assert door.get("/p", {"Accept-Language": "en"}).detail == "memory"
    assert door.get("/p", {"Accept-Language": "de"}).detail == "stale"


def test_a_stream_is_renewed_too(open_door: OpenDoor, clock: FakeClock) -> None:
    bodies = [iter([b"one ", b"two"]), iter([b"three ", b"four"])]
    door = open_door({"/p": lambda _: Said(body=bodies.pop(0))}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").body == b"one two"
    door.until(lambda: door.calls == 2 and door.idle())
    assert door.get("/p").body == b"three four"


def test_head_is_served_stale_and_renews_nothing(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    head = door.get("/p", method="HEAD")
    assert (head.status, head.body, head.detail) == (200, b"", "stale")
    assert (door.idle(), door.calls) == (True, 1)


@pytest.mark.parametrize("kind", ASGI_APPS)
def test_a_refresh_knows_nothing_of_the_request_that_began_it(kind: str, clock: FakeClock) -> None:
    # Guard: background tasks get an empty context (I1).
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")

    def handler(asked: Asked) -> bytes:
        return user.get().encode()

    def as_ann(app: Any) -> Any:
        async def outside(scope: Any, receive: Any, send: Any) -> None:
            user.set("ann")
            await app(scope, receive, send)

        return outside

    config = {"routes": [{"path": "/p", "ttl": "60s", "stale_while_revalidate": "30s"}]}
    with doors.open_door(kind, {"/p": handler}, config, outside=as_ann, clock=clock) as door:
        assert door.get("/p").body == b"ann"
        clock.advance(61)
        door.get("/p")
        door.until(lambda: door.calls == 2 and door.idle())
        assert door.get("/p").body == b"nobody"


# -- stale-if-error --------------------------------------------------------------------------------

ERRORS = [Said(status=status) for status in (500, 502, 503, 504)]


@pytest.mark.parametrize("error", [*ERRORS, RuntimeError("the origin failed")], ids=repr)
def test_a_stale_answer_stands_in_for_an_error(
    open_door: OpenDoor, clock: FakeClock, error: Said | Exception
) -> None:
    door = open_door({"/p": failing(error)}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    for calls in (2, 3):
        reply = door.get("/p")
        assert (reply.status, reply.body, reply.detail) == (200, b"well", "stale-if-error")
        assert (reply.error, reply.field("age"), reply.calls) == (None, "61", calls)
    assert door.idle()


def test_a_stream_that_fails_before_its_first_piece_is_stood_in_for(
    open_door: OpenDoor, clock: FakeClock, kind: str
) -> None:
    if kind not in ("wsgi", "flask"):
        pytest.skip("the head is out before the first piece is asked for")

    def broken() -> Any:
        raise RuntimeError("before the first piece")
        yield b""

    door = open_door({"/p": failing(Said(body=broken()))}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert (door.get("/p").body, door.idle()) == (b"well", True)


@pytest.mark.parametrize("status", [200, 302, 404, 400, 403, 501])
def test_what_is_no_failure_is_not_stood_in_for(
    open_door: OpenDoor, clock: FakeClock, status: int
) -> None:
    fields = [("Location", "/")] if status == 302 else []
    door = open_door({"/p": failing(Said(status=status, headers=fields))}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert (door.get("/p").status, door.get("/p").hit) == (status, status == 200)


def test_beyond_its_window_nothing_stands_in(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": failing(Said(status=503))}, stale_if_error="10m")
    door.get("/p")
    clock.advance(660)
    assert door.get("/p").status == 503


def test_a_good_answer_ends_the_standing_in(open_door: OpenDoor, clock: FakeClock) -> None:
    said = [Said(status=503), Said(body=b"well again")]
    door = open_door({"/p": failing(*said)}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").body == b"well"
    assert [door.get("/p").body for _ in range(2)] == [b"well again"] * 2
    assert door.calls == 3


def test_an_error_without_a_stand_in_is_the_applications_own(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        raise RuntimeError("the application's own")

    door = open_door({"/p": handler}, stale_if_error="10m")
    for _ in range(2):
        reply = door.get("/p")
        assert reply.failed
        assert reply.error is None or "own" in str(reply.error)
    assert (door.calls, door.idle()) == (2, True)


def test_those_who_wait_get_the_stand_in_too(open_door: OpenDoor, clock: FakeClock) -> None:
    gate = threading.Event()
    door = open_door({"/p": failing(Said(status=503, wait=gate))}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    calls = [Call(target="/p") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"well")}
    assert door.calls == 2
