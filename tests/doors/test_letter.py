"""The letter of RFC 9111, 9213 and 8246 behind every front door, where nothing else looks."""

from __future__ import annotations

import pytest

from cachemw.http.dates import format_date
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import MANY_FIELDS
from .language import Asked, Said, numbered

RESPONSE = {"ttl": "response"}


# -- targeted fields (RFC 9213) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "hit"),
    [
        pytest.param(
            {"CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store"}, True, id="2.2"
        ),
        pytest.param(
            {"CDN-Cache-Control": "no-store", "Cache-Control": "max-age=60"}, False, id="2"
        ),
        pytest.param({"CDN-Cache-Control": "Bad=", "Cache-Control": "max-age=60"}, True, id="2.1"),
        pytest.param(
            {"Cachemw-Cache-Control": "private", "CDN-Cache-Control": "max-age=60"},
            False,
            id="2.2 ours first",
        ),
        pytest.param({"Other-Cache-Control": "max-age=60"}, False, id="2.2 not in our list"),
    ],
)
def test_a_targeted_field_decides_alone(
    open_door: OpenDoor, fields: dict[str, str], hit: bool
) -> None:
    door = open_door({"/p": numbered(headers=list(fields.items()))}, **RESPONSE)
    sent = door.get("/p")
    for name, value in fields.items():
        assert sent.field(name.lower()) == value, "it is passed on as it is"
    assert door.get("/p").hit is hit


def test_which_fields_are_targeted_is_configured(open_door: OpenDoor) -> None:
    fields = [("Shop-Cache-Control", "max-age=60"), ("CDN-Cache-Control", "no-store")]
    door = open_door(
        {"/p": numbered(headers=fields)},
        settings={"targeted": ["Shop-Cache-Control"]},
        **RESPONSE,
    )
    door.get("/p")
    assert door.get("/p").hit


# -- lifetimes ----------------------------------------------------------------------------------------


def test_a_lifetime_is_guessed_only_where_a_route_says_so(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    """RFC 9111 4.2.2."""
    modified = format_date(clock.time() - 1000).decode()
    fields = [("Last-Modified", modified)]
    routes = [
        {"path": "/guessed", "ttl": "response", "heuristic": 0.1},
        {"path": "/stated", "ttl": "response"},
    ]
    handlers = {"/guessed": numbered(headers=fields), "/stated": numbered(headers=fields)}
    door = open_door(handlers, config={"routes": routes})
    for target in handlers:
        door.get(target)
    clock.advance(99)
    assert door.get("/guessed").hit
    assert not door.get("/stated").hit
    clock.advance(2)
    assert not door.get("/guessed").hit


@pytest.mark.parametrize("age", ["abc", "-7", "7.0", "0, old", "0, 0", "5;a=b", "old, 90"])
def test_an_age_that_is_no_number_does_not_count(open_door: OpenDoor, age: str) -> None:
    """RFC 9111 5.1: the first member of a list counts, and what is invalid is ignored."""
    door = open_door({"/p": numbered(headers=[("Age", age)])})
    door.get("/p")
    assert (door.get("/p").hit, door.get("/p").field("age")) == (True, "0")


@pytest.mark.parametrize("kind", MANY_FIELDS, indirect=True)
def test_the_first_line_of_age_counts(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered(headers=[("Age", "50"), ("Age", "0")])})
    door.get("/p")
    clock.advance(9)
    assert door.get("/p").field("age") == "59"
    clock.advance(1)
    assert not door.get("/p").hit


def test_an_application_that_sends_no_date_ages_by_our_clock(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    expires = format_date(clock.time() + 30).decode()
    door = open_door({"/p": numbered(headers=[("Expires", expires)])}, **RESPONSE)
    door.get("/p")
    clock.advance(29)
    assert door.get("/p").field("age") == "29"
    clock.advance(1)
    assert not door.get("/p").hit


@pytest.mark.parametrize("more", [None, "public", "public, s-maxage=90"])
def test_a_lifetime_by_expires_is_as_long_downstream_as_here(
    open_door: OpenDoor, clock: FakeClock, more: str | None
) -> None:
    """RFC 9111 4.2.1, 5.3: also behind a server that puts a new Date of its own on each answer."""
    fields = [("Expires", format_date(clock.time() + 30).decode())]
    fields += [] if more is None else [("Cache-Control", more)]
    born = format_date(clock.time()).decode()
    door = open_door({"/p": numbered(headers=fields)}, **RESPONSE)
    door.get("/p")
    clock.advance(20)
    hit = door.get("/p")
    assert hit.field("age") == "20"
    assert hit.field("cache-control") == ("max-age=30" if more is None else f"{more}, max-age=30")
    assert [value for name, value in hit.headers if name == "date"] == [born]
    assert [value for name, value in hit.headers if name == "expires"] == [fields[0][1]]


def test_no_date_is_added_to_what_needs_none(open_door: OpenDoor) -> None:
    """Most servers add one of their own, and two are more than a client expects."""
    door = open_door({"/p": numbered(headers=[("Cache-Control", "max-age=60")])})
    door.get("/p")
    hit = door.get("/p")
    assert (hit.field("date"), hit.field("cache-control")) == (None, "max-age=60")


# -- fields that are not stored -------------------------------------------------------------------------


@pytest.mark.parametrize("says", ["private", "no-cache"])
def test_a_field_that_cache_control_names_is_not_stored(open_door: OpenDoor, says: str) -> None:
    """RFC 9111 5.2.2.4, 5.2.2.7."""
    fields = [
        ("Cache-Control", f'max-age=60, {says}="X-User"'),
        ("X-User", "ann"),
        ("X-Other", "1"),
    ]
    door = open_door({"/p": numbered(headers=fields)})
    assert door.get("/p").field("x-user") == "ann"
    hit = door.get("/p")
    assert (hit.hit, hit.field("x-user"), hit.field("x-other")) == (True, None, "1")


# -- Set-Cookie in every path (I1) ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Set-Cookie", "Set-Cookie2"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "HEAD"},
        {"headers": {"Range": "bytes=0-1"}},
        {"headers": {"If-None-Match": '"v1"'}},
        {"headers": {"Cookie": "u=1"}},
        {"headers": {"Authorization": "Basic x"}},
    ],
    ids=["GET", "HEAD", "range", "condition", "cookie", "authorization"],
)
def test_a_cookie_leaves_no_trace(
    open_door: OpenDoor, clock: FakeClock, name: str, asked: dict[str, object]
) -> None:
    plain = Said(
        body=b"for all", headers=[("ETag", '"v1"'), ("Cache-Control", "public, max-age=60")]
    )
    said = [plain]

    def handler(_: Asked) -> Said:
        return said[-1]

    door = open_door({"/p": handler}, stale_if_error="1h")
    door.get("/p")
    clock.advance(61)
    said.append(Said(body=b"for all", headers=[*plain.headers, (name, "sid=secret")]))
    door.get("/p", **asked)
    said.append(plain)
    for _ in range(2):
        reply = door.get("/p")
        assert reply.field(name.lower()) is None
        assert reply.body == b"for all"
    assert b"sid=secret" not in repr([e.headers for e in door.cache.memory.entries()]).encode()


# -- an immutable answer (RFC 8246) -----------------------------------------------------------------------


def test_a_reload_does_not_fetch_an_immutable_answer_again(open_door: OpenDoor) -> None:
    fields = [("Cache-Control", "max-age=60, immutable")]
    door = open_door({"/p": numbered(headers=fields)}, client_directives="honour")
    door.get("/p")
    assert door.get("/p", {"Cache-Control": "max-age=0"}).hit
    assert not door.get("/p", {"Cache-Control": "no-cache"}).hit


# -- variants ------------------------------------------------------------------------------------------------


# -- one reason, three tellers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "uri-miss"),
        ({"Cookie": "u=1"}, "cookie"),
        ({"If-Match": '"a"'}, "precondition"),
        ({"Range": "bytes=0-1"}, "range"),
    ],
)
def test_cache_status_the_log_and_explain_say_the_same(
    open_door: OpenDoor,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    reason: str,
) -> None:
    door = open_door({"/p": numbered()}, settings={"log_levels": {"high": "debug"}})
    told = door.cache.explain("GET", "http://shop.example/p", headers)
    said = door.get("/p", headers).field("cache-status") or ""
    assert told.reason == reason
    assert f"fwd={reason}" in said or f"detail={reason}" in said
    assert f"reason={reason}" in caplog.text
