"""`cache.explain`: what would become of a request and why; the application is not asked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.support.engine import GRACE, ROUTE, Kit, follow, get

URL = "http://shop.example/products/1"


def test_a_miss() -> None:
    kit = Kit()
    told = kit.cache.explain("GET", URL)
    assert (told.outcome, told.reason, told.route) == ("miss", "uri-miss", "products")
    assert told.sentence == "nothing is stored for this request"
    assert "product:1" in told.tags
    assert told.key == kit.asked(get()).key.digest.hex()
    assert told.stored is None
    assert kit.open_flights == 0, "nobody waits for a call that is never made"


def test_the_tags_hold_the_values_of_the_request() -> None:
    kit = Kit({**ROUTE, "vary": ["X-Shelf"], "tags": ["c:{query.u}", "s:{header.x-shelf?}"]})
    told = kit.cache.explain("GET", f"{URL}?u=a%20b&u=c", {"X-Shelf": "9"})
    assert {"c:a%20b", "c:c", "s:9"} <= set(told.tags)
    assert "s:" in kit.cache.explain("GET", URL).tags
    many = "&".join(f"u={number}" for number in range(65))
    assert kit.cache.explain("GET", f"{URL}?{many}").reason == "tag-values"


def test_a_hit_shows_what_is_stored() -> None:
    kit = Kit()
    kit.fill(get(), b"body", (b"vary", b"accept-language"))
    kit.clock.advance(20)
    told = kit.cache.explain("GET", URL)
    assert (told.outcome, told.reason) == ("hit", "fresh")
    assert told.stored is not None
    assert (told.stored.status, told.stored.size, told.stored.age, told.stored.ttl) == (
        200,
        4,
        20,
        40,
    )
    assert told.stored.vary == ("accept-language",)
    assert "stored   200, 4 bytes, age 20 s, ttl 40 s, varies on accept-language" in str(told)


@pytest.mark.parametrize("mount", ["/a b", "/a b/"])
@pytest.mark.parametrize("raw", [b"/a%20b/products/1", b"/products/1"])
def test_a_hit_below_a_mount_is_found_also_if_something_took_the_mount_off(
    mount: str, raw: bytes
) -> None:
    kit = Kit()
    kit.fill(replace(get(mount="/a b"), raw_path=raw))
    assert kit.cache.explain("GET", URL, mount=mount).outcome == "hit"
    told = kit.cache.explain("GET", "/products/2", mount=mount)
    assert told.outcome == "miss"
    assert {"@/a%20b/products/2", "@localhost/a%20b/products/2"} <= set(told.tags)
    assert "@/products/2" not in told.tags
    assert kit.open_flights == 0


def test_a_stale_answer_is_not_renewed_by_asking() -> None:
    kit = Kit(GRACE)
    kit.fill(get(), b"body")
    kit.clock.advance(65)
    told = kit.cache.explain("GET", URL)
    assert (told.outcome, told.reason) == ("stale", "stale")
    assert kit.open_flights == 0


@pytest.mark.parametrize(
    ("method", "url", "headers", "outcome", "reason"),
    [
        ("GET", "/elsewhere", {}, "pass", "no-route"),
        ("POST", "/products/1", {}, "pass", "method"),
        ("GET", "/products/1", {"Cookie": "sid=1"}, "pass", "cookie"),
        ("GET", "/products/1", {"If-Match": "x"}, "pass", "precondition"),
        ("GET", "/products/1", {"Range": "bytes=0-1"}, "miss", "range"),
        ("HEAD", "/products/1", {}, "miss", "method"),
    ],
)
def test_it_says_what_cache_status_would(
    method: str, url: str, headers: dict[str, str], outcome: str, reason: str
) -> None:
    told = Kit().cache.explain(method, url, headers)
    assert (told.outcome, told.reason) == (outcome, reason)
    assert told.sentence


def test_it_shows_what_the_application_would_not_see() -> None:
    kit = Kit({**ROUTE, "cookies": [], "query": ["page"]})
    told = kit.cache.explain(
        "GET", f"{URL}?utm=1&page=2", [("Cookie", "sid=1"), ("X-Forwarded-For", "192.0.2.1")]
    )
    assert told.query == "page=2"
    assert set(told.removed) == {"cookie", "x-forwarded-for"}


def test_it_waits_for_nobody() -> None:
    kit = Kit()
    kit.miss(get())
    follow(kit, get())
    told = kit.cache.explain("GET", URL)
    assert told.reason == "alone"
    assert kit.engine.flights.waiting == 1


def test_a_route_that_is_off() -> None:
    kit = Kit({**ROUTE, "enabled": False})
    assert kit.cache.explain("GET", URL).outcome == "off"


@pytest.mark.parametrize("url", ["", "products/1", "ftp://shop.example/products/1", "mailto:x"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(ValueError, match="give a path"):
        Kit().cache.explain("GET", url)


def test_its_text_hides_no_character() -> None:
    told = Kit().cache.explain("GET", URL)
    evil = replace(told, url="\x1b[2J\n\x9b", route="\u202e", tags=("a\n\u2028",))
    assert len(str(evil).split("\n")) == len(str(told).split("\n"))
    assert str(evil).replace("\n", "").isprintable()
    assert "\\x1b[2J\\n\\x9b" in str(evil)
