"""What is kept and for how long: statuses, and what the response itself says."""

from __future__ import annotations

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import MANY_FIELDS
from .language import Said, numbered

KEPT = {200, 203, 301, 308}
NEVER = (201, 202, 204, 205, 302, 303, 307, 400, 401, 403, 404, 405, 410, 429, 500, 502, 503)


def answers(status: int) -> Said:
    """Make an answer that its status allows."""
    headers = [("Location", "/elsewhere")] if 300 <= status < 400 else []
    return Said(status=status, body=b"" if status in (204, 205) else b"answer", headers=headers)


@pytest.mark.parametrize("status", sorted({*KEPT, *NEVER}))
def test_a_routes_ttl_keeps_these_statuses_only(open_door: OpenDoor, status: int) -> None:
    door = open_door({"/p": lambda _: answers(status)})
    replies = [door.get("/p") for _ in range(2)]
    assert [reply.status for reply in replies] == [status] * 2
    assert replies[0].body == replies[1].body == answers(status).body
    assert door.calls == (1 if status in KEPT else 2)


@pytest.mark.parametrize("kind", ["asgi", "wsgi"], indirect=True)
@pytest.mark.parametrize("status", [100, 101, 103, 199, 600, 999])
@pytest.mark.parametrize("ttl", ["60s", "response"])
def test_a_status_that_is_not_final_is_not_kept(open_door: OpenDoor, status: int, ttl: str) -> None:
    """RFC 9110 15, 15.2. Frameworks refuse most of these."""
    fields = [("Cache-Control", "public, max-age=60")]
    door = open_door({"/p": numbered(status=status, headers=fields)}, ttl=ttl, negative_ttl="9s")
    assert [door.get("/p").calls for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("kind", ["asgi", "wsgi", "starlette"], indirect=True)
@pytest.mark.parametrize("lengths", [["8", "9"], ["8", "8"], ["9", "8"]])
def test_two_lengths_are_not_kept(open_door: OpenDoor, lengths: list[str]) -> None:
    """RFC 9110 8.6. The body has 8 bytes. Flask puts the right length in place of any other."""
    fields = [("Content-Length", each) for each in lengths]
    door = open_door({"/p": numbered(headers=fields)})
    assert [door.get("/p").calls for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("kind", ["asgi", "wsgi", "django-sync", "django-async"], indirect=True)
@pytest.mark.parametrize("length", ["8, 8", "+8", "-8", "8.0", "eight", ""])
def test_a_length_that_is_no_number_is_not_kept(open_door: OpenDoor, length: str) -> None:
    door = open_door({"/p": numbered(headers=[("Content-Length", length)])})
    assert [door.get("/p").calls for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("status", [404, 410])
def test_negative_ttl_keeps_what_is_not_there(
    open_door: OpenDoor, clock: FakeClock, status: int
) -> None:
    door = open_door({"/p": numbered(status=status)}, negative_ttl="5s")
    assert [door.get("/p").status, door.get("/p").calls] == [status, 1]
    clock.advance(5)
    assert door.get("/p").body == b"answer 2"


@pytest.mark.parametrize("status", [400, 403, 405, 429, 500, 503])
def test_negative_ttl_keeps_no_other_error(open_door: OpenDoor, status: int) -> None:
    door = open_door({"/p": numbered(status=status)}, negative_ttl="5s")
    door.get("/p")
    assert door.get("/p").calls == 2


@pytest.mark.parametrize(
    ("says", "seconds"),
    [
        ("", 60),
        ("max-age=10", 10),
        ("max-age=600", 600),
        ("max-age=600, s-maxage=20", 20),
        ("public, MAX-AGE=10", 10),
        ('max-age="10"', 10),
        ("max-age=10, max-age=90", 10),
    ],
)
def test_the_responses_own_lifetime_wins_over_the_routes(
    open_door: OpenDoor, clock: FakeClock, says: str, seconds: int
) -> None:
    door = open_door({"/p": numbered(headers=[("Cache-Control", says)] if says else [])})
    door.get("/p")
    clock.advance(seconds - 1)
    assert door.get("/p").calls == 1
    clock.advance(1)
    assert door.get("/p").calls == 2


@pytest.mark.parametrize(
    "says", ["max-age=0", "max-age=-1", "max-age=soon", "s-maxage=0, max-age=60", "max-age=1.5"]
)
def test_no_lifetime_is_not_kept(open_door: OpenDoor, says: str) -> None:
    door = open_door({"/p": numbered(headers=[("Cache-Control", says)])})
    door.get("/p")
    assert door.get("/p").calls == 2


@pytest.mark.parametrize(
    ("expires", "calls"),
    [
        ("Tue, 14 Nov 2023 22:13:50 GMT", 1),  # 30 s after the fake clock's start
        ("Tue, 14 Nov 2023 22:13:20 GMT", 2),
        ("0", 2),
        ("-1", 2),
        ("Tue, 14 Nov 2090 22:13:50", 2),
    ],
)
def test_expires_is_read_strictly(open_door: OpenDoor, expires: str, calls: int) -> None:
    door = open_door({"/p": numbered(headers=[("Expires", expires)])})
    door.get("/p")
    assert door.get("/p").calls == calls


def test_the_age_that_a_response_came_with_counts(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": numbered(headers=[("Age", "50")])})
    door.get("/p")
    clock.advance(5)
    hit = door.get("/p")
    assert (hit.calls, [v for n, v in hit.headers if n == "age"]) == (1, ["55"])
    clock.advance(5)
    assert door.get("/p").calls == 2


@pytest.mark.parametrize(
    ("status", "says", "kept"),
    [
        (200, "max-age=60", True),
        (404, "max-age=60", True),
        (302, "max-age=60", True),
        (500, "max-age=60", True),
        (200, "public", False),
        (200, "", False),
        (301, "", False),
    ],
)
def test_ttl_response_keeps_what_the_response_allows_and_nothing_else(
    open_door: OpenDoor, status: int, says: str, kept: bool
) -> None:
    fields = [("Cache-Control", says)] if says else []
    config = {"routes": [{"path": "/p", "ttl": "response"}]}
    door = open_door({"/p": numbered(status=status, headers=fields)}, config=config)
    door.get("/p")
    assert door.get("/p").calls == (1 if kept else 2)


FORBIDDEN = [
    "no-store",
    "No-Store",
    "NO-STORE",
    "private",
    "Private",
    "PRIVATE",
    "no-cache",
    "No-Cache",
    "max-age=60, no-store",
    "public, s-maxage=60,PRIVATE",
    "max-age=60 ,  no-cache",
    'private=""',
    'no-cache=","',
    "private=x-one",
    'ext="a, b", no-store',
    'ext="\\", no-store", private',
    ",,no-store,,",
]


@pytest.mark.parametrize("says", FORBIDDEN)
def test_what_the_response_forbids_is_not_kept(open_door: OpenDoor, says: str) -> None:
    routes = [{"path": "/ttl", "ttl": "60s"}, {"path": "/response", "ttl": "response"}]
    fields = [("Cache-Control", says)]
    handlers = {"/ttl": numbered(headers=fields), "/response": numbered(headers=fields)}
    door = open_door(handlers, config={"routes": routes})
    for target in handlers:
        first, second = door.get(target), door.get(target)
        assert (first.body, second.body) == (b"answer 1", b"answer 2")
        assert (first.field("cache-control") or "").strip() == says.strip()


@pytest.mark.parametrize("kind", MANY_FIELDS, indirect=True)
@pytest.mark.parametrize("says", ["no-store", "PRIVATE", "no-cache"])
def test_a_second_line_forbids_too(open_door: OpenDoor, says: str) -> None:
    fields = [("Cache-Control", "public, max-age=60"), ("Cache-Control", says)]
    door = open_door({"/p": numbered(headers=fields)})
    door.get("/p")
    assert door.get("/p").calls == 2


@pytest.mark.parametrize(
    "field",
    [("Vary", "*"), ("Trailer", "X-Sum")],
    ids=["vary-star", "trailers"],
)
def test_what_cannot_be_replayed_is_not_kept(
    open_door: OpenDoor, kind: str, field: tuple[str, str]
) -> None:
    if field[0] == "Trailer" and kind in ("wsgi", "flask", "django-sync"):
        pytest.skip("PEP 3333 forbids hop-by-hop fields to applications")
    door = open_door({"/p": numbered(headers=[field])})
    door.get("/p")
    assert door.get("/p").calls == 2


@pytest.mark.parametrize("name", ["Content-Security-Policy", "Content-Security-Policy-Report-Only"])
@pytest.mark.parametrize(
    "more", [{}, {"Cache-Control": "public, max-age=60"}], ids=["ttl", "public"]
)
def test_a_page_with_a_nonce_is_not_kept(
    open_door: OpenDoor, name: str, more: dict[str, str]
) -> None:
    # Guard: `_refusal` in cachemw.http.storing. A nonce that is served twice protects nobody.
    policy = (name, "default-src 'self'; script-src 'strict-dynamic' 'nonce-R4nd0m'")
    door = open_door({"/p": numbered(headers=[policy, *more.items()])})
    first, second = door.get("/p"), door.get("/p")
    assert (first.body, second.body) == (b"answer 1", b"answer 2")
    assert second.field(name) == policy[1]
    assert door.cache.stats().events["not_stored"] == {"nonce": 2}
    assert len(door.cache.memory) == 0


def test_a_renewal_that_brings_a_nonce_is_not_kept(open_door: OpenDoor, clock: FakeClock) -> None:
    nonce = ("Content-Security-Policy", "style-src 'NONCE-1'")
    said = [Said(headers=[("ETag", '"v"')]), Said(status=304, headers=[("ETag", '"v"'), nonce])]
    door = open_door({"/p": lambda _: said[min(door.calls - 1, 1)]})
    door.get("/p")
    clock.advance(61)
    assert [door.get("/p").calls for _ in range(2)] == [2, 3]


def test_a_response_that_is_not_kept_is_asked_for_each_time_and_once_it_is_kept_no_more(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    said = [Said(status=500), Said(status=500), Said(body=b"well again"), Said(body=b"again")]
    door = open_door({"/p": lambda _: said.pop(0)})
    assert [door.get("/p").status for _ in range(2)] == [500, 500]
    assert [door.get("/p").body for _ in range(2)] == [b"well again"] * 2
    assert door.calls == 3


def test_unlisted_routes_are_untouched(open_door: OpenDoor) -> None:
    fields = [("X-One", "1"), ("Cache-Control", "public, max-age=600")]
    config = {"routes": [{"path": "/listed", "ttl": "60s"}]}
    door = open_door({"/p": numbered(headers=fields), "/listed": numbered()}, config=config)
    sent = {"X-Forwarded-For": "1.2.3.4", "Cookie": "a=1"}
    replies = [door.get("/p?utm_source=x", sent) for _ in range(2)]
    assert [reply.body for reply in replies] == [b"answer 1", b"answer 2"]
    assert (door.seen.field("x-forwarded-for"), door.seen.cookies) == ("1.2.3.4", {"a": "1"})
    assert door.seen.query == "utm_source=x"
    assert {"age", "etag"}.isdisjoint(name for name, _ in replies[1].headers)
    assert len(door.cache.memory) == 0
