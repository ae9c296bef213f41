"""Purged is gone (I5): by tag, URL, route or everything, hard or soft, also in the middle of a fill."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Handler, Said, numbered

ROUTES = [
    {"name": "products", "path": "/products/{id}", "ttl": "60s", "tags": ["product:{id}", "all"]},
    {"name": "orders", "path": "/orders/{id}", "ttl": "60s", "tags": ["order:{id}", "all"]},
]
TARGETS = ["/products/1", "/products/2", "/products/1?page=2", "/orders/1"]


def shop(open_door: OpenDoor, **config: Any) -> Door:
    """Mount a shop whose every target is in the cache."""
    handlers: dict[str, Handler] = {"/products/{id}": numbered("p"), "/orders/{id}": numbered("o")}
    door = open_door(handlers, config={"routes": [{**r, **config} for r in ROUTES]})
    for target in TARGETS:
        door.get(target)
    return door


@pytest.mark.parametrize(
    ("purge", "gone"),
    [
        ({"tags": ["product:1"]}, ["/products/1", "/products/1?page=2"]),
        ({"tags": ["product:1", "order:1"]}, ["/products/1", "/products/1?page=2", "/orders/1"]),
        ({"tags": ["all"]}, TARGETS),
        ({"tags": ["product:3"]}, []),
        ({"tags": ["product:"]}, []),
        ({"urls": ["/products/1"]}, ["/products/1"]),
        ({"urls": ["/products/1?page=2"]}, ["/products/1?page=2"]),
        ({"urls": ["http://shop.example/products/2"]}, ["/products/2"]),
        ({"urls": ["http://other.example/products/2"]}, []),
        ({"urls": ["/%70roducts/2"]}, ["/products/2"]),
        ({"routes": ["orders"]}, ["/orders/1"]),
        ({"everything": True}, TARGETS),
    ],
    ids=repr,
)
def test_a_purge_takes_what_it_names_and_nothing_else(
    open_door: OpenDoor, purge: dict[str, Any], gone: list[str]
) -> None:
    door = shop(open_door)
    assert door.cache.purge(**purge).confirmed
    assert [target for target in TARGETS if not door.get(target).hit] == gone


def test_a_purge_in_an_event_loop_does_the_same(open_door: OpenDoor) -> None:
    door = shop(open_door)
    assert asyncio.run(door.cache.apurge(tags=["product:1"])).confirmed
    assert [door.get(target).hit for target in TARGETS] == [False, True, False, True]


def test_what_is_asked_for_after_a_purge_is_kept_again(open_door: OpenDoor) -> None:
    door = shop(open_door)
    door.cache.purge(everything=True)
    assert [door.get("/products/1").body for _ in range(3)] == [b"p 4"] * 3


def test_a_purge_reaches_every_variant(open_door: OpenDoor) -> None:
    varies = [("Vary", "Accept-Language")]
    door = open_door({"/p": numbered(headers=varies)}, tags=["page"])
    languages = ({"Accept-Language": each} for each in ("de", "en"))
    german, english = languages
    door.get("/p", german)
    door.get("/p", english)
    door.cache.purge(tags=["page"])
    assert [door.get("/p", each).hit for each in (german, english)] == [False, False]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_an_answer_begun_before_a_purge_is_never_served_after_it(
    open_door: OpenDoor, streams: bool
) -> None:
    # Guard: the entry carries the position noted before the call of the application.
    def handler(asked: Asked) -> Said:
        body = b"answer %d" % door.calls
        if door.calls == 1:
            door.cache.purge(tags=["page"])
        return Said(body=iter([body]) if streams else body)

    door = open_door({"/p": handler}, tags=["page"])
    assert door.get("/p").body == b"answer 1"
    assert [door.get("/p").body for _ in range(2)] == [b"answer 2"] * 2


def test_a_purge_while_a_stream_is_on_its_way_counts(open_door: OpenDoor) -> None:
    door = open_door({"/p": lambda _: Said(body=iter([b"one", b"two"]))}, tags=["page"])
    door.get("/p", on_piece=lambda piece: door.cache.purge(tags=["page"]))
    assert not door.get("/p").hit


# -- soft ------------------------------------------------------------------------------------------


def test_softly_purged_answers_serve_while_they_are_renewed(open_door: OpenDoor) -> None:
    door = shop(open_door, stale_while_revalidate="30s")
    door.cache.purge(tags=["order:1"], soft=True)
    stale = door.get("/orders/1")
    assert (stale.body, stale.detail) == (b"o 1", "stale")
    door.until(lambda: door.calls == 5 and door.idle())
    assert (door.get("/orders/1").body, door.get("/orders/1").detail) == (b"o 2", "memory")
    assert door.get("/products/1").detail == "memory"


def test_softly_purged_answers_stand_in_for_errors(open_door: OpenDoor, clock: FakeClock) -> None:
    said = [Said(body=b"well"), Said(status=500), Said(status=500)]
    door = open_door({"/p": lambda _: said.pop(0)}, tags=["page"], stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    door.cache.purge(tags=["page"], soft=True)
    assert [door.get("/p").body for _ in range(2)] == [b"well"] * 2


@pytest.mark.parametrize("purge", [{"tags": ["page"]}, {"everything": True}], ids=repr)
def test_a_hard_purge_leaves_no_stale_answer_to_serve(
    open_door: OpenDoor, clock: FakeClock, purge: dict[str, Any]
) -> None:
    said = [Said(body=b"well"), Said(status=500)]
    door = open_door(
        {"/p": lambda _: said.pop(0)},
        tags=["page"],
        stale_if_error="10m",
        stale_while_revalidate="10m",
    )
    door.get("/p")
    clock.advance(61)
    door.cache.purge(**purge)
    assert door.get("/p").status == 500


def test_a_hard_purge_during_the_call_leaves_no_stand_in(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    def handler(asked: Asked) -> Said:
        if door.calls == 1:
            return Said(body=b"well")
        door.cache.purge(tags=["page"])
        return Said(status=500)

    door = open_door({"/p": handler}, tags=["page"], stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").status == 500
