"""An answer that is made from another answer of the same process depends on all that the other does."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw import tag
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Handler, Said, numbered, tagging


class Page:
    """A handler whose answer is made from other answers of the same application."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.door: Door | None = None

    def __call__(self, asked: Asked) -> bytes:
        assert self.door is not None
        return b"|".join(self.door.from_inside(part).body for part in self.parts)


PAGE = {"path": "/page", "ttl": "1h", "tags": ["page"]}
PART = {"path": "/part", "ttl": "60s", "name": "part", "tags": ["declared"]}


def opened(open_door: OpenDoor, handler: Handler, *parts: str, **options: Any) -> Door:
    """Open a door with a page that is made from parts, and the options of the part's route."""
    page = Page(*(parts or ("/part",)))
    settings = options.pop("settings", {})
    config = {"routes": [PAGE, {**PART, **options}], **settings}
    door = open_door({"/page": page, "/part": handler}, config=config)
    page.door = door
    return door


@pytest.mark.parametrize("stored", [False, True], ids=["miss", "hit"])
@pytest.mark.parametrize(
    "purge",
    [
        {"tags": ["read"]},
        {"tags": ["said"]},
        {"tags": ["declared"]},
        {"urls": ["/part"]},
        {"routes": ["part"]},
    ],
    ids=str,
)
def test_a_purge_of_the_part_purges_the_page(
    open_door: OpenDoor, stored: bool, purge: dict[str, Any]
) -> None:
    """I5: or the page shows what the part has not shown for long."""
    door = opened(open_door, tagging("read", headers=[("Cache-Tag", "said")]))
    if stored:
        door.get("/part")
        assert door.get("/part").hit
    assert door.get("/page").body == b"answer 1"
    assert door.get("/page").hit
    door.cache.purge(tags=["something else"])
    assert door.get("/page").hit
    door.cache.purge(**purge)
    assert door.get("/page").body == b"answer 2"


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ([("Cache-Control", "no-store")], {}),
        ([("Cache-Control", "private")], {}),
        ([("Set-Cookie", "a=b")], {}),
        ([], {"enabled": False}),
        ([], {"methods": [], "invalidates": ["x"]}),
        ([], {"path": "/elsewhere"}),
    ],
    ids=str,
)
def test_so_does_a_purge_of_what_a_part_was_made_from_that_is_not_kept(
    open_door: OpenDoor, fields: list[tuple[str, str]], options: dict[str, Any]
) -> None:
    """As if there were no cache between them."""
    door = opened(open_door, tagging("read", headers=fields), **options)
    door.get("/page")
    assert door.get("/page").hit
    door.cache.purge(tags=["read"])
    assert not door.get("/page").hit


def test_a_page_has_what_all_of_its_parts_have(open_door: OpenDoor) -> None:
    inner, outer = Page("/a", "/b"), Page("/inner", "/b")
    handlers = {"/outer": outer, "/inner": inner, "/a": tagging("a"), "/b": tagging("b")}
    door = open_door(handlers)
    inner.door = outer.door = door
    for purged, kept in (("a", "/b"), ("b", "/a")):
        door.get("/outer")
        assert all(door.get(path).hit for path in handlers)
        door.cache.purge(tags=[purged])
        assert not door.get("/outer").hit
        assert door.get(kept).hit


def test_a_part_that_the_application_renews_keeps_its_tags(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    """What was read for the body, not only what was read for the 304."""
    plain = numbered(headers=[("ETag", '"1"')])

    def handler(asked: Asked) -> Said | bytes:
        if asked.field("if-none-match") == '"1"':
            return Said(status=304, body=b"", headers=[("ETag", '"1"')])
        tag("read")
        return plain(asked)

    door = opened(open_door, handler)
    door.get("/part")
    clock.advance(61)
    assert door.get("/page").body == b"answer 1"
    assert door.get("/page").hit
    door.cache.purge(tags=["read"])
    assert door.get("/page").body == b"answer 2"


@pytest.mark.parametrize("softly", [False, True], ids=["old", "softly purged"])
def test_what_is_made_from_a_stale_part_is_not_kept(
    open_door: OpenDoor, clock: FakeClock, softly: bool
) -> None:
    """It would be fresh for its whole lifetime, and no later purge would name what it shows."""
    door = opened(open_door, tagging("read"), stale_while_revalidate="30s")
    door.get("/part")
    if softly:
        door.cache.purge(tags=["read"], soft=True)
    else:
        clock.advance(61)
    page = door.get("/page")
    assert page.body == b"answer 1"
    assert "stored" not in (page.field("cache-status") or "")
    assert door.cache.stats().events["not_stored"] == {"stale-part": 1}
    door.until(door.idle)
    for _ in range(2):
        door.get("/part")
        door.until(door.idle)
    assert door.get("/part").hit
    assert not door.get("/page").hit
    assert door.get("/page").hit


def test_a_part_that_stands_in_for_an_error_is_stale_too(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    fails: list[bool] = []

    def handler(asked: Asked) -> Said | bytes:
        return Said(status=500 if fails else 200)

    door = opened(open_door, handler, stale_if_error="1h")
    door.get("/part")
    clock.advance(61)
    fails.append(True)
    assert door.get("/page").body == b"hello"
    assert door.cache.stats().events["not_stored"] == {"stale-part": 1}


def test_the_tags_of_parts_count_for_the_limit(open_door: OpenDoor) -> None:
    """I4."""
    door = opened(
        open_door, tagging(*(f"t{n}" for n in range(6))), settings={"recording": {"max_tags": 8}}
    )
    door.get("/page")
    assert door.get("/part").hit
    assert not door.get("/page").hit
    assert door.cache.stats().events["not_stored"]["too-many-tags"] >= 1


def test_what_is_unrecorded_brings_no_tags(open_door: OpenDoor) -> None:
    from cachemw import unrecorded

    page = Page("/part")

    def handler(asked: Asked) -> bytes:
        with unrecorded():
            return page(asked)

    door = open_door({"/page": handler, "/part": tagging("read")})
    page.door = door
    door.get("/page")
    door.cache.purge(tags=["read"])
    assert door.get("/page").hit
