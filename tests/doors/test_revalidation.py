"""Stale answers that the application gave a validator for: it is asked if they are current."""

from __future__ import annotations

import itertools

import pytest

from cachemw.engine.core.effects import SharedWrite
from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Handler, Said

TAG = '"v1"'


def validating(*, tag: str = TAG, extra: list[tuple[str, str]] | None = None) -> Handler:
    """Make a handler that answers 304 to its own entity tag; every answer carries its number."""
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        fields = [("ETag", tag), ("X-Number", str(next(count))), *(extra or [])]
        if asked.field("if-none-match") == tag:
            return Said(status=304, body=b"", headers=fields)
        return Said(body=b"the whole answer", headers=fields)

    return handler


def test_a_304_renews_the_stored_answer(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": validating()})
    door.get("/p")
    clock.advance(61)
    renewed = door.get("/p")
    assert (renewed.status, renewed.body) == (200, b"the whole answer")
    assert renewed.field("x-number") == "2"
    assert renewed.field("cache-status") == "cachemw; fwd=stale; fwd-status=304; ttl=60; stored"
    hit = door.get("/p")
    assert (hit.hit, hit.body, hit.field("x-number")) == (True, b"the whole answer", "2")
    assert door.calls == 2


@pytest.mark.parametrize("again", ['"2"', None], ids=["a condition", "none"])
def test_a_304_about_another_answer_renews_nothing(
    open_door: OpenDoor, clock: FakeClock, again: str | None
) -> None:
    """RFC 9111 4.3.4. The guards are `matches` in `validated`, and that the application is asked again."""

    def changed(asked: Asked) -> Said:
        if asked.field("if-none-match") is None:
            count = next(numbers)
            return Said(body=b"answer %d" % count, headers=[("ETag", f'"{count}"')])
        return Said(status=304, body=b"", headers=[("ETag", '"2"')])

    numbers = itertools.count(1)
    door = open_door({"/p": changed})
    door.get("/p")
    clock.advance(61)
    reply = door.get("/p", {"If-None-Match": again} if again else {})
    if again:  # the second time, the application is asked what the client has asked
        assert (reply.status, reply.body, reply.field("etag")) == (304, b"", '"2"')
    else:
        assert (reply.status, reply.body, reply.field("etag")) == (200, b"answer 2", '"2"')
    asked = [each.field("if-none-match") for each in door.origin.asked]
    assert asked == [None, '"1"', again]
    assert door.get("/p").body == (b"answer 2" if again else b"answer 3")
    assert door.get("/p").hit


def test_the_client_gets_its_own_304(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": validating()})
    door.get("/p")
    clock.advance(61)
    reply = door.get("/p", {"If-None-Match": TAG})
    assert (reply.status, reply.body, reply.field("etag")) == (304, b"", TAG)
    assert door.get("/p").hit


def test_no_cache_answers_are_asked_about_every_time(open_door: OpenDoor) -> None:
    door = open_door({"/p": validating(extra=[("Cache-Control", "no-cache")])})
    replies = [door.get("/p") for _ in range(3)]
    assert [reply.body for reply in replies] == [b"the whole answer"] * 3
    assert [reply.field("x-number") for reply in replies] == ["1", "2", "3"]
    assert [asked.field("if-none-match") for asked in door.origin.asked] == [None, TAG, TAG]


def test_a_cookie_in_a_304_reaches_one_client(open_door: OpenDoor, clock: FakeClock) -> None:
    """I1."""
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        if asked.field("if-none-match") == TAG:
            cookies = [("Set-Cookie", f"sid={next(count)}"), ("Set-Cookie", "theme=dark")]
            return Said(status=304, body=b"", headers=[("ETag", TAG), *cookies])
        return Said(body=b"whole", headers=[("ETag", TAG)])

    door = open_door({"/p": handler})
    door.get("/p")
    clock.advance(61)
    first, second = door.get("/p"), door.get("/p")
    assert [each.body for each in (first, second)] == [b"whole"] * 2
    cookies = [
        [value.partition(";")[0] for name, value in each.headers if name == "set-cookie"]
        for each in (first, second)
    ]
    assert cookies == [["sid=1", "theme=dark"], ["sid=2", "theme=dark"]]


def test_a_refresh_in_the_background_asks_too(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": validating()}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    assert door.get("/p").detail == "stale"
    door.until(lambda: door.calls == 2 and door.idle())
    assert door.origin.asked[1].field("if-none-match") == TAG
    hit = door.get("/p")
    assert (hit.detail, hit.body, hit.field("x-number")) == ("memory", b"the whole answer", "2")


def test_an_entity_tag_of_ours_is_never_asked_about(open_door: OpenDoor, clock: FakeClock) -> None:
    door = open_door({"/p": lambda asked: Said(body=b"plain")})
    door.get("/p")
    assert door.get("/p").field("etag")
    clock.advance(61)
    door.get("/p")
    assert door.origin.asked[1].field("if-none-match") is None


def test_a_head_freshens_what_a_get_left(open_door: OpenDoor, clock: FakeClock) -> None:
    """RFC 9111 4.3.5."""
    door = open_door({"/p": validating()})
    door.get("/p")
    clock.advance(61)
    assert door.get("/p", method="HEAD").status == 200
    assert door.get("/p").hit


@pytest.mark.parametrize("kind", ["wsgi", "flask", "django-sync", "django-async"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_was_renewed_is_written_to_the_shared_store(
    open_door: OpenDoor, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Event loops do so by a task of their own, over a real Redis in tests/redis."""
    door = open_door({"/p": validating()})
    door.get("/p")
    clock.advance(61)
    saved: list[SharedWrite] = []
    monkeypatch.setattr(door.cache._core.writer, "save", saved.append)
    door.get("/p", method=method)
    (stored,) = saved
    assert [entry.body for _, entry in stored.entries] == [b"the whole answer"]
