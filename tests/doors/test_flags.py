"""Flags: each route and class can be turned off and on live, and the kill switch wins (I6)."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import OpenDoor
from .doors import Door
from .language import numbered

ROUTES = [
    {"name": "low", "path": "/low", "ttl": "60s", "risk": "low", "cookies": []},
    {"name": "high", "path": "/high", "ttl": "60s", "risk": "high", "cookies": []},
]


def two(open_door: OpenDoor, **settings: Any) -> Door:
    """Mount a route of low and one of high risk, both in the cache if they may be."""
    handlers = {"/low": numbered(), "/high": numbered()}
    door = open_door(handlers, config={"routes": ROUTES, **settings})
    for path in handlers:
        door.get(path)
    return door


def cached(door: Door) -> list[bool]:
    """Say which of the two routes is answered from the cache."""
    return [door.get(path).hit for path in ("/low", "/high")]


@pytest.mark.parametrize(
    ("flags", "hits"),
    [
        ({"low": "off"}, [False, True]),
        ({"high": "off"}, [True, False]),
        ({"medium": "off"}, [True, True]),
        ({"route:low": "off"}, [False, True]),
        ({"kill": "on"}, [False, False]),
        ({"kill": "on", "low": "on", "route:high": "on"}, [False, False]),
        ({"low": "off", "route:low": "on"}, [False, True]),
    ],
    ids=repr,
)
def test_a_flag_turns_the_cache_off_and_on_live(
    open_door: OpenDoor, flags: dict[str, str], hits: list[bool]
) -> None:
    door = two(open_door)
    assert cached(door) == [True, True]
    door.cache.flags.set(flags)
    assert cached(door) == hits
    door.cache.flags.set(dict.fromkeys(flags, "default"))
    assert cached(door) == [True, True]


def test_a_route_that_is_off_is_left_alone(open_door: OpenDoor) -> None:
    door = two(open_door)
    door.cache.flags.set({"route:low": "off"})
    reply = door.get("/low", {"Cookie": "u=1", "X-Forwarded-For": "192.0.2.1"})
    assert (reply.body, reply.detail) == (b"answer 2", "off")
    assert (door.seen.cookies, door.seen.field("x-forwarded-for")) == ({"u": "1"}, "192.0.2.1")
    assert {"age", "etag"}.isdisjoint(name for name, _ in reply.headers)


def test_nothing_is_stored_while_a_route_is_off(open_door: OpenDoor) -> None:
    door = two(open_door, route_flags={"low": "off"})
    assert cached(door) == [False, True]
    door.cache.flags.set({"route:low": "on"})
    assert cached(door) == [False, True]
    assert cached(door) == [True, True]


@pytest.mark.parametrize(
    ("settings", "hits"),
    [
        ({"flags": {"low": "off"}}, [False, True]),
        ({"route_flags": {"high": "off"}}, [True, False]),
        ({"kill": True}, [False, False]),
    ],
    ids=repr,
)
def test_flags_can_be_off_from_the_start(
    open_door: OpenDoor, settings: dict[str, Any], hits: list[bool]
) -> None:
    door = two(open_door, **settings)
    assert cached(door) == hits


def test_a_configured_kill_switch_cannot_be_lifted_live(open_door: OpenDoor) -> None:
    door = two(open_door, kill=True)
    door.cache.flags.set({"kill": "off", "low": "on", "route:low": "on"})
    assert cached(door) == [False, False]


def test_the_environments_kill_switch_wins(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHEMW_KILL", "1")
    door = two(open_door, flags={"low": "on"}, route_flags={"low": "on"})
    door.cache.flags.set({"kill": "off", "low": "on"})
    assert cached(door) == [False, False]


def test_a_disabled_route_can_be_enabled_live(open_door: OpenDoor) -> None:
    routes = [{**ROUTES[0], "enabled": False}]
    door = open_door({"/low": numbered()}, config={"routes": routes})
    assert [door.get("/low").hit for _ in range(2)] == [False, False]
    door.cache.flags.set({"route:low": "on"})
    assert [door.get("/low").hit for _ in range(2)] == [False, True]
