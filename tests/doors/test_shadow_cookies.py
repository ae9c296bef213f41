"""Shadow tells what a route would do to cookies: those that it would replace, and what others would gain."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cachemw.engine.model.differences import Shadow

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Handler, Said

SECRET = "s3cret-of-alice"
NO_SITE: Mapping[str, Any] = MappingProxyType({})


def watched(
    open_door: OpenDoor, handler: Handler, site: Mapping[str, Any] = NO_SITE, **options: Any
) -> Door:
    """Mount a page on a route in shadow."""
    settings = {"flags": {"low": "shadow"}, **site}
    return open_door({"/p": handler}, name="it", risk="low", settings=settings, **options)


def sliding(asked: Asked) -> Said:
    """Set the cookie of the session again, as sliding sessions do."""
    sid = asked.cookies.get("sid", "new")
    return Said(body=b"page", headers=[("Set-Cookie", f"sid={sid}"), ("Set-Cookie", "seen=1")])


def test_an_answer_that_would_replace_a_cookie_is_counted_by_its_name(open_door: OpenDoor) -> None:
    door = watched(open_door, sliding, cookies=[])
    for cookie in (f"sid={SECRET}", f"a=1; sid={SECRET}", "a=1", ""):
        door.get("/p", {"Cookie": cookie} if cookie else {})
    stats = door.cache.stats()
    assert stats.forecasts["it"]["replaced"] == 2
    assert stats.differences == {"it": {"cookie sid": 2}}
    assert stats.events["shadow_mismatch"] == {"cookie": 2}
    assert stats.refused["it"] == {"cookie-conflict": 2, "set-cookie": 2}
    assert SECRET not in repr(stats)
    door.ask(Call(target="/p", method="HEAD", headers=[("Cookie", "sid=1")]))
    assert door.cache.mismatches.report() == {"it": {"cookie sid": 3}}


def test_a_cookie_in_the_key_is_not_replaced(open_door: OpenDoor) -> None:
    door = watched(open_door, sliding, cookies=["sid"])
    door.get("/p", {"Cookie": "sid=1; a=1"})
    assert "replaced" not in door.cache.stats().forecasts["it"]


def gained(door: Door) -> dict[str, int]:
    """Give the forecast of the route, where all of its requests were tried with other lists."""
    counts = door.cache.stats().forecasts["it"]
    assert counts.pop("default_requests") == counts["requests"]
    return counts


BROWSERS = ["_ga=1", "theme=dark; _ga=2", "consent=yes", ""]


def visit(door: Door, *cookies: str) -> None:
    for cookie in cookies:
        door.get("/p", {"Cookie": cookie} if cookie else {})


def test_what_the_default_cookies_would_gain_is_counted_beside(open_door: OpenDoor) -> None:
    """By default each cookie makes its visitor personal: only analytics are removed."""
    door = watched(open_door, lambda asked: Said(body=b"page"))
    visit(door, *BROWSERS, *BROWSERS, "sessionid=ann; theme=dark")
    assert gained(door) == {"requests": 9, "hits": 3, "default_hits": 7}
    assert door.cache.mismatches.report() == {}


def test_what_they_would_break_is_counted_too(open_door: OpenDoor) -> None:
    door = watched(open_door, lambda asked: Said(body=str(asked.cookies.get("theme")).encode()))
    visit(door, "", "theme=dark", "theme=dark", "")
    assert gained(door) == {"requests": 4, "hits": 1, "default_hits": 3, "default_wrong": 2}


def test_of_a_visitor_who_bypasses_it_is_counted_as_well(open_door: OpenDoor) -> None:
    site = {"personal_cookies": ["sid"]}
    handler = lambda asked: Said(body=b"page")  # noqa: E731
    door = watched(open_door, handler, site, personal_cookies=["sid", "theme"])
    visit(door, "", "theme=dark", "sid=ann")
    assert gained(door) == {"requests": 3, "default_hits": 1}


def test_a_route_that_has_the_default_cookies_is_tried_with_no_others(open_door: OpenDoor) -> None:
    door = watched(open_door, lambda asked: Said(body=b"page"), {"personal_cookies": ["sid"]})
    visit(door, "", "theme=dark", "sid=ann")
    assert door.cache.stats().forecasts["it"] == {"requests": 3, "hits": 1}
    held = door.cache._core.shadows._shadows
    assert len(held) == 1


def test_what_is_tried_is_purged_varies_and_is_no_hit_of_the_route(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        language = asked.field("accept-language") or ""
        return Said(body=language.encode(), headers=[("Vary", "Accept-Language")])

    door = watched(open_door, handler, tags=["page"])
    for language in ("de", "en", "de"):
        door.get("/p", {"Cookie": "theme=dark", "Accept-Language": language})
    assert gained(door) == {"requests": 3, "default_hits": 1}
    door.cache.purge(tags=["page"])
    door.get("/p", {"Cookie": "theme=dark", "Accept-Language": "de"})
    assert gained(door) == {"requests": 4, "default_hits": 1}
    held: list[Shadow] = list(door.cache._core.shadows._shadows.values())
    assert b"dark" not in repr(held).encode()


def test_what_is_tried_is_held_apart_also_where_it_has_the_same_cookies(
    open_door: OpenDoor,
) -> None:
    """Guard: the mark in the keys of `proposing.propose`."""
    door = watched(open_door, lambda asked: Said(body=b"page"), cookies=["lang"], vary=["X-Shelf"])
    door.get("/p", {"Cookie": "lang=de", "X-Shelf": "9"})
    assert len(door.cache._core.shadows._shadows) == 2


def test_an_answer_that_sets_a_cookie_would_not_be_kept_either(open_door: OpenDoor) -> None:
    door = watched(open_door, sliding)
    visit(door, "sid=ann", "sid=bob")
    assert gained(door) == {"requests": 2}
