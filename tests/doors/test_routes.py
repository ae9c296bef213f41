"""Routes: the same matching behind every front door, whatever the framework below does."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import Asked, numbered


def shown(asked: Asked) -> bytes:
    """Answer with what the framework made of the path."""
    return f"{asked.path} {dict(asked.params)}".encode()


def test_a_parameter_takes_one_segment(open_door: OpenDoor) -> None:
    door = open_door({"/products/{id}": shown})
    for number in ("1", "2", "1", "x-y", "2"):
        assert f"/products/{number} ".encode() in door.get(f"/products/{number}").body
    assert door.calls == 3


@pytest.mark.parametrize(
    ("target", "cached"),
    [
        ("/products/1", True),
        ("/products/007", True),
        ("/products/one", False),
        ("/products/1.5", False),
        ("/products/-1", False),
        ("/products/1/", False),
        ("/products/", False),
        ("/products", False),
    ],
)
def test_a_typed_parameter_matches_its_type_only(
    open_door: OpenDoor, target: str, cached: bool
) -> None:
    config = {"routes": [{"path": "/products/{id:int}", "ttl": "60s"}]}
    door = open_door({"/{rest:path}": numbered()}, config=config)
    first, second = door.get(target), door.get(target)
    assert (second.hit, first.body == second.body) == (cached, cached)


def test_a_path_parameter_takes_the_rest(open_door: OpenDoor) -> None:
    door = open_door({"/files/{rest:path}": shown})
    for target in ("/files/a", "/files/a/b.txt", "/files/a"):
        assert door.get(target).body.startswith(target.encode() + b" ")
    assert door.calls == 2


def test_of_two_routes_that_match_the_first_listed_wins(open_door: OpenDoor) -> None:
    routes = [
        {"path": "/products/special", "ttl": "60s", "enabled": False},
        {"path": "/products/{id}", "ttl": "60s"},
    ]
    door = open_door({"/products/{id}": numbered()}, config={"routes": routes})
    assert [door.get("/products/special").hit for _ in range(2)] == [False, False]
    assert [door.get("/products/other").hit for _ in range(2)] == [False, True]


def test_paths_in_other_scripts_have_their_own_answers(open_door: OpenDoor) -> None:
    door = open_door({"/{name}": shown})
    targets = ["/%C3%A9", "/e%CC%81", "/%E2%82%AC", "/e"]
    bodies = [door.get(target).body for target in targets]
    assert len(set(bodies)) == len(targets)
    assert [door.get(target).body for target in targets] == bodies
    assert door.calls == len(targets)


def test_bytes_that_are_no_text_have_their_own_answers(open_door: OpenDoor) -> None:
    door = open_door({"/{name}": numbered()})
    bodies = [door.get(target).body for target in ("/%FF", "/%FE", "/%EF%BF%BD")]
    assert len(set(bodies)) == 3


def test_mounts_have_their_own_answers(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    bodies = [door.get("/p", mount=mount).body for mount in ("", "/en", "/de", "/en", "")]
    assert bodies == [b"answer 1", b"answer 2", b"answer 3", b"answer 2", b"answer 1"]


def test_a_path_below_a_mount_is_not_the_same_path_without_one(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered("short"), "/en/p": numbered("long")})
    assert door.get("/p", mount="/en").body == b"short 1"
    assert door.get("/en/p").body == b"long 1"
    assert door.get("/p", mount="/en").body == b"short 1"


def test_a_route_can_be_bound_to_its_mount(open_door: OpenDoor) -> None:
    config = {"routes": [{"path": "/p", "mount": "/en", "ttl": "60s"}]}
    door = open_door({"/p": numbered()}, config=config)
    assert [door.get("/p", mount="/en").hit for _ in range(2)] == [False, True]
    for mount in ("", "/de"):
        assert [door.get("/p", mount=mount).hit for _ in range(2)] == [False, False]


def test_a_page_that_is_not_there_is_the_frameworks_own(open_door: OpenDoor) -> None:
    config = {"routes": [{"path": "/{rest:path}", "ttl": "60s"}]}
    door = open_door({"/p": numbered()}, config=config)
    replies = [door.get("/nothing") for _ in range(2)]
    assert [(reply.status, reply.hit) for reply in replies] == [(404, False)] * 2


@pytest.mark.parametrize("target", ["/s/%C3%A9", "/s/%E2%82%AC", "/s/e%20e"])
def test_a_tag_is_filled_with_the_parameter_as_people_write_it(
    open_door: OpenDoor, target: str
) -> None:
    # Guard: each front door reads paths as text, whatever disguise its interface has for bytes.
    door = open_door({"/s/{slug}": numbered()}, tags=["slug:{slug}"])
    assert [door.get(target).calls for _ in range(2)] == [1, 1]
    slug = {"/s/%C3%A9": "é", "/s/%E2%82%AC": "€", "/s/e%20e": "e e"}[target]
    door.cache.purge(tags=[f"slug:{slug}"])
    assert door.get(target).calls == 2
    door.cache.purge(urls=[f"/s/{slug}"])
    assert door.get(target).calls == 3
