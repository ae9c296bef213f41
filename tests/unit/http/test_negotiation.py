"""Selecting values that mean the same are the same (RFC 9111 §4.1), others are not."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cachemw.http.negotiation import normalised

KNOWN = (b"accept", b"accept-charset", b"accept-encoding", b"accept-language")

WRITTEN = [
    pytest.param(b"accept-language", b"en, de", b"en, de", id="9110 12.5.4 as it is"),
    pytest.param(b"accept-language", b" en ,\tde,, ", b"en, de", id="9110 5.6.1 space, empties"),
    pytest.param(b"accept-language", b"eN, De-AT", b"en, de-at", id="9110 12.5.4 case"),
    pytest.param(b"accept-language", b"de, en", b"de, en", id="order is kept"),
    pytest.param(b"accept-language", b"de;q=1.0, en;q=1", b"de, en", id="9110 12.4.2 one is none"),
    pytest.param(b"accept-language", b"de;q=0.50", b"de;q=0.5", id="9110 12.4.2 zeros at the end"),
    pytest.param(b"accept-language", b"de ;\tQ=0.125", b"de;q=0.125", id="9110 12.4.2 space, case"),
    pytest.param(b"accept-language", b"*;q=0.000", b"*;q=0", id="9110 12.4.2 zero"),
    pytest.param(b"accept-language", b"*;q=0.", b"*;q=0", id="9110 12.4.2 a bare point"),
    pytest.param(b"accept-language", b"de;q=1.", b"de", id="9110 12.4.2 one, a bare point"),
    pytest.param(b"accept-encoding", b"GZIP;q=1.000, br", b"gzip, br", id="9110 12.5.3"),
    pytest.param(b"accept-encoding", b"identity; q=0", b"identity;q=0", id="9110 12.5.3 refused"),
    pytest.param(b"accept-charset", b"UTF-8", b"utf-8", id="9110 12.5.2"),
    pytest.param(b"accept-language", b"", b"", id="9110 12.4.2 empty"),
    pytest.param(b"accept-language", b" , ", b"", id="9110 5.6.1 empties only"),
    pytest.param(b"accept-language", b"De;q=2", b"De;q=2", id="9110 12.4.2 no weight: left"),
    pytest.param(b"accept-language", b"De;q=0.5000", b"De;q=0.5000", id="9110 12.4.2 four digits"),
    pytest.param(b"accept-language", b"De;x=1", b"De;x=1", id="9110 12.5.4 no such parameter"),
    pytest.param(b"accept-language", b"De q", b"De q", id="9110 12.5.4 no language: left"),
    pytest.param(b"accept-language", b'"De, En"', b'"De, En"', id="9110 5.6.4 a string: left"),
    pytest.param(b"accept", b"Text/HTML , */*", b"text/html, */*", id="9110 12.5.1 case, space"),
    pytest.param(
        b"accept",
        b"text/html;Charset=UTF-8 ; Level=1;Q=0.70",
        b"text/html;charset=UTF-8;level=1;q=0.7",
        id="9110 12.5.1 parameters: names have no case, values may",
    ),
    pytest.param(
        b"accept",
        b'a/b;x="A , ; \\" q=1" ; q=1.0',
        b'a/b;x="A , ; \\" q=1"',
        id="9110 5.6.4 quoted values are left alone",
    ),
    pytest.param(b"accept", b"a/b;q=1.0;x=1", b"a/b;q=1.0;x=1", id="7231 5.3.2 behind a weight"),
    pytest.param(b"accept", b"a/b;q=0.5;q=1", b"a/b;q=0.5;q=1", id="9110 12.4.2 two weights"),
    pytest.param(b"accept", b"A/B;q=high", b"A/B;q=high", id="9110 12.4.2 no weight in Accept"),
    pytest.param(b"accept", b'A/B;q="1"', b'A/B;q="1"', id="9110 12.4.2 a string is no weight"),
    pytest.param(b"accept", b"HTML", b"HTML", id="9110 12.5.1 no media range"),
    pytest.param(b"accept", b'A/B;x="', b'A/B;x="', id="9110 5.6.4 a quote that never closes"),
    pytest.param(b"user-agent", b" X ,, y;Q=1.0", b" X ,, y;Q=1.0", id="9111 4.1 unknown fields"),
    pytest.param(b"accept-ch", b"A, B", b"A, B", id="9111 4.1 only those that are known"),
]


@pytest.mark.parametrize(("name", "value", "written"), WRITTEN)
def test_a_value_is_written_one_way(name: bytes, value: bytes, written: bytes) -> None:
    assert normalised(name, value) == written


DIFFERENT = [
    pytest.param(b"accept-language", b"en, de", b"de, en", id="order"),
    pytest.param(b"accept-language", b"en", b"en;q=0.9", id="9110 12.4.2 weights"),
    pytest.param(b"accept-language", b"en", b"en-GB", id="4647 3 ranges"),
    pytest.param(b"accept-encoding", b"gzip", b"gzip;q=0", id="9110 12.5.3 refused"),
    pytest.param(b"accept-encoding", b"", b"identity", id="9110 12.5.3 empty"),
    pytest.param(b"accept", b"a/b;x=A", b"a/b;x=a", id="9110 8.3.1 parameter values"),
    pytest.param(b"accept", b'a/b;x="1"', b"a/b;x=1", id="quoted values"),
]


@pytest.mark.parametrize(("name", "one", "other"), DIFFERENT)
def test_what_may_mean_something_else_stays_different(
    name: bytes, one: bytes, other: bytes
) -> None:
    assert normalised(name, one) != normalised(name, other)


WORDS = b"""text/html EN * / ; q= Q= 0.50 1.0 x= " \\ , = \xff""".split(b" ")
PARTS = st.lists(st.sampled_from([*WORDS, b" ", b"\t"])).map(b"".join)


@given(st.sampled_from([*KNOWN, b"user-agent"]), st.binary(max_size=30) | PARTS)
@example(b"accept", b"a/b;q=1;q=1")
def test_no_input_raises_and_a_second_time_changes_nothing(name: bytes, value: bytes) -> None:
    once = normalised(name, value)
    assert normalised(name, once) == once


@given(st.sampled_from(KNOWN), PARTS)
def test_a_long_value_is_written_like_a_short_one(name: bytes, value: bytes) -> None:
    """Beyond what is remembered, too."""
    padded = b" " * 600 + value
    assert normalised(name, padded) == normalised(name, value)


def test_a_value_that_is_made_to_be_slow_is_not() -> None:
    """A megabyte of what almost matches; by backtracking it would take minutes."""
    for unit in (b"a", b";", b" ;", b"a/a;", b";a=a", b'\\"', b'"', b"\t", b","):
        for name in KNOWN:
            normalised(name, b"a/a" + unit * 200_000 + b"\x00")
