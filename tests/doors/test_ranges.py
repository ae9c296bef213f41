"""Parts of answers (RFC 9110 §14): cut from what is stored, left to the application otherwise."""

from __future__ import annotations

import gzip

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .language import Asked, Handler, Said

BODY = b"0123456789"
RANGES = [
    pytest.param("bytes=0-1", 206, b"01", "bytes 0-1/10", id="14.1.2 first and last"),
    pytest.param("bytes=7-", 206, b"789", "bytes 7-9/10", id="14.1.2 to the end"),
    pytest.param("bytes=-3", 206, b"789", "bytes 7-9/10", id="14.1.2 from the end"),
    pytest.param("bytes=5-99", 206, b"56789", "bytes 5-9/10", id="14.1.2 past the end"),
    pytest.param("bytes=10-", 416, b"", "bytes */10", id="15.5.17 not satisfiable"),
    pytest.param("bytes=2-1", 200, BODY, None, id="14.1.1 invalid: ignored"),
    pytest.param("lines=1-2", 200, BODY, None, id="14.2 another unit: ignored"),
]


def whole(asked: Asked) -> Said:
    return Said(body=BODY, headers=[("ETag", '"v1"')])


@pytest.mark.parametrize(("value", "status", "body", "content_range"), RANGES)
def test_a_part_is_cut_from_what_is_stored(
    open_door: OpenDoor, value: str, status: int, body: bytes, content_range: str | None
) -> None:
    door = open_door({"/p": whole})
    door.get("/p")
    reply = door.get("/p", {"Range": value})
    assert (reply.status, reply.body, reply.field("content-range")) == (status, body, content_range)
    assert reply.hit
    assert door.calls == 1
    if status == 206:
        assert reply.field("content-length") == str(len(body))
        assert reply.field("etag") == '"v1"'


def test_several_parts_come_in_one_body(open_door: OpenDoor) -> None:
    door = open_door({"/p": whole})
    door.get("/p")
    reply = door.get("/p", {"Range": "bytes=0-1,8-9"})
    assert reply.status == 206
    kind = reply.field("content-type") or ""
    assert kind.startswith("multipart/byteranges; boundary=")
    assert reply.body.count(kind.partition("boundary=")[2].encode()) == 3
    assert b"bytes 0-1/10" in reply.body
    assert b"bytes 8-9/10" in reply.body


@pytest.mark.parametrize(("condition", "status"), [('"v1"', 206), ('"v2"', 200), ('W/"v1"', 200)])
def test_if_range_compares_strongly(open_door: OpenDoor, condition: str, status: int) -> None:
    """RFC 9110 13.1.5."""
    door = open_door({"/p": whole})
    door.get("/p")
    assert door.get("/p", {"Range": "bytes=0-1", "If-Range": condition}).status == status


def test_a_head_ignores_range(open_door: OpenDoor) -> None:
    """RFC 9110 14.2."""
    door = open_door({"/p": whole})
    door.get("/p")
    assert door.get("/p", {"Range": "bytes=0-1"}, method="HEAD").status == 200


def test_the_applications_own_part_passes_and_is_not_kept(open_door: OpenDoor) -> None:
    def parts(asked: Asked) -> Said:
        if asked.field("range"):
            return Said(status=206, body=BODY[:2], headers=[("Content-Range", "bytes 0-1/10")])
        return Said(body=BODY)

    door = open_door({"/p": parts})
    reply = door.get("/p", {"Range": "bytes=0-1"})
    assert (reply.status, reply.body) == (206, BODY[:2])
    assert "fwd=partial; detail=range" in (reply.field("cache-status") or "")
    assert door.get("/p").body == BODY
    assert door.get("/p").hit, "what was said of a part says nothing of the whole"


def test_the_whole_answer_to_a_range_is_kept(open_door: OpenDoor) -> None:
    door = open_door({"/p": whole})
    assert door.get("/p", {"Range": "bytes=0-1"}).status == 200
    assert door.get("/p").hit


def test_a_stale_answer_is_validated_and_cut(open_door: OpenDoor, clock: FakeClock) -> None:
    def validating(asked: Asked) -> Said:
        if asked.field("if-none-match") == '"v1"':
            return Said(status=304, body=b"", headers=[("ETag", '"v1"')])
        return whole(asked)

    door = open_door({"/p": validating})
    door.get("/p")
    clock.advance(61)
    reply = door.get("/p", {"Range": "bytes=0-1"})
    assert (reply.status, reply.body) == (206, b"01")


CODED = gzip.compress(BODY * 20, mtime=0)


def coding(*fields: tuple[str, str]) -> Handler:
    """Make a handler that gives one tag to both codings and codes no parts, as gzip middleware does."""

    def handler(asked: Asked) -> Said:
        if asked.field("range"):
            part = [("Content-Range", "bytes 5-9/200"), *fields]
            return Said(status=206, body=BODY[5:], headers=part)
        if "gzip" in (asked.field("accept-encoding") or ""):
            return Said(body=CODED, headers=[("Content-Encoding", "gzip"), *fields])
        return Said(body=BODY * 20, headers=fields)

    return handler


MODIFIED = "Mon, 05 Jan 2026 08:00:00 GMT"
FOREIGN = [
    pytest.param([("ETag", '"v1"')], '"v1"', id="8.8.3.3 a tag"),
    pytest.param([("ETag", '"v1"')], None, id="8.8.3.3 no condition"),
    pytest.param([("Last-Modified", MODIFIED)], MODIFIED, id="13.1.5 a date"),
]


@pytest.mark.parametrize(("fields", "condition"), FOREIGN)
@pytest.mark.parametrize("vary", [True, False])
def test_no_part_of_a_coded_body_goes_out_under_a_tag_of_the_application(
    open_door: OpenDoor, fields: list[tuple[str, str]], condition: str | None, vary: bool
) -> None:
    """A client glued it to the uncoded part that it had."""
    named = [*fields, ("Vary", "Accept-Encoding")] if vary else fields
    door = open_door({"/p": coding(*named)})
    accepted = {"Accept-Encoding": "gzip"}
    door.get("/p", accepted)
    sent = {**accepted, "Range": "bytes=5-9"} | ({"If-Range": condition} if condition else {})
    reply = door.get("/p", sent)
    assert (reply.status, reply.body) == (200, CODED)
    assert reply.field("content-encoding") == "gzip"
    assert reply.hit


def test_parts_of_a_coded_body_go_out_under_a_tag_of_ours(open_door: OpenDoor) -> None:
    door = open_door({"/p": coding()})
    accepted = {"Accept-Encoding": "gzip"}
    door.get("/p", accepted)
    tag = door.get("/p", accepted).field("etag") or ""
    for condition in ({}, {"If-Range": tag}):
        reply = door.get("/p", {**accepted, "Range": "bytes=5-9", **condition})
        assert (reply.status, reply.body, reply.field("etag")) == (206, CODED[5:10], tag)
