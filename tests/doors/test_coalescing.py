"""Coalescing: requests that miss at once share one call of the application, if they may."""

from __future__ import annotations

import threading

import pytest

from .conftest import OpenDoor
from .doors import ASGI_APPS
from .language import Asked, Call, Piece, Said, numbered
from .server_asgi import AsgiServer

LOOPS = (*ASGI_APPS, "django-async")


def test_requests_at_once_are_answered_by_one_call(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate)})
    calls = [Call(target="/p") for _ in range(8)]
    replies = door.together(calls, when=door.waiting(7), then=gate.set)
    assert {reply.body for reply in replies} == {b"answer 1"}
    shared = ["; collapsed" in (reply.field("cache-status") or "") for reply in replies]
    assert sorted(shared) == [False, *[True] * 7]
    assert (door.calls, door.idle()) == (1, True)


def test_those_who_wait_for_a_stream_get_all_of_it(open_door: OpenDoor) -> None:
    gate = threading.Event()
    pieces: list[Piece] = [b"one", gate, b"two"]
    door = open_door({"/p": lambda _: Said(body=iter(pieces))})
    calls = [Call(target="/p") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    assert [reply.body for reply in replies] == [b"onetwo"] * 4
    assert door.calls == 1


def test_requests_for_different_answers_do_not_wait_for_each_other(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p/{n}": lambda asked: Said(body=asked.path.encode(), wait=gate)})
    calls = [Call(target=f"/p/{n}") for n in range(4)]
    replies = door.together(calls, when=lambda: door.calls == 4, then=gate.set)
    assert [reply.body for reply in replies] == [b"/p/0", b"/p/1", b"/p/2", b"/p/3"]


@pytest.mark.parametrize(
    "refused",
    [
        {"headers": [("Cache-Control", "no-store")]},
        {"headers": [("Cache-Control", "private")]},
        {"headers": [("Vary", "*")]},
        {"status": 404},
    ],
    ids=["no-store", "private", "vary", "status"],
)
def test_an_answer_that_may_not_be_kept_is_not_shared_either(
    open_door: OpenDoor, refused: dict[str, object]
) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate, **refused)})
    calls = [Call(target="/p") for _ in range(5)]
    replies = door.together(calls, when=door.waiting(4), then=gate.set)
    assert len({reply.body for reply in replies}) == 5
    assert door.idle()


def test_an_answer_that_may_not_be_kept_lets_everyone_go_at_once(open_door: OpenDoor) -> None:
    # Guard: `refuse` in cachemw.engine.flows.on_response releases the flight; were the lead passed on
    # instead, each of these would wait for the one before it, and that one for them all.
    gate, all_asked = threading.Event(), threading.Event()

    def handler(asked: Asked) -> Said:
        if door.calls == 5:
            all_asked.set()
        first = door.calls == 1
        return Said(headers=[("Set-Cookie", "a=1")], wait=gate if first else all_asked)

    door = open_door({"/p": handler}, settings={"coalesce": {"wait": "1m"}})
    calls = [Call(target="/p") for _ in range(5)]
    replies = door.together(calls, when=door.waiting(4), then=gate.set)
    assert [reply.status for reply in replies] == [200] * 5


def test_nobody_queues_for_an_answer_that_could_not_be_kept_before(open_door: OpenDoor) -> None:
    gate = threading.Event()
    gate.set()
    door = open_door({"/p": numbered(wait=gate, headers=[("Cache-Control", "no-store")])})
    door.get("/p")
    gate.clear()
    calls = [Call(target="/p") for _ in range(5)]
    replies = door.together(calls, when=lambda: door.calls == 6, then=gate.set)
    assert {reply.detail for reply in replies} == {"hit-for-miss"}


def test_who_waits_too_long_goes_alone(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate)}, settings={"coalesce": {"wait": "50ms"}})
    calls = [Call(target="/p") for _ in range(3)]
    replies = door.together(calls, when=lambda: door.calls == 3, then=gate.set)
    assert len({reply.body for reply in replies}) == 3
    assert door.idle()


def test_waiting_is_bounded(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate)}, settings={"coalesce": {"max_waiters": 2}})
    calls = [Call(target="/p") for _ in range(6)]
    door.together(calls, when=lambda: door.calls == 4, then=gate.set)
    assert (door.calls, door.idle()) == (4, True)


def test_when_the_leader_fails_those_who_wait_are_answered(open_door: OpenDoor) -> None:
    gate = threading.Event()

    def handler(asked: Asked) -> Said:
        if door.calls == 1:
            return Said(status=500, wait=gate)
        return Said(body=b"well")

    door = open_door({"/p": handler})
    calls = [Call(target="/p") for _ in range(5)]
    replies = door.together(calls, when=door.waiting(4), then=gate.set)
    assert sorted(reply.status for reply in replies) == [200, 200, 200, 200, 500]
    assert door.idle()


@pytest.mark.parametrize("kind", LOOPS, indirect=True)
def test_when_the_leader_is_cancelled_another_leads(open_door: OpenDoor, kind: str) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate)})
    server = door.server
    assert isinstance(server, AsgiServer)

    def cancel_the_leader() -> None:
        server.tasks[0].cancel()
        gate.set()

    calls = [Call(target="/p", hang_up="cancel") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=cancel_the_leader)
    rest = replies[1:]
    assert {reply.status for reply in rest} == {200}
    assert len({reply.body for reply in rest}) == 1
    assert door.calls <= 2
    assert door.idle()


@pytest.mark.parametrize("kind", LOOPS, indirect=True)
def test_when_one_who_waits_is_cancelled_nobody_else_notices(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": numbered(wait=gate)})
    server = door.server
    assert isinstance(server, AsgiServer)

    def cancel_two() -> None:
        for task in server.tasks[1:3]:
            task.cancel()
        gate.set()

    calls = [Call(target="/p", hang_up="cancel") for _ in range(5)]
    replies = door.together(calls, when=door.waiting(4), then=cancel_two)
    assert [reply.body for reply in (replies[0], *replies[3:])] == [b"answer 1"] * 3
    assert (door.calls, door.idle()) == (1, True)
    assert door.cache._core.engine.flights.waiting == 0
