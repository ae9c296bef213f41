"""Header fields as ordered byte pairs: lists split outside quotes, cookies as they were sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.fields import Fields, cookie_pairs, split_list

FIELDS = Fields([(b"a", b"1"), (b"b", b""), (b"a", b"2"), (b"c", b"3")])


def test_a_field_is_found_by_its_name() -> None:
    assert FIELDS.first(b"a") == b"1"
    assert FIELDS.first(b"x") is None
    assert FIELDS.values(b"a") == [b"1", b"2"]
    assert FIELDS.values(b"x") == []


def test_an_empty_value_is_there() -> None:
    """RFC 9110 §5.5: a field value may be empty."""
    assert b"b" in FIELDS
    assert FIELDS.first(b"b") == b""
    assert b"x" not in FIELDS


def test_taking_fields_out_keeps_the_order_of_the_rest() -> None:
    rest = FIELDS.without([b"b", b"x"])
    assert list(rest) == [(b"a", b"1"), (b"a", b"2"), (b"c", b"3")]
    assert b"b" not in rest
    assert FIELDS.without([b"x"]) is FIELDS


def test_fields_are_put_behind_the_others() -> None:
    more = FIELDS.plus((b"x", b"4"), (b"b", b"5"))
    assert list(more) == [*FIELDS, (b"x", b"4"), (b"b", b"5")]
    assert more.values(b"b") == [b"", b"5"]
    assert more.first(b"b") == b""


SPLIT = [
    pytest.param(b"", [], id="9110 5.6.1 empty"),
    pytest.param(b" , ,\t,", [], id="9110 5.6.1.2 empty members only"),
    pytest.param(b"a", [b"a"], id="9110 5.6.1 one"),
    pytest.param(b" a , b,c\t", [b"a", b"b", b"c"], id="9110 5.6.1 spaces around members"),
    pytest.param(b"a,,b", [b"a", b"b"], id="9110 5.6.1.2 an empty member between"),
    pytest.param(b'"a,b",c', [b'"a,b"', b"c"], id="9110 5.6.4 a comma in quotes"),
    pytest.param(b'x="a,b";y="c,d",e', [b'x="a,b";y="c,d"', b"e"], id="9110 5.6.4 two strings"),
    pytest.param(rb'"a\",b",c', [rb'"a\",b"', b"c"], id="9110 5.6.4 an escaped quote"),
    pytest.param(rb'"a\\",b', [rb'"a\\"', b"b"], id="9110 5.6.4 an escaped backslash"),
    pytest.param(rb'a\,"b"', [b"a\\", b'"b"'], id="9110 5.6.4 no escapes outside quotes"),
    pytest.param(b'a,"b,c', [b"a", b'"b,c'], id="9110 5.6.4 a quote that never closes"),
    pytest.param(b'a,"b\\', [b"a", b'"b\\'], id="9110 5.6.4 a backslash at the end"),
]


@pytest.mark.parametrize(("value", "expected"), SPLIT)
def test_a_list_is_split(value: bytes, expected: list[bytes]) -> None:
    assert list(split_list(value)) == expected


LISTY = st.text(alphabet='ab ,"\\\t=', max_size=30).map(str.encode) | st.binary(max_size=30)


@given(LISTY)
def test_no_member_is_empty_or_has_spaces_around_it(value: bytes) -> None:
    for member in split_list(value):
        assert member
        assert member == member.strip()


@given(LISTY)
def test_splitting_what_was_joined_again_changes_nothing(value: bytes) -> None:
    split = list(split_list(value))
    assert list(split_list(b", ".join(split))) == split


@given(LISTY.filter(lambda value: b'"' not in value))
def test_without_quotes_it_is_a_plain_split(value: bytes) -> None:
    assert list(split_list(value)) == [part.strip() for part in value.split(b",") if part.strip()]


@given(LISTY)
def test_nothing_but_commas_and_spaces_is_lost(value: bytes) -> None:
    def bare(text: bytes) -> bytes:
        return b"".join(text.replace(b",", b" ").split())

    assert bare(b" ".join(split_list(value))) == bare(value)


@given(st.lists(st.text(alphabet="ab ,", max_size=8).map(str.encode)))
def test_lines_of_a_field_are_one_list(lines: list[bytes]) -> None:
    """RFC 9110 §5.3: several lines of a list field mean what one line of all of them means."""
    fields = Fields([(b"x", b"no"), *((b"vary", line) for line in lines)])
    assert list(fields.members(b"vary")) == list(split_list(b",".join(lines)))


COOKIES = [
    pytest.param([b"lang=de"], [(b"lang", b"de")], id="6265 4.2.1 one"),
    pytest.param([b"sid=1; lang=de; x=2"], [(b"lang", b"de")], id="6265 4.2.1 among others"),
    pytest.param([b"sid=1;lang=de"], [(b"lang", b"de")], id="6265 5.4 no space"),
    pytest.param([b"sid=1", b"lang=de"], [(b"lang", b"de")], id="9113 8.2.3 on a second line"),
    pytest.param(
        [b"lang=de; lang=fr"], [(b"lang", b"de"), (b"lang", b"fr")], id="6265 4.2.2 twice"
    ),
    pytest.param([b"lang="], [(b"lang", b"")], id="6265 4.1.1 an empty value"),
    pytest.param([b"lang"], [(b"lang", b"")], id="6265 5.2 no value"),
    pytest.param([b"lang=a=b"], [(b"lang", b"a=b")], id="6265 5.2 = in the value"),
    pytest.param([b'lang="de"'], [(b"lang", b'"de"')], id="6265 4.1.1 quotes are of the value"),
    pytest.param([b"LANG=de"], [], id="6265 4.2.2 case counts"),
    pytest.param([b"xlang=de; langx=fr"], [], id="6265 4.2.2 look-alikes"),
    pytest.param([b"l%61ng=de"], [(b"l%61ng", b"de")], id="frameworks decode names"),
    pytest.param([b"%FF=1; lang=de"], [(b"lang", b"de")], id="a name that is no text"),
    pytest.param([b"lang=\xff"], [(b"lang", b"\xff")], id="a value that is no text"),
    pytest.param([b"; ;;=;"], [], id="6265 5.2 nothing"),
    pytest.param([], [], id="6265 4.2 no field"),
]


@pytest.mark.parametrize(("lines", "expected"), COOKIES)
def test_named_cookies_are_given_as_sent(
    lines: list[bytes], expected: list[tuple[bytes, bytes]]
) -> None:
    assert cookie_pairs(lines, frozenset({"lang"})) == expected


@given(st.lists(st.binary(max_size=30)), st.frozensets(st.text(max_size=3)))
def test_no_cookie_raises(lines: list[bytes], names: frozenset[str]) -> None:
    cookie_pairs(lines, names)
