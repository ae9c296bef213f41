"""Hits and misses: what is served again, and what the client is told of it."""

from __future__ import annotations

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import ASGI_APPS, MANY_FIELDS
from .language import Reply, Said, numbered, streamed

OURS = {"age", "cache-status", "content-length", "etag"}


def told(reply: Reply) -> list[tuple[str, str]]:
    """Give the fields that are the application's own."""
    return [pair for pair in reply.headers if pair[0] not in OURS]


def test_a_second_request_is_answered_without_the_application(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    miss, hit = door.get("/p"), door.get("/p")
    assert (miss.status, miss.body, miss.hit, miss.calls) == (200, b"answer 1", False, 1)
    assert (hit.status, hit.body, hit.hit, hit.calls) == (200, b"answer 1", True, 1)


def test_age_counts_from_the_call_of_the_application(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered()})
    assert door.get("/p").field("age") is None
    for seconds in (0, 1, 40):
        clock.advance(seconds)
        assert door.get("/p").field("age") == str(int(clock.monotonic() - 1000))


def test_an_answer_is_gone_when_its_lifetime_is_over(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered()})
    door.get("/p")
    clock.advance(59.9)
    assert door.get("/p").body == b"answer 1"
    clock.advance(0.1)
    assert door.get("/p").body == b"answer 2"


def test_cache_status_says_what_the_cache_did(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered(), "/private": numbered(headers=[("Set-Cookie", "a=1")])})
    assert (door.get("/p").field("cache-status") or "").startswith("cachemw; fwd=uri-miss")
    clock.advance(10)
    assert door.get("/p").field("cache-status") == "cachemw; hit; ttl=50; detail=memory"
    assert "stored" not in (door.get("/private").field("cache-status") or "")
    passed = door.get("/p", {"If-Match": '"a"'}).field("cache-status")
    assert passed == "cachemw; fwd=bypass; detail=precondition"


def test_x_cache_is_sent_when_asked_for(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, settings={"x_cache": True})
    asked = ["/p", "/p"]
    assert [door.get(target).field("x-cache") for target in asked] == ["MISS", "HIT"]
    assert door.get("/p", {"If-Match": '"a"'}).field("x-cache") == "BYPASS"


def test_a_hit_has_the_fields_of_the_miss_in_their_order(open_door: OpenDoor) -> None:
    fields = [("X-One", "1"), ("Content-Language", "de"), ("X-Two", "a, b"), ("Link", "</a>; x=y")]
    door = open_door({"/p": numbered(headers=fields)})
    miss, hit = door.get("/p"), door.get("/p")
    assert hit.hit
    assert told(hit) == told(miss)
    stated = [(name.lower(), value) for name, value in fields]
    assert [pair for pair in told(hit) if pair in stated] == stated
    assert hit.field("etag") == miss.field("etag")


@pytest.mark.parametrize("kind", MANY_FIELDS, indirect=True)
def test_a_field_on_two_lines_stays_on_two_lines_in_order(open_door: OpenDoor) -> None:
    fields = [("Link", "</b>"), ("X-Mid", "1"), ("Link", "</a>"), ("Link", "</b>")]
    door = open_door({"/p": numbered(headers=fields)})
    for reply in (door.get("/p"), door.get("/p")):
        names = ("link", "x-mid")
        kept = [pair for pair in reply.headers if pair[0] in names]
        assert kept == [(name.lower(), value) for name, value in fields]
    assert door.calls == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff\xfe\r\n\r\n", bytes(range(256)) * 300],
    ids=["empty", "control", "77kB"],
)
def test_bytes_are_identical(open_door: OpenDoor, body: bytes) -> None:
    door = open_door({"/p": lambda asked: Said(body=body)})
    miss, hit = door.get("/p"), door.get("/p")
    assert (miss.body, hit.body, hit.calls) == (body, body, 1)
    assert hit.field("content-length") == str(len(body))


def test_a_streamed_answer_is_kept_whole(open_door: OpenDoor) -> None:
    door = open_door({"/p": streamed(b"one ", b"two ", b"three")})
    miss, hit = door.get("/p"), door.get("/p")
    assert (miss.body, hit.body, hit.calls) == (b"one two three", b"one two three", 1)
    assert (hit.field("content-length"), hit.hit) == ("13", True)


@pytest.mark.parametrize("kind", [*ASGI_APPS, "django-async"], indirect=True)
def test_fields_of_one_connection_are_not_replayed(open_door: OpenDoor) -> None:
    """RFC 9110 7.6.1. PEP 3333 forbids applications to send them."""
    fields = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "3"), ("X-Kept", "1")]
    door = open_door({"/p": numbered(headers=fields)})
    door.get("/p")
    hit = door.get("/p")
    assert (hit.hit, hit.field("x-kept")) == (True, "1")
    assert not {"connection", "x-hop", "keep-alive"} & {name for name, _ in hit.headers}


# -- validators ------------------------------------------------------------------------------------


def test_an_entity_tag_is_made_of_the_bytes(open_door: OpenDoor) -> None:
    door = open_door({"/a": lambda _: b"same", "/b": lambda _: b"same", "/c": lambda _: b"other"})
    a, b, c = (door.get(target).field("etag") for target in ("/a", "/b", "/c"))
    assert a is not None
    assert a.startswith('"')
    assert (a == b, a == c) == (True, False)


def test_the_applications_own_entity_tag_stays(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("ETag", 'W/"v1"')])})
    assert [door.get("/p").field("etag") for _ in range(2)] == ['W/"v1"', 'W/"v1"']


@pytest.mark.parametrize("stored", [False, True], ids=["on a miss", "on a hit"])
@pytest.mark.parametrize(
    ("own", "condition", "status"),
    [
        (None, "{etag}", 304),
        (None, "W/{etag}", 304),
        (None, '"no", {etag}', 304),
        (None, "*", 304),
        (None, '"no"', 200),
        ('"v1"', '"v1"', 304),
        ('W/"v1"', '"v1"', 304),
        ('"v1"', '"v2"', 200),
        ('"a,b"', '"a,b"', 304),
    ],
)
def test_if_none_match(  # RFC 9110 §13.1.2
    open_door: OpenDoor, own: str | None, condition: str, status: int, stored: bool
) -> None:
    fields = [("Content-Language", "de"), *([("ETag", own)] if own else [])]
    door = open_door({"/p/{n}": lambda _: Said(body=b"same", headers=fields)})
    etag = door.get("/p/1").field("etag") or ""
    asked = {"If-None-Match": condition.format(etag=etag)}
    reply = door.get("/p/1" if stored else "/p/2", asked)
    assert (reply.status, reply.calls) == (status, 1 if stored else 2)
    assert reply.body == (b"" if status == 304 else b"same")
    assert reply.field("etag") == etag
    if status == 304:  # RFC 9110 §15.4.5
        assert {"content-type", "content-language", "content-length"}.isdisjoint(
            name for name, _ in reply.headers
        )


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Sat, 29 Oct 1994 19:43:31 GMT", 304),
        ("Sat, 29 Oct 1994 19:43:32 GMT", 304),
        ("Sat, 29 Oct 1994 19:43:30 GMT", 200),
        ("yesterday", 200),
    ],
)
def test_if_modified_since(open_door: OpenDoor, since: str, status: int) -> None:
    modified = [("Last-Modified", "Sat, 29 Oct 1994 19:43:31 GMT")]
    door = open_door({"/p": numbered(headers=modified)})
    asked = {"If-Modified-Since": since}
    assert [door.get("/p", asked).status for _ in range(3)] == [status] * 3
    assert door.calls == 1


def test_a_condition_does_not_keep_the_full_answer_out_of_the_cache(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("ETag", '"v1"')])})
    assert door.get("/p", {"If-None-Match": '"v1"'}).status == 304
    assert door.seen.field("if-none-match") is None
    whole = door.get("/p")
    assert (whole.status, whole.body, whole.calls) == (200, b"answer 1", 1)


def test_conditions_reach_an_application_that_the_cache_does_not_stand_before(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/p": numbered()}, config={"routes": [{"path": "/other", "ttl": "60s"}]})
    door.get("/p", {"If-None-Match": '"v1"'})
    assert door.seen.field("if-none-match") == '"v1"'


# -- HEAD ------------------------------------------------------------------------------------------


def test_head_is_answered_from_a_stored_get(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered(headers=[("X-One", "1")])})
    got, head = door.get("/p"), door.get("/p", method="HEAD")
    assert (head.status, head.body, head.hit, head.calls) == (200, b"", True, 1)
    assert (head.field("x-one"), head.field("content-length")) == ("1", str(len(got.body)))
    assert head.field("etag") == got.field("etag")


def test_head_that_nothing_is_stored_for_stores_nothing(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    assert door.get("/p", method="HEAD").calls == 1
    assert door.seen.method == "HEAD"
    assert (door.get("/p").body, door.calls) == (b"answer 2", 2)


def test_head_can_be_conditional(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    etag = door.get("/p").field("etag") or ""
    head = door.get("/p", {"If-None-Match": etag}, method="HEAD")
    assert (head.status, head.body, head.calls) == (304, b"", 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_go_to_the_application_and_store_nothing(
    open_door: OpenDoor, method: str
) -> None:
    door = open_door({"/p": numbered()})
    assert door.get("/p", method=method, body=b"x").body == b"answer 1"
    assert door.get("/p").body == b"answer 2"
    sent = door.get("/p", method=method, body=b"x")
    assert (sent.body, door.seen.body, sent.hit) == (b"answer 3", b"x", False)
