"""Headers by which scripts ask for a part of a page: a part is never served as a page."""

from __future__ import annotations

import pytest

from .conftest import OpenDoor
from .language import Asked, echo

NAMES = [
    ("HX-Request", "true"),
    ("HX-Target", "cart"),
    ("Turbo-Frame", "cart"),
    ("X-PJAX", "true"),
    ("X-Inertia", "true"),
    ("X-Requested-With", "XMLHttpRequest"),
    ("X-Up-Version", "3.10"),
]


@pytest.mark.parametrize(("name", "value"), NAMES)
def test_a_part_is_not_a_page(open_door: OpenDoor, name: str, value: str) -> None:
    # Guard: PARTIAL in cachemw.engine.privacy.bypass.
    def handler(asked: Asked) -> bytes:
        return b"part" if asked.field(name) == value else b"page"

    door = open_door({"/p": handler}, cookies=[])
    part = {name: value}
    for headers in (part, {}, {"Cookie": "a=1"}, {**part, "Cookie": "a=1"}):
        assert door.get("/p", headers).body == (b"part" if name in headers else b"page")
    assert door.calls == 2
    # A forged value gets the page, which is not served to those who ask for the part.
    assert door.get("/p", {name: "forged"}).body == b"page"
    assert door.get("/p", part).body == b"part"


@pytest.mark.parametrize("name", ["HX-Current-URL", "X-Turbo-Request-Id"])
def test_what_differs_in_every_request_is_removed(open_door: OpenDoor, name: str) -> None:
    door = open_door({"/p": echo(name)})
    for value in ("1", "2"):
        assert door.get("/p", {name: value, "HX-Request": "true"}).body == f"{name}=None".encode()
    assert door.calls == 1


def test_a_route_that_needs_the_current_page_varies_on_it(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo("hx-current-url")}, vary=["HX-Current-URL"])
    for page in ("/a", "/b", "/a"):
        reply = door.get("/p", {"HX-Current-URL": page})
        assert reply.body == f"hx-current-url={page}".encode()
    assert door.calls == 2
