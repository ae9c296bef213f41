"""Tags from everywhere: fields of the response, code of the application, writes, the graph."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from cachemw import depends_on, tag

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Piece, Said, numbered, tagging


def purged(door: Door, *tags: str) -> bool:
    """Purge tags, and say whether the page was gone."""
    door.get("/p")
    assert door.get("/p").hit
    assert door.cache.purge(tags=tags).confirmed
    return not door.get("/p").hit


def test_code_tags_the_answer_that_it_makes(open_door: OpenDoor) -> None:
    door = open_door({"/p": tagging("mine", "shop:1")})
    assert not purged(door, "yours")
    assert purged(door, "mine")
    assert purged(door, "shop:1")


def test_code_says_what_the_answer_depends_on(open_door: OpenDoor) -> None:
    plain = numbered()

    def handler(asked: Asked) -> Said | bytes:
        depends_on("product:5")
        return plain(asked)

    assert purged(open_door({"/p": handler}), "product:5")


def test_a_thread_that_the_view_starts_tags_its_answer(open_door: OpenDoor) -> None:
    plain = numbered()

    def handler(asked: Asked) -> Said | bytes:
        thread = threading.Thread(target=tag, args=("far",))
        thread.start()
        thread.join()
        return plain(asked)

    assert purged(open_door({"/p": handler}), "far")


def test_what_is_read_while_the_body_streams_counts(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        def pieces() -> Iterator[Piece]:
            yield b"one "
            tag("late")
            yield b"two"

        return Said(body=pieces())

    assert purged(open_door({"/p": handler}), "late")


def test_one_answers_tags_are_not_anothers(open_door: OpenDoor) -> None:
    door = open_door({"/p": tagging("p"), "/q": tagging("q")})
    door.get("/q")
    assert purged(door, "p")
    assert door.get("/q").hit


def test_a_family_is_purged_by_one_tag(open_door: OpenDoor) -> None:
    door = open_door({"/p": tagging("shop:product:5")})
    assert not purged(door, "shop:product")
    assert purged(door, "shop:product:*")
    assert purged(door, "shop:*")


@pytest.mark.parametrize("bad", ["prod*", "a:*:b", "*", "a:b:c:d:*"])
def test_a_star_elsewhere_is_an_error(open_door: OpenDoor, bad: str) -> None:
    door = open_door({"/p": tagging()})
    with pytest.raises(ValueError, match=r"star|families end"):
        door.cache.purge(tags=[bad])


@pytest.mark.parametrize(
    ("name", "value"),
    [("Cache-Tag", "a, b:1,c"), ("Surrogate-Key", "a b:1 c"), ("surrogate-key", "  a  b:1\tc ")],
)
def test_response_fields_tag_and_do_not_go_out(open_door: OpenDoor, name: str, value: str) -> None:
    door = open_door({"/p": tagging(headers=[(name, value)])})
    for each in ("a", "b:1", "c", "b:*"):
        assert purged(door, each)
    assert not purged(door, "d")
    door.cache.purge(everything=True)
    for _ in ("miss", "hit"):
        assert door.get("/p").field(name) is None


def test_fields_that_a_cdn_wants_go_out(open_door: OpenDoor) -> None:
    settings = {"recording": {"keep_fields": True}}
    door = open_door({"/p": tagging(headers=[("Cache-Tag", "a,b")])}, settings=settings)
    for _ in ("miss", "hit"):
        assert door.get("/p").field("cache-tag") == "a,b"
    assert purged(door, "a")


def test_fields_of_other_names_can_hold_tags(open_door: OpenDoor) -> None:
    settings = {"recording": {"fields": ["X-Keys"]}}
    door = open_door(
        {"/p": tagging(headers=[("X-Keys", "a"), ("Cache-Tag", "b")])}, settings=settings
    )
    assert door.get("/p").field("x-keys") is None
    assert door.get("/p").field("cache-tag") == "b"
    assert purged(door, "a")
    assert not purged(door, "b")


def test_a_field_with_what_is_no_tag_is_counted(open_door: OpenDoor) -> None:
    door = open_door({"/p": tagging(headers=[("Cache-Tag", "@route:other, fine")])})
    assert purged(door, "fine")
    assert door.cache.stats().events["bad_tags"] == {"": 2}


def test_an_answer_with_too_many_tags_is_not_kept(open_door: OpenDoor) -> None:
    tags = [f"t{number}" for number in range(6)]
    handlers = {"/few": tagging(*tags[:5]), "/many": tagging(*tags)}
    door = open_door(handlers, settings={"recording": {"max_tags": 5}})
    door.get("/few")
    door.get("/many")
    assert door.get("/few").hit
    assert not door.get("/many").hit
    assert door.cache.stats().events["not_stored"]["too-many-tags"] >= 1


def test_an_answer_that_a_304_calls_current_keeps_its_tags(open_door: OpenDoor, clock: Any) -> None:
    # Without the stored tags, or without those of the 304 or of its call, one of these purges fails.
    def handler(asked: Asked) -> Said:
        if asked.field("if-none-match"):
            tag("after")
            return Said(status=304, headers=[("ETag", '"1"'), ("Cache-Tag", "said")])
        tag("before")
        return Said(body=b"page", headers=[("ETag", '"1"')])

    for each in ("before", "after", "said"):
        door = open_door({"/p": handler})
        door.get("/p")
        clock.advance(61)
        assert door.get("/p").body == b"page"
        assert door.get("/p").hit
        door.cache.purge(tags=[each])
        assert not door.get("/p").hit


def test_what_depends_on_what_is_purged_goes_too(open_door: OpenDoor) -> None:
    settings = {"dependencies": {"catalog": ["product:*"], "home": ["catalog"]}}
    door = open_door({"/p": tagging("home"), "/q": tagging("other")}, settings=settings)
    door.get("/q")
    assert purged(door, "product:5")
    assert door.get("/q").hit


# -- writes ----------------------------------------------------------------------------------------


def shop(open_door: OpenDoor, status: int = 200, **settings: Any) -> Door:
    """Mount pages, and a route of writes that says what it changes."""

    def write(asked: Asked) -> Said:
        return Said(status=status, body=b"done")

    routes = [
        {"path": "/p", "ttl": "60s"},
        {"path": "/orders/{customer}", "methods": [], "invalidates": ["of:{customer}", "all:*"]},
    ]
    handlers = {"/p": tagging("of:7", "all:1"), "/orders/{customer}": write}
    return open_door(handlers, config={"routes": routes, **settings})


def write_gone(door: Door, target: str, method: str = "POST") -> bool:
    door.get("/p")
    assert door.get("/p").hit
    door.ask(Call(target=target, method=method))
    return not door.get("/p").hit


def test_a_write_purges_what_its_route_names(open_door: OpenDoor) -> None:
    door = shop(open_door)
    assert write_gone(door, "/orders/7")
    assert write_gone(door, "/orders/8", "DELETE")  # all:*
    assert not write_gone(door, "/orders/7", "GET")


def test_a_write_that_failed_purges_nothing(open_door: OpenDoor) -> None:
    assert not write_gone(shop(open_door, 409), "/orders/7")


def test_a_write_purges_what_depends_on_it(open_door: OpenDoor) -> None:
    routes = [
        {"path": "/p", "ttl": "60s"},
        {"path": "/w/{id}", "methods": [], "invalidates": ["product:{id}"]},
    ]
    handlers = {"/p": tagging("catalog"), "/w/{id}": tagging()}
    config = {"routes": routes, "dependencies": {"catalog": ["product:*"]}}
    assert write_gone(open_door(handlers, config=config), "/w/5")


def test_a_clients_star_is_no_family(open_door: OpenDoor) -> None:
    # Without the guard in `changes._declared` a path of a client's choice purges all there is.
    routes = [
        {"path": "/p", "ttl": "60s"},
        {"path": "/w/{id}", "methods": [], "invalidates": ["product:{id}"]},
    ]
    door = open_door({"/p": tagging("product:5"), "/w/{id}": tagging()}, config={"routes": routes})
    assert not write_gone(door, "/w/*")
    assert write_gone(door, "/w/5")


# Overtaken ----------------------------------------------------------------------------------------


def test_an_answer_that_was_purged_while_it_was_made_says_so_and_is_not_kept(
    open_door: OpenDoor,
) -> None:
    """A view that writes what it reads. Fails where it is said to be stored, and never is a hit."""
    doors: list[Any] = []

    def handler(asked: Asked) -> bytes:
        tag("counter")
        if len(doors) == 1:
            doors[0].cache.purge(tags=["counter"])
        return b"counted"

    door = open_door({"/p": handler})
    doors.append(door)
    for _ in range(2):
        reply = door.get("/p")
        assert not reply.hit
        assert "detail=overtaken" in (reply.field("cache-status") or "")
        assert "stored" not in (reply.field("cache-status") or "")
    assert door.cache.stats().events["not_stored"] == {"overtaken": 2}
    doors.append(None)
    door.get("/p")
    assert door.get("/p").hit


@pytest.mark.parametrize("purged", ["another", "everything", "the URL"])
def test_only_a_purge_of_the_answer_overtakes_it(purged: str, open_door: OpenDoor) -> None:
    doors: list[Any] = []

    def handler(asked: Asked) -> bytes:
        tag("counter")
        if purged == "another":
            doors[0].cache.purge(tags=["another"])
        elif purged == "everything":
            doors[0].cache.purge(everything=True)
        else:
            doors[0].cache.purge(urls=["/p"])
        return b"counted"

    door = open_door({"/p": handler})
    doors.append(door)
    overtaken = "detail=overtaken" in (door.get("/p").field("cache-status") or "")
    assert overtaken == (purged != "another")
    assert door.get("/p").hit == (purged == "another")


URIS = ["/a", "https://a.example/é?b=1, c&d", "%C3%A9 100%", "x" * 3000, "\n\x00", "@route:p", ""]


def test_values_of_the_query_are_tags_as_the_application_reads_them(open_door: OpenDoor) -> None:
    plain = numbered()
    read: list[str] = []

    def handler(asked: Asked) -> Said | bytes:
        read.append(dict(asked.arguments)["uri"])
        return plain(asked)

    door = open_door({"/p": handler}, tags=["c:{query.uri}"])
    for raw in ("%FF%2C", "a%FE", *(quote(uri, safe="") for uri in URIS)):
        path = f"/p?uri={raw}"
        door.get(path)
        assert door.get(path).hit
        assert door.cache.purge(tags=["c:no", "c:/"]).confirmed
        assert door.get(path).hit
        assert door.cache.purge(tags=[f"c:{read[-1]}"]).confirmed
        assert not door.get(path).hit


def test_a_write_invalidates_by_the_values_of_its_query(open_door: OpenDoor) -> None:
    def route(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "path": f"/{name}", "vary": ["X-Shelf"], **more}

    config = {
        "routes": [
            route("p", ttl="60s", tags=["c:{query.uri}", "s:{header.x-shelf?}"]),
            route("new", methods=[], invalidates=["c:{query.uri}", "s:{header.x-shelf}"]),
        ]
    }
    done = Said(body=b"done")
    door = open_door({"/p": numbered(), "/new": lambda asked: done}, config=config)
    shelf = {"X-Shelf": "9"}

    def kept(target: str, **sent: str) -> bool:
        return bool(door.get(target, shelf if sent else {}).hit)

    for target in ("/p?uri=a%20b", "/p?uri=c"):
        door.get(target)
        door.get(target, shelf)
    door.ask(Call(target="/new?uri=a+b", method="POST"))
    assert [kept("/p?uri=a%20b"), kept("/p?uri=c")] == [False, True]
    door.ask(Call(target="/new", method="POST", headers=[("X-Shelf", "9")]))
    assert [kept("/p?uri=c"), kept("/p?uri=c", shelf="9")] == [True, False]
