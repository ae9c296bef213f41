"""Entity tags and who gets a 304 (RFC 9110 §8.8, §13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.conditional import (
    NOT_MODIFIED_DROPS,
    conditions,
    entity_tag,
    has_validator,
    if_range,
    is_conditional,
    not_modified,
)
from cachemw.http.fields import Fields, Pair

EARLY, LATE = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 07 Nov 1994 08:49:37 GMT"


def match(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"if-none-match", value) for value in values]


def since(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"if-modified-since", value) for value in values]


def tag(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"etag", value)]


def modified(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"last-modified", value)]


CASES = [
    pytest.param([], tag(b'"a"'), False, id="9110 13.2.2 no condition"),
    pytest.param(match(b'"a"'), tag(b'"a"'), True, id="9110 13.1.2 the tag"),
    pytest.param(match(b'"b"'), tag(b'"a"'), False, id="9110 13.1.2 another tag"),
    pytest.param(match(b'"x", "a"'), tag(b'"a"'), True, id="9110 13.1.2 one of a list"),
    pytest.param(match(b'"x"', b'"a"'), tag(b'"a"'), True, id="9110 5.3 on another line"),
    pytest.param(match(b'W/"a"'), tag(b'"a"'), True, id="9110 8.8.3.2 weak asked"),
    pytest.param(match(b'"a"'), tag(b'W/"a"'), True, id="9110 8.8.3.2 weak stored"),
    pytest.param(match(b'w/"a"'), tag(b'"a"'), False, id="9110 8.8.3 W is a capital"),
    pytest.param(match(b'"A"'), tag(b'"a"'), False, id="9110 8.8.3 case counts"),
    pytest.param(match(b'"a,b"'), tag(b'"a,b"'), True, id="9110 8.8.3 a comma in a tag"),
    pytest.param(match(b'"a'), tag(b'"a"'), False, id="9110 8.8.3 a tag cut short"),
    pytest.param(
        match(rb'"a\", "b"'), tag(b'"b"'), True, id="9110 8.8.3 a backslash escapes nothing"
    ),
    pytest.param(match(rb'"a\"'), tag(rb'"a\"'), True, id="9110 8.8.3 a backslash at the end"),
    pytest.param(match(b"a"), tag(b'"a"'), False, id="9110 8.8.3 quotes are of the tag"),
    pytest.param(match(b"a"), tag(b"a"), True, id="9110 8.8.3 an application's own bare tag"),
    pytest.param(match(b'"\xff"'), tag(b'"\xff"'), True, id="9110 8.8.3 obs-text"),
    pytest.param(match(b"*"), tag(b'"a"'), True, id="9110 13.1.2 * matches what is there"),
    pytest.param(match(b"*"), [], True, id="9110 13.1.2 * without a tag"),
    pytest.param(match(b'"*"'), tag(b'"a"'), False, id="9110 13.1.2 a quoted * is a tag"),
    pytest.param(match(b'"a"'), [], False, id="9110 13.1.2 nothing to compare with"),
    pytest.param(match(b""), tag(b'""'), False, id="9110 13.1.2 an empty list"),
    pytest.param(match(b'""'), tag(b'""'), True, id="9110 8.8.3 an empty tag"),
    pytest.param(since(EARLY), modified(EARLY), True, id="9110 13.1.3 not modified since"),
    pytest.param(since(LATE), modified(EARLY), True, id="9110 13.1.3 modified before"),
    pytest.param(since(EARLY), modified(LATE), False, id="9110 13.1.3 modified after"),
    pytest.param(since(LATE), [], False, id="9110 13.1.3 no Last-Modified"),
    pytest.param(since(LATE), modified(b"0"), False, id="9110 13.1.3 a Last-Modified that is none"),
    pytest.param(since(b"0"), modified(EARLY), False, id="9110 13.1.3 a date that is none"),
    pytest.param(since(LATE, LATE), modified(EARLY), False, id="9110 13.1.3 more than one member"),
    pytest.param(
        [*match(b'"b"'), *since(LATE)],
        [*tag(b'"a"'), *modified(EARLY)],
        False,
        id="9110 13.1.3 If-None-Match alone decides",
    ),
    pytest.param(
        [*match(b'"a"'), *since(EARLY)],
        [*tag(b'"a"'), *modified(LATE)],
        True,
        id="9110 13.2.2 If-None-Match first",
    ),
]


def dated(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"date", value)]


CASES += [
    pytest.param(since(EARLY), dated(EARLY), True, id="9111 4.3.2 no Last-Modified: its Date"),
    pytest.param(since(EARLY), dated(LATE), False, id="9111 4.3.2 a later Date"),
    pytest.param(since(EARLY), dated(b"0"), False, id="9111 4.3.2 a Date that is none"),
    pytest.param(
        since(LATE),
        [*modified(b"0"), *dated(EARLY)],
        False,
        id="9111 4.3.2 the Date stands in for no Last-Modified, not for a bad one",
    ),
    pytest.param(
        since(EARLY),
        [*modified(EARLY), *dated(LATE)],
        True,
        id="9111 4.3.2 Last-Modified before Date",
    ),
]


def is_not_modified(asked: list[Pair], stored: list[Pair]) -> bool:
    return not_modified(Fields(asked), Fields(stored))


@pytest.mark.parametrize(("asked", "stored", "expected"), CASES)
def test_not_modified(asked: list[Pair], stored: list[Pair], expected: bool) -> None:
    assert is_not_modified(asked, stored) is expected


def ranged(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"if-range", value) for value in values]


STRONG_DATE = [*modified(EARLY), *dated(LATE)]
RFC850, ASCTIME = b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"
RANGED = [
    pytest.param([], tag(b'"a"'), True, id="9110 13.1.5 no condition"),
    pytest.param(ranged(b'"a"'), tag(b'"a"'), True, id="9110 13.1.5 the tag"),
    pytest.param(ranged(b' "a"\t'), tag(b'"a"'), True, id="9110 5.5 space around it"),
    pytest.param(ranged(b'"b"'), tag(b'"a"'), False, id="9110 13.1.5 another tag"),
    pytest.param(ranged(b'"a"'), [], False, id="9110 13.1.5 nothing to compare with"),
    pytest.param(ranged(b'W/"a"'), tag(b'W/"a"'), False, id="9110 13.1.5 strongly: both weak"),
    pytest.param(ranged(b'"a"'), tag(b'W/"a"'), False, id="9110 13.1.5 strongly: weak stored"),
    pytest.param(ranged(b'W/"a"'), tag(b'"a"'), False, id="9110 13.1.5 strongly: weak asked"),
    pytest.param(ranged(b'"a", "b"'), tag(b'"a"'), False, id="9110 13.1.5 no list"),
    pytest.param(ranged(b'"a"', b'"a"'), tag(b'"a"'), False, id="9110 13.1.5 more than one line"),
    pytest.param(ranged(b"a"), tag(b"a"), False, id="9110 13.1.5 no tag and no date"),
    pytest.param(ranged(b'"'), tag(b'"'), False, id="9110 8.8.3 half a tag"),
    pytest.param(ranged(b"*"), tag(b'"a"'), False, id="9110 13.1.5 no *"),
    pytest.param(ranged(b""), tag(b""), False, id="9110 13.1.5 empty"),
    pytest.param(ranged(EARLY), STRONG_DATE, True, id="9110 13.1.5 the date"),
    pytest.param(ranged(RFC850), STRONG_DATE, True, id="9110 5.6.7 in another form"),
    pytest.param(ranged(ASCTIME), STRONG_DATE, True, id="9110 5.6.7 in the third form"),
    pytest.param(ranged(LATE), STRONG_DATE, False, id="9110 13.1.5 a later date is not it"),
    pytest.param(ranged(EARLY), modified(EARLY), False, id="9110 8.8.2.2 no Date: weak"),
    pytest.param(
        ranged(EARLY), [*modified(EARLY), *dated(EARLY)], False, id="9110 8.8.2.2 the same second"
    ),
    pytest.param(
        ranged(EARLY),
        [*modified(EARLY), *dated(b"Sun, 06 Nov 1994 08:49:38 GMT")],
        True,
        id="9110 8.8.2.2 a second before",
    ),
    pytest.param(ranged(EARLY), dated(EARLY), False, id="9110 13.1.5 a Date is no validator"),
    pytest.param(
        ranged(b"Thu, 01 Jan 1970 00:00:00 GMT"),
        [*modified(b"Thu, 01 Jan 1970 00:00:00 GMT"), *dated(EARLY)],
        True,
        id="9110 5.6.7 second zero is a date",
    ),
]


@pytest.mark.parametrize(("asked", "stored", "expected"), RANGED)
def test_if_range(asked: list[Pair], stored: list[Pair], expected: bool) -> None:
    assert if_range(Fields(asked), Fields(stored)) is expected


ASKED_AGAIN = [
    pytest.param([], [], id="9111 4.3.1 no validator"),
    pytest.param(tag(b'W/"a"'), match(b'W/"a"'), id="9111 4.3.1 the tag as it came"),
    pytest.param(tag(b"a"), match(b"a"), id="9111 4.3.1 a bare tag too"),
    pytest.param(tag(b" "), [], id="9111 4.3.1 an empty tag"),
    pytest.param(modified(RFC850), since(RFC850), id="9111 4.3.1 the date as it came"),
    pytest.param(modified(b"0"), [], id="9111 4.3.1 a date that is none"),
    pytest.param(dated(EARLY), [], id="9111 4.3.1 a Date is no validator"),
    pytest.param(
        [*modified(EARLY), *tag(b'"a"')],
        [*match(b'"a"'), *since(EARLY)],
        id="9111 4.3.1 both",
    ),
]


@pytest.mark.parametrize(("stored", "asked"), ASKED_AGAIN)
def test_the_conditions_that_ask_again(stored: list[Pair], asked: list[Pair]) -> None:
    assert conditions(Fields(stored)) == asked
    assert has_validator(Fields(stored)) is bool(asked)


@pytest.mark.parametrize(
    ("name", "conditional"),
    [
        pytest.param(b"if-none-match", True, id="9110 13.1.2"),
        pytest.param(b"if-modified-since", True, id="9110 13.1.3"),
        pytest.param(b"if-match", False, id="9110 13.1.1 answered by 412"),
        pytest.param(b"if-range", False, id="9110 13.1.5 answered by 206"),
    ],
)
def test_only_two_conditions_are_answered_by_304(name: bytes, conditional: bool) -> None:
    assert is_conditional(Fields([(b"host", b"x"), (name, b"y")])) is conditional


@pytest.mark.parametrize(
    "name", [b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"]
)
def test_a_304_carries_what_its_200_would_have(name: bytes) -> None:
    """RFC 9110 §15.4.5."""
    assert name not in NOT_MODIFIED_DROPS


def test_a_304_carries_no_length() -> None:
    assert b"content-length" in NOT_MODIFIED_DROPS


def test_equal_bodies_have_equal_tags_in_every_process() -> None:
    """A literal, so that a process with another hash seed, or another release, is held to it."""
    assert entity_tag(b"body", None) == b'"cf912e4e5009465a1726f33a"'


@given(st.binary(max_size=50), st.binary(max_size=50), st.sampled_from([None, b"gzip", b"br"]))
def test_tags_are_strong_and_differ_with_the_body(a: bytes, b: bytes, coding: bytes | None) -> None:
    made = entity_tag(a, coding)
    assert (made == entity_tag(b, coding)) is (a == b)
    assert made.startswith(b'"')
    assert made.endswith(b'"')
    assert is_not_modified(match(made), tag(made))


def test_every_content_coding_has_its_own_tag() -> None:
    """RFC 9110 §8.8.3.3: they are different representations."""
    assert len({entity_tag(b"body", coding) for coding in (None, b"gzip", b"br")}) == 3


def test_an_endless_coding_raises_nothing() -> None:
    assert entity_tag(b"body", b"x" * 10_000)


@given(st.lists(st.binary(max_size=20)), st.binary(max_size=20))
def test_no_input_raises(lines: list[bytes], stored: bytes) -> None:
    is_not_modified(match(*lines), tag(stored))
    is_not_modified(since(*lines), modified(stored))
    if_range(Fields(ranged(*lines)), Fields([*tag(stored), *modified(stored)]))
    conditions(Fields([*tag(stored), *modified(stored)]))


@given(st.binary(max_size=20))
def test_what_is_stored_is_not_modified_by_its_own_conditions(value: bytes) -> None:
    """As long as it is an entity tag at all."""
    stored = Fields(tag(b'"%s"' % value.replace(b'"', b"")))
    assert not_modified(Fields(conditions(stored)), stored)


OPAQUE = st.text(alphabet="abc,\\ W/*'", max_size=6).map(lambda text: b'"%s"' % text.encode())


@given(st.lists(OPAQUE, min_size=1), st.data())
def test_a_tag_in_a_list_matches_whatever_its_neighbours_hold(
    tags: list[bytes], data: st.DataObject
) -> None:
    chosen = data.draw(st.sampled_from(tags))
    assert is_not_modified(match(b", ".join(tags)), tag(chosen))


@given(st.lists(OPAQUE, min_size=1), OPAQUE)
def test_a_tag_that_is_not_in_the_list_does_not_match(tags: list[bytes], other: bytes) -> None:
    assert is_not_modified(match(b", ".join(tags)), tag(other)) is (other in tags)
