"""What clients ask of caches: ignored unless a route honours it (RFC 9111 §5.2.1)."""

from __future__ import annotations

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import numbered

FORCING = [
    pytest.param({"Cache-Control": "no-cache"}, id="5.2.1.4 no-cache"),
    pytest.param({"Cache-Control": "max-age=0"}, id="5.2.1.1 max-age=0"),
    pytest.param({"Cache-Control": "min-fresh=3600"}, id="5.2.1.3 min-fresh"),
    pytest.param({"Pragma": "no-cache"}, id="5.4 Pragma"),
]


@pytest.mark.parametrize("headers", FORCING)
def test_by_default_no_client_can_force_load_on_the_origin(
    open_door: OpenDoor, headers: dict[str, str]
) -> None:
    door = open_door({"/p": numbered()})
    door.get("/p", headers)
    assert door.get("/p", headers).hit
    assert door.calls == 1


@pytest.mark.parametrize("headers", FORCING)
def test_a_route_may_honour_it(open_door: OpenDoor, headers: dict[str, str]) -> None:
    door = open_door({"/p": numbered()}, client_directives="honour")
    door.get("/p")
    reply = door.get("/p", headers)
    assert reply.body == b"answer 2"
    assert "fwd=request" in (reply.field("cache-status") or "")
    assert door.get("/p").body == b"answer 2", "and what came is kept for everybody"


def test_max_stale_takes_what_is_stale(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered(headers=[("ETag", '"v1"')])}, client_directives="honour")
    door.get("/p")
    clock.advance(70)
    assert door.get("/p", {"Cache-Control": "max-stale=20"}).body == b"answer 1"
    assert door.get("/p", {"Cache-Control": "max-stale=5"}).body == b"answer 2"


def test_only_if_cached_never_reaches_the_application(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, client_directives="honour")
    asked = {"Cache-Control": "only-if-cached"}
    reply = door.get("/p", asked)
    assert (reply.status, reply.body, door.calls) == (504, b"", 0)
    assert reply.field("cache-status") == "cachemw; detail=only-if-cached"
    door.get("/p")
    assert door.get("/p", asked).hit


def test_no_store_is_answered_but_not_kept(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, client_directives="honour")
    assert door.get("/p", {"Cache-Control": "no-store"}).body == b"answer 1"
    assert door.get("/p").body == b"answer 2"
    assert door.get("/p").hit
