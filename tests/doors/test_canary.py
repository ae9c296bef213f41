"""Canaries and holdouts: some of the keys, some of the requests, and the rest as if there were no cache."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Said, echo, numbered

PAGES = [f"/p/{number}" for number in range(400)]


def site(open_door: OpenDoor, **settings: Any) -> Door:
    return open_door({"/p/{number}": numbered()}, risk="low", settings=settings)


def cached(door: Door) -> set[str]:
    """Give the pages that are answered from the cache."""
    for page in PAGES:
        door.get(page)
    return {page for page in PAGES if door.get(page).hit}


def test_a_canary_is_a_share_of_the_keys_that_only_grows_with_it(open_door: OpenDoor) -> None:
    door = site(open_door, flags={"low": "canary 10%"})
    some = cached(door)
    assert 15 <= len(some) <= 75
    assert cached(door) == some
    door.cache.flags.set(low="canary 40%")
    more = cached(door)
    assert some < more
    assert 120 <= len(more) <= 200
    door.cache.flags.set(low="on")
    assert cached(door) == set(PAGES)
    door.cache.flags.set(low="canary 10%")
    assert cached(door) == some


def test_a_key_outside_of_the_canary_is_left_alone(open_door: OpenDoor) -> None:
    door = open_door(
        {"/p/{number}": echo("cookie")},
        cookies=[],
        risk="low",
        settings={"flags": {"low": "canary 0.01%"}},
    )
    replies = [door.get(page, {"Cookie": "sid=1"}) for page in PAGES[:20]]
    assert {(reply.detail, reply.body) for reply in replies} == {("canary", b"cookie=sid=1")}
    assert door.cache.stats().by_label == {"off": 20}
    assert len(door.cache.memory) == 0


def test_the_smaller_share_counts(open_door: OpenDoor) -> None:
    door = site(open_door, flags={"low": "canary 30%"})
    name = door.cache.config.routes[0].name
    some = cached(door)
    door.cache.flags.set({f"route:{name}": "canary 60%"})
    assert cached(door) == some
    door.cache.flags.set({f"route:{name}": "canary 5%"})
    assert cached(door) < some
    assert door.cache.flags.states()[f"route:{name}"] == "canary 5%"


@pytest.fixture
def chance(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Draw these numbers in turn, where the pipeline draws."""
    drawn: list[float] = []
    monkeypatch.setattr("cachemw.frontdoor.pipeline.draw", lambda: drawn.pop(0) if drawn else 0.99)
    return drawn


def test_a_request_that_is_held_out_neither_reads_nor_writes(
    open_door: OpenDoor, chance: list[float]
) -> None:
    door = site(open_door, holdout="5%")
    assert door.get("/p/1").body == b"answer 1"
    assert door.get("/p/1").hit
    chance.append(0.049)
    held = door.get("/p/1")
    assert (held.body, held.detail) == (b"answer 2", "holdout")
    assert door.get("/p/1").body == b"answer 1"
    chance.append(0.01)
    door.get("/p/2")
    assert not door.get("/p/2").hit
    stats = door.cache.stats()
    assert stats.by_outcome == {"hit": 2, "miss": 2, "control": 2}
    assert (stats.by_label["control_hit"], stats.by_label["control_miss"]) == (1, 1)


def test_a_request_that_is_held_out_reaches_the_application_as_it_came(
    open_door: OpenDoor, chance: list[float]
) -> None:
    door = open_door({"/p": echo("cookie")}, cookies=[], settings={"holdout": "5%"})
    chance.append(0.0)
    assert door.get("/p", {"Cookie": "sid=1"}).body == b"cookie=sid=1"
    assert door.get("/p", {"Cookie": "sid=1"}).body == b"cookie=None"


def test_a_request_that_is_held_out_renews_nothing(
    open_door: OpenDoor, chance: list[float], clock: FakeClock
) -> None:
    door = open_door({"/p": numbered()}, settings={"holdout": "5%"}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    chance.append(0.0)
    assert door.get("/p").body == b"answer 2"
    assert door.get("/p").body == b"answer 1"
    door.until(lambda: door.calls == 3 and door.idle())
    assert door.get("/p").body == b"answer 3"
    counted = {"miss": 1, "control_hit": 1, "stale_memory": 1, "refresh": 1, "hit_memory": 1}
    assert door.cache.stats().by_label == counted


def test_what_is_not_cached_anyway_is_no_control(open_door: OpenDoor, chance: list[float]) -> None:
    door = site(open_door, holdout="5%", flags={"low": "canary 0.01%"})
    chance[:] = [0.0] * 3
    door.get("/p/1")
    door.get("/elsewhere")
    door.ask(Call(target="/p/1", method="DELETE"))
    assert "control" not in door.cache.stats().by_outcome


def test_a_write_that_is_held_out_purges_all_the_same(
    open_door: OpenDoor, chance: list[float]
) -> None:
    reads = numbered()

    def handler(asked: Asked) -> Said | bytes:
        return Said(body=b"done") if asked.method == "POST" else reads(asked)

    door = open_door({"/p": handler}, settings={"holdout": "5%"})
    door.get("/p")
    chance.append(0.0)
    door.ask(Call(target="/p", method="POST"))
    assert not door.get("/p").hit


def test_the_holdout_is_set_live(open_door: OpenDoor) -> None:
    door = site(open_door)
    assert door.cache.flags.set({"holdout": "50%"})
    assert door.cache.flags.states()["holdout"] == "50%"
    for _ in range(200):
        door.get("/p/1")
    held = door.cache.stats().by_outcome["control"]
    assert 60 <= held <= 140
    door.cache.flags.set({"holdout": "default"})
    for _ in range(50):
        door.get("/p/1")
    assert door.cache.stats().by_outcome["control"] == held
