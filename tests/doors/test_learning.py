"""Lifetimes that are learned, over every front door: what changes rarely is asked for rarely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Handler, Said

BOUNDS = {"min": "10s", "max": "1h", "stale_target": 0.02}


def changing(clock: FakeClock, every: float, **said: Any) -> Handler:
    """Make a handler whose answer is another one every so many seconds."""

    def handler(asked: Asked) -> Said:
        return Said(body=b"version %d" % (clock.monotonic() // every), **said)

    return handler


def visit(door: Door, clock: FakeClock, target: str, seconds: float, step: float = 1.0) -> int:
    """Ask again and again for so many seconds; return the calls of the application."""
    before = door.calls
    for _ in range(int(seconds / step)):
        door.get(target)
        clock.advance(step)
    return door.calls - before


def test_what_never_changes_is_asked_for_ever_more_rarely(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": changing(clock, 1e9)}, ttl=BOUNDS)
    first = visit(door, clock, "/p", 1000.0, 5.0)
    second = visit(door, clock, "/p", 1000.0, 5.0)
    assert 5 < first < 50
    assert second < first / 2


def test_what_changes_often_lives_for_the_shortest_time(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    door = open_door({"/p": changing(clock, 5.0)}, ttl=BOUNDS)
    assert visit(door, clock, "/p", 600.0, 5.0) >= 600 / 15  # 10 s and up to 5 until somebody asks


def test_nothing_lives_longer_than_the_longest(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": changing(clock, 1e9)}, ttl={"min": "10s", "max": "20s"})
    visit(door, clock, "/p", 600.0, 5.0)
    door.get("/p")
    clock.advance(20.0)
    assert not door.get("/p").hit


def test_a_purge_is_obeyed_however_long_the_lifetime(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": changing(clock, 1e9)}, ttl=BOUNDS, tags=["page"])
    visit(door, clock, "/p", 1000.0, 20.0)
    assert door.get("/p").hit
    door.cache.purge(tags=["page"])
    assert not door.get("/p").hit


@pytest.mark.parametrize("learning", ["off", "shadow"])
def test_without_effect_the_initial_lifetime_is_used(
    open_door: OpenDoor, clock: FakeClock, learning: str
) -> None:
    ttl = {**BOUNDS, "initial": "50s"}
    config = {"learning": learning, "routes": [{"path": "/p", "ttl": ttl}]}
    door = open_door({"/p": changing(clock, 1e9)}, config=config)
    for _ in range(60):
        assert not door.get("/p").hit
        clock.advance(49.0)
        assert door.get("/p").hit
        clock.advance(1.0)
    learned = door.cache.stats().learned
    if learning == "off":
        assert learned == {}
    else:
        assert learned["route:p"]["lifetime"] > 50.0
        assert learned["route:p"]["saved"] > 0.0


def test_a_lifetime_that_the_answer_states_is_obeyed(open_door: OpenDoor, clock: FakeClock) -> None:
    said = {"headers": [("Cache-Control", "max-age=100")]}
    door = open_door({"/p": changing(clock, 1e9, **said)}, ttl=BOUNDS)
    for _ in range(5):
        assert not door.get("/p").hit
        clock.advance(99.0)
        assert door.get("/p").hit
        clock.advance(1.0)
    assert door.cache.stats().learned == {}


def test_an_error_page_is_not_learned_from(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": changing(clock, 1e9, status=404)}, ttl=BOUNDS, negative_ttl="30s")
    for _ in range(5):
        assert not door.get("/p").hit
        clock.advance(29.0)
        assert door.get("/p").hit
        clock.advance(1.0)
    assert door.cache.stats().learned == {}


def content(**changes: Any) -> Callable[[int], Said]:
    return lambda number: Said(
        **{key: value(number) if callable(value) else value for key, value in changes.items()}
    )


@pytest.mark.parametrize(
    ("said", "differs"),
    [
        pytest.param(content(body=lambda n: b"%d" % n), True, id="the body"),
        pytest.param(
            content(body=b"1", headers=lambda n: [("X-Request-Id", str(n))]), False, id="a header"
        ),
        pytest.param(
            content(body=b"1", headers=lambda n: [("Content-Language", "de" if n % 2 else "en")]),
            True,
            id="its language",
        ),
        pytest.param(
            content(
                body=lambda n: b'{"price": 5, "views": [{"at": %d}, {"at": %d}]}' % (n, n + 1),
                headers=[("Content-Type", "application/json")],
            ),
            False,
            id="only its volatile parts",
        ),
        pytest.param(
            content(
                body=lambda n: b'{"price": %d, "views": []}' % n,
                headers=[("Content-Type", "application/json")],
            ),
            True,
            id="other parts of JSON",
        ),
    ],
)
def test_what_counts_as_a_change(
    open_door: OpenDoor, clock: FakeClock, said: Callable[[int], Said], differs: bool
) -> None:
    numbers = iter(range(1000))
    door = open_door(
        {"/p": lambda asked: said(next(numbers))}, ttl=BOUNDS, volatile=["$.views[*].at"]
    )
    visit(door, clock, "/p", 600.0, 30.0)
    changes = door.cache.stats().learned["route:p"]["changes"]
    assert (changes > 0) is differs


def test_routes_of_a_kind_learn_together(open_door: OpenDoor, clock: FakeClock) -> None:
    config = {
        "kinds": {"page": {"ttl": BOUNDS}},
        "routes": [{"path": path, "kind": "page"} for path in ("/a", "/b/{id}")],
    }
    handlers = {"/a": changing(clock, 1e9), "/b/{id}": changing(clock, 1e9)}
    door = open_door(handlers, config=config)
    for number in range(12):
        visit(door, clock, f"/b/{number}", 100.0, 20.0)
    assert list(door.cache.stats().learned) == ["page"]
    door.get("/a")
    clock.advance(20.0)
    assert door.get("/a").hit  # it begins with what the kind has shown


def test_announced_changes_do_not_shorten_lives(open_door: OpenDoor, clock: FakeClock) -> None:
    """The purge is what ends them."""
    door = open_door({"/p": changing(clock, 30.0)}, ttl=BOUNDS, tags=["page"])
    for _ in range(60):
        door.get("/p")
        clock.advance(30.0)
        door.cache.purge(tags=["page"])
    learned = door.cache.stats().learned["route:p"]
    assert learned["announced"] > 0.9
    assert learned["stale"] == 0.0
    door.get("/p")
    clock.advance(12.0)
    assert door.get("/p").hit


def test_a_head_teaches_nothing(open_door: OpenDoor, clock: FakeClock) -> None:
    handler = changing(clock, 1e9, headers=[("ETag", '"1"')])
    door = open_door({"/p": handler}, ttl=BOUNDS, stale_if_error="1d")
    door.get("/p")
    for _ in range(5):
        clock.advance(60.0)  # stale, and still kept: the HEAD freshens it
        door.ask(Call(target="/p", method="HEAD"))
    assert door.cache.stats().learned["route:p"]["refreshes"] == 0.0
