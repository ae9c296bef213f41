"""Unsafe requests (RFC 9111 §4.4): what they name is invalid once they have succeeded."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import Asked, Call, Handler, Said, numbered

WRITES = ("POST", "PUT", "DELETE")


def changing(status: int = 200, *fields: tuple[str, str]) -> Handler:
    """Make a handler whose GETs are numbered and whose writes answer as told."""
    reads = numbered()

    def handler(asked: Asked) -> Said | bytes:
        if asked.method in WRITES:
            return Said(status=status, body=b"done", headers=fields)
        return reads(asked)

    return handler


@pytest.mark.parametrize("method", WRITES)
def test_a_write_invalidates_what_it_was_sent_to(open_door: OpenDoor, method: str) -> None:
    door = open_door({"/p": changing()})
    door.get("/p")
    assert door.get("/p").hit
    assert door.ask(Call(target="/p", method=method)).body == b"done"
    assert door.get("/p").body == b"answer 2"


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_write_that_failed_changes_nothing(open_door: OpenDoor, status: int) -> None:
    door = open_door({"/p": changing(status)})
    door.get("/p")
    door.ask(Call(target="/p", method="POST"))
    assert door.get("/p").hit


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize("url", ["/q", "q", "http://shop.example/q"])
def test_what_the_answer_names_is_invalid_too(open_door: OpenDoor, name: str, url: str) -> None:
    door = open_door({"/p": changing(201, (name, url)), "/q": numbered("q")})
    door.get("/q")
    door.ask(Call(target="/p", method="POST"))
    assert door.get("/q").body == b"q 2"


def test_nothing_of_another_origin_is(open_door: OpenDoor) -> None:
    """RFC 9111 4.4: or anybody could empty anybody's cache."""
    answer = (("Location", "http://other.example/q"),)
    door = open_door({"/p": changing(201, *answer), "/q": numbered("q")})
    door.get("/q")
    door.ask(Call(target="/p", method="POST"))
    assert door.get("/q").hit


def test_a_path_that_is_not_listed_may_name_one_that_is(open_door: OpenDoor) -> None:
    door = open_door(
        {"/write": changing(201, ("Location", "/q")), "/q": numbered("q")},
        config={"routes": [{"path": "/q", "ttl": "60s"}]},
    )
    door.get("/q")
    door.ask(Call(target="/write", method="POST"))
    assert door.get("/q").body == b"q 2"


@pytest.mark.parametrize("status", [302, 303])
@pytest.mark.parametrize("means_success", [False, True])
def test_a_redirect_counts_only_where_the_route_says_so(
    open_door: OpenDoor, status: int, means_success: bool
) -> None:
    """A form that was saved and one that was refused are both answered by a redirect."""
    door = open_door(
        {"/p": changing(status, ("Location", "/q")), "/q": numbered("q")},
        invalidates_on_redirect=means_success,
    )
    for target in ("/p", "/q"):
        door.get(target)
    door.ask(Call(target="/p", method="POST"))
    assert [door.get(target).hit for target in ("/p", "/q")] == [not means_success] * 2


def test_a_group_is_invalidated_by_name(open_door: OpenDoor) -> None:
    """RFC 9875."""
    grouped = numbered("q", headers=[("Cache-Groups", '"shelf", "other"')])
    door = open_door({"/p": changing(200, ("Cache-Group-Invalidation", '"shelf"')), "/q": grouped})
    door.get("/q")
    assert door.get("/q").hit
    door.ask(Call(target="/p", method="POST"))
    assert door.get("/q").body == b"q 2"
