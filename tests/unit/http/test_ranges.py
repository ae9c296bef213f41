"""Parts of a stored response: what is asked for, and the 206 or 416 that answers it (RFC 9110 §14)."""

from __future__ import annotations

from email import message_from_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http import ranges
from cachemw.http.conditional import entity_tag
from cachemw.http.fields import Fields, Pair
from cachemw.http.ranges import MAX_RANGES, Span, may_cut, partial, select

Asked = tuple[tuple[int, int], ...] | None
LONG = b"9" * 1_000_000


def asked(
    *lines: bytes, length: int = 10, request: list[Pair] | None = None, stored: Any = ()
) -> Asked:
    given = [(b"range", line) for line in lines]
    spans = select(Fields([*given, *(request or [])]), Fields(list(stored)), length)
    return None if spans is None else tuple((span.first, span.last) for span in spans)


SELECTED = [
    pytest.param([], None, id="9110 14.2 no Range"),
    pytest.param([b"bytes=0-1"], ((0, 1),), id="9110 14.1.2 first and last"),
    pytest.param([b"bytes=1-"], ((1, 9),), id="9110 14.1.2 from there on"),
    pytest.param([b"bytes=-1"], ((9, 9),), id="9110 14.1.2 the last one"),
    pytest.param([b"bytes=-99"], ((0, 9),), id="9110 14.1.2 a suffix longer than the body"),
    pytest.param([b"bytes=5-99"], ((5, 9),), id="9110 14.1.2 past the end"),
    pytest.param([b"bytes=0-0"], ((0, 0),), id="9110 14.1.2 one byte"),
    pytest.param([b"bytes=0-"], ((0, 9),), id="9110 14.1.2 all of it"),
    pytest.param([b"BYTES=0-1"], ((0, 1),), id="9110 14.1 units in any case"),
    pytest.param([b" bytes=0-1\t"], ((0, 1),), id="9110 5.5 space around it"),
    pytest.param([b"bytes=007-008"], ((7, 8),), id="9110 14.1.1 leading zeros"),
    pytest.param([b"bytes=5-6, 0-1"], ((5, 6), (0, 1)), id="9110 14.2 several, in their order"),
    pytest.param([b"bytes=,0-1 ,\t, 4-5,"], ((0, 1), (4, 5)), id="9110 5.6.1 empty members"),
    pytest.param([b"bytes=0-1,-2"], ((0, 1), (8, 9)), id="9110 14.1.2 with a suffix"),
    pytest.param([b"bytes=0-4,5-9"], ((0, 4), (5, 9)), id="9110 14.2 side by side"),
    pytest.param([b"bytes=0-1,20-30"], ((0, 1),), id="9110 14.1.2 one cannot be satisfied"),
    pytest.param([b"bytes=10-"], (), id="9110 14.1.2 behind the end: 416"),
    pytest.param([b"bytes=10-20,30-"], (), id="9110 14.1.2 all behind the end: 416"),
    pytest.param([b"bytes=-0"], (), id="9110 14.1.2 an empty suffix: 416"),
    pytest.param([b"bytes=" + LONG + b"-"], (), id="9110 14.1.1 a million digits behind the end"),
    pytest.param([b"bytes=0-" + LONG], ((0, 9),), id="9110 14.1.1 a million digits as the end"),
    pytest.param([b"bytes=-" + LONG], ((0, 9),), id="9110 14.1.1 a million digits of suffix"),
    pytest.param([b"bytes=1-0"], None, id="9110 14.1.1 last before first: ignored"),
    pytest.param([b"bytes=0-1,5-4"], None, id="9110 14.1.1 one of several is invalid"),
    pytest.param([b"bytes=-"], None, id="9110 14.1.1 no position"),
    pytest.param([b"bytes="], None, id="9110 14.1.1 no range"),
    pytest.param([b"bytes=,"], None, id="9110 14.1.1 empty members only"),
    pytest.param([b"bytes"], None, id="9110 14.1.1 no ="),
    pytest.param([b"bytes=a-b"], None, id="9110 14.1.1 no digits"),
    pytest.param([b"bytes=+1-2"], None, id="9110 14.1.1 a sign"),
    pytest.param([b"bytes=0 - 1"], None, id="9110 14.1.1 spaces inside"),
    pytest.param([b"bytes=0-1-2"], None, id="9110 14.1.1 three positions"),
    pytest.param(["bytes=٣-".encode()], None, id="9110 14.1.1 only ASCII digits"),
    pytest.param([b"items=0-1"], None, id="9110 14.2 another unit"),
    pytest.param([b"bytes =0-1"], None, id="9110 14.1 a space is not of the unit"),
    pytest.param([b"bytes=0-1", b"bytes=4-5"], None, id="9110 14.2 two lines"),
    pytest.param([b"bytes=0-1,1-2"], None, id="9110 14.2 overlapping"),
    pytest.param([b"bytes=5-9,0-5"], None, id="9110 14.2 overlapping backwards"),
    pytest.param([b"bytes=0-,0-,0-"], None, id="9110 14.2 the whole over and over"),
    pytest.param([b"bytes=-5,-3"], None, id="9110 14.2 overlapping suffixes"),
]


@pytest.mark.parametrize(("lines", "expected"), SELECTED)
def test_the_parts_that_are_asked_for(lines: list[bytes], expected: Asked) -> None:
    assert asked(*lines) == expected


def test_no_more_parts_than_this_are_sent() -> None:
    few = b",".join(b"%d-%d" % (2 * n, 2 * n) for n in range(MAX_RANGES))
    assert len(asked(b"bytes=" + few, length=100) or ()) == MAX_RANGES
    assert asked(b"bytes=" + few + b",50-50", length=100) is None


def test_an_empty_body_is_sent_whole() -> None:
    assert asked(b"bytes=0-", length=0) is None
    assert asked(b"bytes=-5", length=0) is None


@pytest.mark.parametrize(
    ("line", "sent"), [(b"bytes=0-1", True), (b"bytes=0-1,4-5", False)], ids=["one", "several"]
)
def test_a_coded_body_has_no_multipart(line: bytes, sent: bool) -> None:
    assert (asked(line, stored=[(b"content-encoding", b"gzip")]) is not None) is sent


DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
GZIP, OWN = (b"content-encoding", b"gzip"), (b"etag", entity_tag(b"coded", b"gzip"))
CUT = [
    pytest.param([], [(b"etag", b'"a"')], True, id="9110 8.4 no coding"),
    pytest.param([(b"if-range", DATE)], [(b"etag", b'"a"')], True, id="9110 13.1.5 no coding"),
    pytest.param(
        [], [(b"content-encoding", b"identity"), (b"etag", b'"a"')], True, id="9110 8.4 identity"
    ),
    pytest.param([], [GZIP, (b"etag", b'"a"')], False, id="9110 8.8.3.3 a tag of the application"),
    pytest.param([], [GZIP, (b"etag", b'W/"a"')], False, id="9110 8.8.3.3 a weak one"),
    pytest.param([], [GZIP], False, id="9110 8.8.3.3 no tag"),
    pytest.param(
        [], [GZIP, (b"etag", b'"%s"' % (b"0" * 24))], False, id="one that looks like ours"
    ),
    pytest.param(
        [], [GZIP, (b"etag", entity_tag(b"coded", None))], False, id="ours, of the plain bytes"
    ),
    pytest.param([], [GZIP, OWN], True, id="ours"),
    pytest.param([(b"if-range", OWN[1])], [GZIP, OWN], True, id="9110 13.1.5 ours"),
    pytest.param(
        [(b"if-range", DATE)],
        [GZIP, OWN, (b"last-modified", DATE)],
        False,
        id="9110 13.1.5 a date is that of both",
    ),
]


@pytest.mark.parametrize(("request_", "stored", "cut"), CUT)
def test_a_coded_body_is_cut_only_under_a_tag_of_ours(
    request_: list[Pair], stored: list[Pair], cut: bool
) -> None:
    assert may_cut(Fields(request_), Fields(stored), b"coded") is cut


@pytest.mark.parametrize(("condition", "sent"), [(b'"a"', True), (b'"b"', False), (b"x", False)])
def test_parts_of_another_response_are_not_sent(condition: bytes, sent: bool) -> None:
    """RFC 9110 §13.1.5."""
    spans = asked(b"bytes=0-1", request=[(b"if-range", condition)], stored=[(b"etag", b'"a"')])
    assert (spans is not None) is sent


STORED = Fields(
    [
        (b"content-type", b"text/plain"),
        (b"content-length", b"10"),
        (b"content-md5", b"x"),
        (b"etag", b'"a"'),
        (b"cache-control", b"max-age=9"),
        (b"expires", b"0"),
        (b"cdn-cache-control", b"max-age=9"),
        (b"vary", b"origin"),
        (b"link", b"</a>"),
        (b"link", b"</b>"),
    ]
)
BODY = b"0123456789"


def test_one_part_is_the_body() -> None:
    """RFC 9110 §15.3.7.1."""
    answer = partial(STORED, BODY, (Span(2, 4),))
    assert (answer.status, answer.body) == (206, b"234")
    assert list(answer.fields) == [
        *[pair for pair in STORED if pair[0] not in (b"content-length", b"content-md5")],
        (b"content-range", b"bytes 2-4/10"),
        (b"content-length", b"3"),
    ]


def test_several_parts_are_a_multipart_body() -> None:
    """RFC 9110 §15.3.7.2, read back by another implementation."""
    answer = partial(STORED, BODY, (Span(5, 6), Span(0, 1)))
    kind = answer.fields.first(b"content-type") or b""
    message = message_from_bytes(b"content-type: " + kind + b"\r\n\r\n" + answer.body)
    parts = message.get_payload()
    assert message.get_content_type() == "multipart/byteranges"
    assert isinstance(parts, list)
    assert [part.get_payload() for part in parts] == ["56", "01"]
    assert [part["content-range"] for part in parts] == ["bytes 5-6/10", "bytes 0-1/10"]
    assert {part.get_content_type() for part in parts} == {"text/plain"}
    assert answer.fields.values(b"content-length") == [b"%d" % len(answer.body)]
    assert b"content-range" not in answer.fields
    assert answer.fields.values(b"link") == [b"</a>", b"</b>"]


def test_parts_of_a_body_without_a_type_have_none() -> None:
    answer = partial(Fields([]), BODY, (Span(0, 1), Span(4, 5)))
    assert b"content-type" not in answer.body


def test_what_cannot_be_had_is_said_with_the_length() -> None:
    """RFC 9110 §15.5.17; and no cache in front shall keep it for the resource itself."""
    answer = partial(STORED, BODY, ())
    assert (answer.status, answer.body) == (416, b"")
    assert list(answer.fields) == [
        (b"vary", b"origin"),
        (b"link", b"</a>"),
        (b"link", b"</b>"),
        (b"cache-control", b"no-store"),
        (b"content-range", b"bytes */10"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"0"),
    ]


class Foreseen:
    """A digest that a body could foresee: one letter for each time it was fed."""

    def __init__(self, **_: object) -> None:
        self.fed = 0

    def update(self, _: bytes) -> None:
        self.fed += 1

    def hexdigest(self) -> str:
        return "abcdef"[self.fed]


def test_a_body_that_holds_the_boundary_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fed with two parts it is c; take the look into the parts out of `_boundary` and it stays c."""
    monkeypatch.setattr(ranges, "blake2b", Foreseen)
    answer = partial(Fields([]), b"--c--d--", (Span(0, 3), Span(4, 7)))
    assert answer.fields.first(b"content-type") == b"multipart/byteranges; boundary=e"


def test_the_boundary_is_the_same_each_time() -> None:
    """A literal, so that a process with another hash seed is held to it."""
    answer = partial(Fields([]), BODY, (Span(0, 1), Span(4, 5)))
    assert answer.body.startswith(b"--2503c4651d325d3ee033520e834ebe\r\n")


RANGES = st.lists(
    st.sampled_from([b"bytes=", b"bytes", b"-", b"0", b"5", b"99", b",", b" ", b"="])
).map(b"".join)


@given(st.lists(RANGES | st.binary(max_size=20), max_size=2), st.binary(max_size=40))
def test_no_input_raises_and_parts_are_of_the_body(lines: list[bytes], body: bytes) -> None:
    fields = Fields([(b"range", line) for line in lines])
    spans = select(fields, STORED, len(body))
    if spans is None:
        return
    assert sum(span.length for span in spans) <= len(body)
    answer = partial(STORED, body, spans)
    assert answer.status == (206 if spans else 416)
    assert answer.fields.values(b"content-length") == [b"%d" % len(answer.body)]
    for span in spans:
        assert 0 <= span.first <= span.last < len(body)
        assert body[span.first : span.last + 1] in answer.body


@given(st.binary(min_size=1, max_size=60), st.data())
def test_any_part_is_that_of_the_body(body: bytes, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(body) - 1))
    last = data.draw(st.integers(first, len(body) - 1))
    fields = Fields([(b"range", b"bytes=%d-%d" % (first, last))])
    spans = select(fields, STORED, len(body)) or ()
    assert partial(STORED, body, spans).body == body[first : last + 1]
