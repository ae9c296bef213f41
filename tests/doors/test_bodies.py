"""Requests with a body: answered by what was made for the same body, where a route says so."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from cachemw.engine.model.keys import KeyMaker
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Fields, Handler, Reply, Said, numbered, pairs_of

RAW: dict[str, Any] = {"methods": ["GET", "POST", "QUERY"], "body": "raw"}
LIMIT = 64
SIZES = [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT]

pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # wsgiref's validator


def post(door: Door, body: bytes, headers: Fields = (), **further: Any) -> Reply:
    call = {"target": "/p", "method": "POST", "body": body, "headers": pairs_of(headers)}
    return door.ask(Call(**{**call, **further}))


def echo(asked: Asked) -> bytes:
    return b"body=" + asked.body


def test_a_body_is_answered_by_what_was_made_for_it(open_door: OpenDoor) -> None:
    # Guard: `body_part` in cachemw.engine.request.keying.
    door = open_door({"/p": echo}, **RAW)
    for body in (b"one", b"two", b"", b"one", b"two", b""):
        assert post(door, body).body == b"body=" + body
    assert door.calls == 3
    assert post(door, b"one").hit


def test_methods_share_nothing(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, **RAW)
    methods = ["GET", "POST", "QUERY"]
    for _ in range(2):
        bodies = [door.ask(Call(target="/p", method=method)).body for method in methods]
        assert bodies == [b"answer 1", b"answer 2", b"answer 3"]
    assert door.get("/p", method="HEAD").hit  # of the GET
    assert post(door, b"x", method="QUERY").body == b"answer 4"
    assert post(door, b"x").body == b"answer 5"


def test_a_head_is_never_answered_from_a_post(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, methods=["POST"], body="raw")
    assert [post(door, b"").hit for _ in range(2)] == [False, True]
    assert not door.get("/p", method="HEAD").hit
    assert not door.get("/p").hit
    assert post(door, b"").hit


@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding"])
def test_what_a_body_is_tells_it_apart(open_door: OpenDoor, name: str) -> None:
    door = open_door({"/p": numbered()}, **RAW)
    sent: list[dict[str, str]] = [{}, {name: "application/json"}, {name: "text/plain"}]
    for _ in range(2):
        bodies = [post(door, b"same", fields).body for fields in sent]
        assert bodies == [b"answer 1", b"answer 2", b"answer 3"]


def test_a_get_with_the_same_body_gets_nothing_of_a_post(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo}, **RAW)
    for _ in range(2):
        post(door, b"evil")
        assert not post(door, b"evil", method="GET").hit
    assert door.get("/p").body == b"body="


# -- reading and replaying -------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", [0, 1, 7], ids=["whole", "bytes", "pieces"])
def test_the_application_gets_every_byte(open_door: OpenDoor, size: int, split: int) -> None:
    # Guards: Incoming.__call__ and read_stream in cachemw.frontdoor.request_body.
    door = open_door({"/p": echo}, **RAW, body_limit=LIMIT)
    body = bytes(range(size))
    replies = [post(door, body, split=split) for _ in range(2)]
    assert [reply.body for reply in replies] == [b"body=" + body] * 2
    assert [reply.hit for reply in replies] == [False, size <= LIMIT]
    if size > LIMIT:
        assert replies[1].detail == "body-limit"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", [0, 1, 7], ids=["whole", "bytes", "pieces"])
def test_a_body_may_come_without_its_length(
    open_door: OpenDoor, kind: str, size: int, split: int
) -> None:
    door = open_door({"/p": echo}, **RAW, body_limit=LIMIT)
    body = bytes(range(size))
    replies = [post(door, body, split=split, chunked=True) for _ in range(2)]
    if kind == "django-sync":  # which reads no chunked bodies, so that neither do we
        assert [(reply.body, reply.detail) for reply in replies] == [(b"body=", "body")] * 2
        return
    assert [reply.body for reply in replies] == [b"body=" + body] * 2
    assert [reply.hit for reply in replies] == [False, size <= LIMIT]


@pytest.mark.parametrize("size", [0, 5, LIMIT + 5])
@pytest.mark.parametrize("split", [0, 2])
def test_a_client_that_goes_away_leaves_nothing(open_door: OpenDoor, size: int, split: int) -> None:
    door = open_door({"/p": echo}, **RAW, body_limit=LIMIT)
    for chunked in (False, True):
        post(door, b"x" * 2 * LIMIT, split=split, cut=size, chunked=chunked)
        post(door, b"x" * LIMIT, split=split, cut=size - 1 if size > LIMIT else size)
    assert door.idle()
    assert post(door, b"x" * LIMIT).body == b"body=" + b"x" * LIMIT


def test_a_body_that_is_cut_short_is_not_cached(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo}, **RAW)
    post(door, b"whole", cut=3)
    assert len(door.cache.memory) == 0
    assert not post(door, b"who").hit


def test_a_body_is_not_read_where_nothing_keys_it(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo}, **RAW, name="it", settings={"route_flags": {"it": "off"}})
    assert [post(door, b"body").detail for _ in range(2)] == ["off", "off"]
    door.cache.flags.set({"route:it": "on"})
    for fields, detail in (
        ({"X-HTTP-Method-Override": "DELETE"}, "method-override"),
        ({"If-None-Match": '"a"'}, "precondition"),
        ({"If-Match": '"a"'}, "precondition"),
    ):
        reply = post(door, b"body", fields)
        assert (reply.body, reply.detail) == (b"body=body", detail)
    assert len(door.cache.memory) == 0


def test_a_fault_of_ours_costs_no_byte(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I3."""
    door = open_door({"/p": echo}, **RAW, body_limit=LIMIT)

    def fail(*args: Any) -> bytes:
        raise LookupError

    monkeypatch.setattr(KeyMaker, "conceal", fail)
    for size in (5, LIMIT + 1):
        assert post(door, b"x" * size, split=3).body == b"body=" + b"x" * size


# -- like any other answer -------------------------------------------------------------------------


def test_a_refresh_sends_the_body_again(open_door: OpenDoor, clock: FakeClock) -> None:
    count = itertools.count(1)
    door = open_door(
        {"/p": lambda asked: b"%d %s" % (next(count), asked.body)},
        **RAW,
        stale_while_revalidate="30s",
    )
    for method in ("POST", "QUERY"):
        before = door.calls
        post(door, b"body", method=method)
        clock.advance(61)
        assert post(door, b"body", method=method).detail == "stale"
        door.until(lambda before=before: door.calls == before + 2 and door.idle())
        assert door.seen.body == b"body"
        assert door.seen.method == method
        hit = post(door, b"body", method=method)
        assert (hit.detail, hit.body) == ("memory", b"%d body" % door.calls)


def test_a_chunked_body_is_sent_again_too(open_door: OpenDoor, kind: str, clock: FakeClock) -> None:
    if kind == "django-sync":
        pytest.skip("reads no chunked bodies")
    door = open_door({"/p": echo}, **RAW, stale_while_revalidate="30s")
    post(door, b"body", chunked=True)
    clock.advance(61)
    assert post(door, b"body", chunked=True).detail == "stale"
    door.until(lambda: door.calls == 2 and door.idle())
    assert door.seen.body == b"body"


def test_requests_at_once_share_a_call_by_their_body(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": lambda asked: Said(body=asked.body, wait=gate)}, **RAW)
    calls = [Call(target="/p", method="POST", body=body) for body in (b"a", b"b", b"a", b"b")]
    replies = door.together(calls, when=door.waiting(2), then=gate.set)
    assert [reply.body for reply in replies] == [b"a", b"b", b"a", b"b"]
    assert (door.calls, door.idle()) == (2, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"Cookie": "sid=1"}, {}),
        ({"Authorization": "Bearer t"}, {}),
        ({}, {"headers": [("Set-Cookie", "sid=1")]}),
        ({}, {"headers": [("Cache-Control", "private")]}),
        ({}, {"status": 500}),
    ],
    ids=["cookie", "authorization", "set-cookie", "private", "error"],
)
def test_what_is_private_stays_so(
    open_door: OpenDoor, fields: dict[str, str], said: dict[str, Any]
) -> None:
    """I1."""
    door = open_door({"/p": numbered(**said)}, **RAW)
    for number in (1, 2):
        assert post(door, b"same", fields).body == b"answer %d" % number
    assert len(door.cache.memory) == 0


def test_people_have_answers_of_their_own(open_door: OpenDoor) -> None:
    """I1."""
    door = open_door({"/p": numbered()}, **RAW, identity="tests.doors.identities:principal")
    bodies = [post(door, b"same", {"X-User": user}).body for user in ("a", "b", "a", "b")]
    assert bodies == [b"answer 1", b"answer 2"] * 2
    assert post(door, b"same").detail == "identity"


def test_declared_fields_and_cookies_count(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()}, **RAW, vary=["Accept-Language"], cookies=["c"])
    sent = [{}, {"Accept-Language": "fr"}, {"Cookie": "c=1"}, {"Cookie": "c=1; other=2"}]
    for _ in range(2):
        bodies = [post(door, b"same", fields).body for fields in sent]
        assert bodies == [b"answer 1", b"answer 2", b"answer 3", b"answer 3"]


def test_an_answer_may_vary(open_door: OpenDoor) -> None:
    said = [("Vary", "Accept-Language")]
    door = open_door(
        {"/p": lambda asked: Said(body=str(asked.field("accept-language")).encode(), headers=said)},
        **RAW,
    )
    for language in ("fr", "de", "fr", "de"):
        assert post(door, b"x", {"Accept-Language": language}).body == language.encode()
    assert door.calls == 2


def test_a_purge_by_url_or_tag_finds_what_was_posted(open_door: OpenDoor) -> None:
    """I5."""
    door = open_door({"/p": numbered()}, **RAW, tags=["shelf"])
    for number, purge in enumerate(({"urls": ["/p"]}, {"tags": ["shelf"]}), 1):
        assert post(door, b"x").body == b"answer %d" % number
        assert post(door, b"x").hit
        door.cache.purge(**purge)
    assert post(door, b"x").body == b"answer 3"


def test_what_is_cached_changes_nothing(open_door: OpenDoor) -> None:
    """RFC 9111 4.4 is for methods that the route does not declare to be cached."""
    door = open_door({"/p": numbered()}, **RAW, body_limit=LIMIT)
    door.get("/p")
    post(door, b"x")
    post(door, b"x" * (LIMIT + 1))
    assert door.get("/p").hit
    assert post(door, b"x").hit
    door.ask(Call(target="/p", method="PUT"))
    assert not door.get("/p").hit
    assert not post(door, b"x").hit


def tagged(asked: Asked) -> Said:
    fields = [("ETag", '"v1"'), ("Last-Modified", "Thu, 01 Jan 1970 00:00:01 GMT")]
    return Said(body=b"the whole answer", headers=fields)


def test_a_query_is_answered_by_a_304_and_a_post_never(open_door: OpenDoor) -> None:
    """RFC 9110 13.1.2, 13.1.3; on a miss and on a hit."""
    door = open_door({"/p": tagged}, **RAW)
    since = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    for method, status in (("QUERY", 304), ("POST", 200)):
        replies = [post(door, b"x", since, method=method) for _ in range(2)]
        assert [reply.status for reply in replies] == [status] * 2
        reply = post(door, b"x", {"If-None-Match": '"v1"'}, method=method)
        assert (reply.status, reply.hit) == (status, method == "QUERY")


def test_a_range_is_of_a_get_alone(open_door: OpenDoor) -> None:
    """RFC 9110 14.2."""
    door = open_door({"/p": tagged}, **RAW)
    for method in ("POST", "QUERY"):
        post(door, b"x", method=method)
        reply = post(door, b"x", {"Range": "bytes=0-2"}, method=method)
        assert (reply.status, reply.body, reply.hit) == (200, b"the whole answer", True)


def validating(tag: str) -> Handler:
    def handler(asked: Asked) -> Said:
        if asked.field("if-none-match") == tag:
            return Said(status=304, body=b"", headers=[("ETag", tag)])
        return Said(body=asked.body, headers=[("ETag", tag)])

    return handler


def test_a_stale_query_is_validated_and_a_stale_post_asked_anew(
    open_door: OpenDoor, clock: FakeClock
) -> None:
    """RFC 9111 4.3.1."""
    door = open_door({"/p": validating('"v1"')}, **RAW)
    for method, asked in (("QUERY", '"v1"'), ("POST", None)):
        post(door, b"x", method=method)
        clock.advance(61)
        reply = post(door, b"x", method=method)
        assert (reply.status, reply.body) == (200, b"x")
        assert (door.seen.field("if-none-match"), door.seen.body) == (asked, b"x")


def test_explain_understands_bodies(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo}, **RAW, body_limit=LIMIT)
    host = {"Host": "shop.example"}

    def said(body: bytes, method: str = "POST") -> tuple[str, str]:
        told = door.cache.explain(method, "/p", host, body=body)
        return told.outcome, told.reason

    assert said(b"one") == ("miss", "uri-miss")
    post(door, b"one")
    assert said(b"one") == ("hit", "fresh")
    assert said(b"two") == ("miss", "uri-miss")
    assert said(b"x" * (LIMIT + 1)) == ("pass", "body-limit")
    assert said(b"one", "GET") == ("pass", "body")
    assert door.calls == 1
