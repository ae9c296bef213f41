"""Every request is counted exactly once, as what it was: rates and rollouts are judged by that."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Handler, Said, numbered, streamed

Asking = dict[str, Any]

HANDLERS: dict[str, Handler] = {
    "/whole": numbered(),
    "/streamed": streamed(b"one", b"two"),
    "/refused": numbered(headers=[("Cache-Control", "no-store")]),
    "/broken": numbered(status=500),
}
PLAIN: Asking = {}
MATCHING: Asking = {"headers": {"If-None-Match": "*"}}
RANGE: Asking = {"headers": {"Range": "bytes=0-1"}}
COOKIE: Asking = {"headers": {"Cookie": "u=1"}}
HEAD: Asking = {"method": "HEAD"}


@pytest.mark.parametrize(
    ("target", "asked", "counted"),
    [
        ("/whole", [PLAIN, PLAIN], {"miss": 1, "hit_memory": 1}),
        ("/streamed", [PLAIN, PLAIN, PLAIN], {"miss": 1, "hit_memory": 2}),
        ("/whole", [MATCHING, MATCHING], {"miss": 1, "hit_memory": 1}),
        ("/whole", [HEAD, PLAIN, HEAD], {"miss": 2, "hit_memory": 1}),
        ("/refused", [PLAIN, PLAIN], {"miss": 1, "hit_for_miss": 1}),
        ("/broken", [PLAIN, PLAIN], {"miss": 2}),
        ("/whole", [RANGE, COOKIE, PLAIN], {"miss": 1, "personal": 1, "hit_memory": 1}),
        ("/streamed", [RANGE, COOKIE, PLAIN], {"miss": 1, "personal": 1, "hit_memory": 1}),
    ],
)
def test_a_request_is_counted_once(
    open_door: OpenDoor, target: str, asked: list[Asking], counted: dict[str, int]
) -> None:
    door = open_door(HANDLERS)
    for asking in asked:
        door.get(target, **asking)
    assert door.cache.stats().by_label == counted


def test_stale_answers_refreshes_and_stand_ins_are_told_apart(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    said = [Said(body=b"one"), Said(body=b"two"), Said(status=503), RuntimeError("failed")]

    def handler(asked: Asked) -> Said:
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    door = open_door({"/p": handler}, stale_while_revalidate="30s", stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    door.get("/p")
    door.until(lambda: door.calls == 2 and door.idle())
    clock.advance(91)
    assert [door.get("/p").detail for _ in range(2)] == ["stale-if-error"] * 2
    stats = door.cache.stats()
    assert stats.by_label == {"miss": 1, "stale_memory": 1, "refresh": 1, "stale_if_error": 2}
    assert stats.total == 4


def test_unlisted_requests_and_those_of_a_route_that_is_off_are_counted_too(
    open_door: OpenDoor,
) -> None:
    routes = [{"name": "one", "path": "/one", "ttl": "60s", "enabled": False}]
    door = open_door({"/one": numbered(), "/two": numbered()}, config={"routes": routes})
    for target in ("/one", "/two", "/two", "/nothing"):
        door.get(target)
    assert door.cache.stats().by_label == {"off": 1, "pass": 3}


def test_a_client_that_goes_away_is_counted_once(open_door: OpenDoor) -> None:
    door = open_door({"/p/{n}": streamed(b"one", b"two", b"three")})
    for how in door.hang_ups:
        door.get(f"/p/{how}", hang_up_after=1, hang_up=how)
        door.until(door.idle)
    assert door.cache.stats().total == len(door.hang_ups)


# -- failures --------------------------------------------------------------------------------------


def failing(status: int = 500) -> Handler:
    """Make a handler that fails at the second call."""
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        return Said(status=status if next(count) > 1 else 200, body=b"page")

    return handler


@pytest.mark.parametrize("status", [500, 502, 504])
def test_answers_that_failed_are_counted_by_outcome(
    open_door: OpenDoor, clock: FakeClock, status: int
) -> None:
    door = open_door({"/p": failing(status)}, name="it")
    door.get("/p")
    clock.advance(61)
    assert [door.get("/p").status for _ in range(2)] == [status] * 2
    stats = door.cache.stats()
    assert (stats.failures, stats.failed) == ({"it": {"miss": 2}}, 2)


@pytest.mark.parametrize("status", [200, 301, 404, 429])
def test_what_is_the_clients_fault_has_not_failed(open_door: OpenDoor, status: int) -> None:
    door = open_door({"/p": lambda asked: Said(status=status, body=b"page")})
    door.get("/p")
    assert door.cache.stats().failures == {}


@pytest.mark.parametrize("varies", [False, True])
def test_an_error_from_the_cache_is_a_failure_each_time(open_door: OpenDoor, varies: bool) -> None:
    # Fails where a failed entry is answered on the path that only counts hits.
    said = [("Cache-Control", "max-age=60"), *([("Vary", "Accept-Language")] if varies else [])]
    door = open_door(
        {"/p": lambda asked: Said(status=501, body=b"never", headers=said)},
        config={"routes": [{"path": "/p", "name": "it", "ttl": "response"}]},
    )
    assert [door.get("/p").hit for _ in range(3)] == [False, True, True]
    assert door.cache.stats().failures == {"it": {"miss": 1, "hit_memory": 2}}


def test_what_stands_in_for_a_failure_has_not_failed(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": failing()}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").detail == "stale-if-error"
    assert door.cache.stats().failed == 0


def test_an_exception_is_a_failure_and_one_that_is_stood_in_for_is_none(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        if next(count) > 1:
            raise RuntimeError("broken")
        return Said(body=b"page")

    door = open_door({"/p": handler, "/q": raising}, stale_if_error="10m")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").detail == "stale-if-error"
    assert door.cache.stats().failed == 0
    door.get("/q")
    assert door.cache.stats().failed == 1


def raising(asked: Asked) -> Said:
    raise RuntimeError("broken")


def test_refreshes_that_fail_are_no_client_s(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": failing()}, name="it", stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    door.get("/p")
    door.until(lambda: door.calls == 2 and door.idle())
    stats = door.cache.stats()
    assert (stats.failures, stats.failed) == ({"it": {"refresh": 1}}, 0)
