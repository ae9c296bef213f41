"""What a 304, or the answer to a HEAD, makes of a stored response (RFC 9111 §4.3.4, §4.3.5, §3.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.fields import Fields, Pair
from cachemw.http.freshening import freshened, head_matches, matches

EARLY, LATE = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 07 Nov 1994 08:49:37 GMT"


def tag(value: bytes) -> Pair:
    return b"etag", value


def modified(value: bytes) -> Pair:
    return b"last-modified", value


ABOUT = [
    pytest.param([tag(b'"a"')], [tag(b'"a"')], True, id="9111 4.3.4 the same strong tag"),
    pytest.param([tag(b'"a"')], [tag(b'"b"')], False, id="9111 4.3.4 another strong tag"),
    pytest.param([tag(b'W/"a"')], [tag(b'"a"')], False, id="9110 8.8.3.2 strong on weak"),
    pytest.param([], [tag(b'"a"')], False, id="9111 4.3.4 a tag on none"),
    pytest.param([tag(b'W/"a"')], [tag(b'W/"a"')], True, id="9111 4.3.4 the same weak tag"),
    pytest.param([tag(b'"a"')], [tag(b'W/"a"')], True, id="9110 8.8.3.2 weakly"),
    pytest.param([tag(b'"a"')], [tag(b'W/"b"')], False, id="9111 4.3.4 another weak tag"),
    pytest.param([tag(b'"a"')], [], True, id="9111 4.3.4 no validator in the 304"),
    pytest.param([], [], True, id="9111 4.3.4 no validator in either"),
    pytest.param([modified(EARLY)], [modified(EARLY)], True, id="9111 4.3.4 the same date"),
    pytest.param([modified(EARLY)], [modified(LATE)], False, id="9111 4.3.4 another date"),
    pytest.param([], [modified(LATE)], False, id="9111 4.3.4 a date on none"),
    pytest.param([modified(EARLY)], [modified(b"0")], True, id="9111 4.3.4 a date that is none"),
    pytest.param(
        [modified(EARLY)],
        [modified(b"Sunday, 06-Nov-94 08:49:37 GMT")],
        True,
        id="9110 5.6.7 the same date in another form",
    ),
    pytest.param(
        [tag(b'"a"'), modified(EARLY)],
        [tag(b'"b"'), modified(EARLY)],
        False,
        id="9111 4.3.4 the tag decides over the date",
    ),
    pytest.param(
        [tag(b'"a"'), modified(EARLY)],
        [tag(b'"a"'), modified(LATE)],
        True,
        id="9111 4.3.4 the tag decides alone",
    ),
]


@pytest.mark.parametrize(("stored", "update", "about"), ABOUT)
def test_a_304_is_about_what_it_names(stored: list[Pair], update: list[Pair], about: bool) -> None:
    assert matches(Fields(stored), Fields(update)) is about


UPDATED = [
    pytest.param([(b"a", b"1")], [], [(b"a", b"1")], id="9111 3.2 nothing new"),
    pytest.param([(b"a", b"1")], [(b"a", b"2")], [(b"a", b"2")], id="9111 3.2 a new value"),
    pytest.param([], [(b"a", b"2")], [(b"a", b"2")], id="9111 3.2 a new field"),
    pytest.param(
        [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"c", b"1")],
        [(b"d", b"9"), (b"a", b"8"), (b"c", b"7")],
        [(b"a", b"8"), (b"b", b"1"), (b"c", b"7"), (b"d", b"9")],
        id="9111 3.2 in the place of the first, the others gone",
    ),
    pytest.param(
        [(b"a", b"1"), (b"b", b"1")],
        [(b"a", b"2"), (b"x", b"5"), (b"a", b"3"), (b"x", b"6")],
        [(b"a", b"2"), (b"a", b"3"), (b"b", b"1"), (b"x", b"5"), (b"x", b"6")],
        id="9110 5.3 all lines of a field stay together",
    ),
    pytest.param(
        [(b"x", b"1"), (b"y", b"1")],
        [(b"connection", b"X, close"), (b"x", b"2"), (b"y", b"2")],
        [(b"x", b"1"), (b"y", b"2")],
        id="9110 7.6.1 what Connection names",
    ),
    *(
        pytest.param([(name, b"1")], [(name, b"2")], [(name, b"2")], id=f"9111 3.2 {name.decode()}")
        for name in (b"content-type", b"cache-control", b"date", b"expires", b"vary", b"content-x")
    ),
    *(
        pytest.param(
            [(name, b"1")], [(name, b"2")], [(name, b"1")], id=f"9111 3.2 not {name.decode()}"
        )
        for name in (
            b"age",
            b"content-encoding",
            b"content-length",
            b"content-md5",
            b"content-range",
            b"etag",
            b"keep-alive",
            b"proxy-authenticate",
            b"set-cookie",
            b"set-cookie2",
            b"transfer-encoding",
        )
    ),
    pytest.param([], [(b"set-cookie", b"a=1"), tag(b'"a"')], [], id="9111 3.2 nor as new ones"),
]


@pytest.mark.parametrize(("stored", "update", "after"), UPDATED)
def test_a_304_updates_the_fields(
    stored: list[Pair], update: list[Pair], after: list[Pair]
) -> None:
    assert list(freshened(Fields(stored), Fields(update))) == after


LENGTH = b"content-length"
OF_HEAD = [
    pytest.param([], [], True, id="9111 4.3.5 nothing given"),
    pytest.param([], [(LENGTH, b"5")], True, id="9111 4.3.5 the length"),
    pytest.param([], [(LENGTH, b"6")], False, id="9111 4.3.5 another length"),
    pytest.param([], [(LENGTH, b"x")], False, id="9111 4.3.5 no length"),
    pytest.param([], [(LENGTH, b"5"), (LENGTH, b"6")], False, id="9111 4.3.5 two lengths"),
    pytest.param([tag(b'"a"')], [tag(b'"a"')], True, id="9111 4.3.5 the tag"),
    pytest.param([tag(b'"a"')], [tag(b'"b"')], False, id="9111 4.3.5 another tag"),
    pytest.param([tag(b'"a"')], [tag(b'W/"a"')], False, id="9111 4.3.5 equal means equal"),
    pytest.param([], [tag(b'"a"')], False, id="9111 4.3.5 a tag on none"),
    pytest.param([tag(b'"a"')], [], True, id="9111 4.3.5 a tag that is not given"),
    pytest.param([modified(EARLY)], [modified(EARLY)], True, id="9111 4.3.5 the date"),
    pytest.param([modified(EARLY)], [modified(LATE)], False, id="9111 4.3.5 another date"),
]


@pytest.mark.parametrize(("stored", "update", "about"), OF_HEAD)
def test_the_answer_to_a_head_is_about_what_it_equals(
    stored: list[Pair], update: list[Pair], about: bool
) -> None:
    assert head_matches(Fields(stored), 5, Fields(update)) is about


PAIRS = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"connection", b"content-length", b"etag", b"last-modified", b"x"]),
        st.binary(max_size=8) | st.sampled_from([b"a", b"x, A", b"0", b'"a"']),
    )
)


@given(PAIRS, PAIRS)
def test_no_input_raises_and_an_update_is_done_once(stored: list[Pair], update: list[Pair]) -> None:
    one, other = Fields(stored), Fields(update)
    matches(one, other)
    head_matches(one, 0, other)
    after = freshened(one, other)
    assert freshened(after, other) == after
    assert after.names >= one.names
