"""Which request fields select a stored response (RFC 9111 §4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.fields import Fields, Pair
from cachemw.http.vary import Selecting, is_coded, naming_coding, selecting, varies_on

NAMED = [
    pytest.param([], (), id="9110 12.5.5 no field"),
    pytest.param([b""], (), id="9110 12.5.5 an empty field"),
    pytest.param([b"Accept"], (b"accept",), id="9110 5.1 names in any case"),
    pytest.param([b"b, A"], (b"a", b"b"), id="9110 12.5.5 order does not count"),
    pytest.param([b"a, A, a"], (b"a",), id="9110 12.5.5 a name counts once"),
    pytest.param([b"b", b"a"], (b"a", b"b"), id="9110 5.3 over all lines"),
    pytest.param([b" , a ,, "], (b"a",), id="9110 5.6.1.2 empty members"),
    pytest.param([b"*"], None, id="9111 4.1 *"),
    pytest.param([b" * "], None, id="9111 4.1 * with spaces"),
    pytest.param([b"a,*"], None, id="9111 4.1 * in a list"),
    pytest.param([b"*, a"], None, id="9111 4.1 * first"),
    pytest.param([b"a", b"*"], None, id="9111 4.1 * on another line"),
    pytest.param([b"a*"], (b"a*",), id="9111 4.1 a * in a name"),
    pytest.param([b'"a, *'], None, id="9110 5.6.2 a * behind a quote that never closes"),
    pytest.param([b'"a", b'], None, id="9110 5.6.2 a quoted name is none"),
    pytest.param([b"a cookie"], None, id="9110 5.6.2 names without a comma between"),
]


@pytest.mark.parametrize(("lines", "names"), NAMED)
def test_the_names_in_vary(lines: list[bytes], names: tuple[bytes, ...] | None) -> None:
    headers = [(b"server", b"*"), *((b"vary", line) for line in lines)]
    assert varies_on(Fields(headers)) == names


CODED = [
    pytest.param([b"gzip"], True, id="9110 8.4 a coding"),
    pytest.param([b"identity, br"], True, id="9110 8.4 a coding in a list"),
    pytest.param([b"identity", b"br"], True, id="9110 8.4 a coding on a line"),
    pytest.param([b"GZIP"], True, id="9110 8.4.1 in any case"),
    pytest.param([b"unknown"], True, id="9110 8.4.1 an unknown coding"),
    pytest.param([], False, id="9110 8.4 no field"),
    pytest.param([b""], False, id="9110 5.6.1 an empty field"),
    pytest.param([b"Identity"], False, id="9110 12.5.3 no coding"),
]


@pytest.mark.parametrize(("lines", "coded"), CODED)
def test_a_coded_response_varies_on_accept_encoding(lines: list[bytes], coded: bool) -> None:
    fields = Fields([(b"content-encoding", line) for line in lines])
    also = Fields([(b"vary", b"Accept"), *fields])
    assert is_coded(fields) is coded
    assert varies_on(fields) == ((b"accept-encoding",) if coded else ())
    assert varies_on(also) == ((b"accept", b"accept-encoding") if coded else (b"accept",))


def test_a_star_counts_beside_a_coding() -> None:
    assert varies_on(Fields([(b"content-encoding", b"br"), (b"vary", b"*")])) is None


NAMED_CODING = [
    pytest.param([], [b"Accept-Encoding"], id="9110 12.5.5 a new field"),
    pytest.param([b"Accept"], [b"Accept, Accept-Encoding"], id="9110 12.5.5 on the same line"),
    pytest.param([b"a", b"b ,"], [b"a", b"b, Accept-Encoding"], id="9110 5.3 on the last line"),
    pytest.param([b""], [b"Accept-Encoding"], id="9110 5.6.1 an empty line"),
    pytest.param([b"a, ACCEPT-encoding"], [b"a, ACCEPT-encoding"], id="9110 5.1 named already"),
]


@pytest.mark.parametrize(("lines", "named"), NAMED_CODING)
def test_a_coded_response_is_made_to_name_accept_encoding(
    lines: list[bytes], named: list[bytes]
) -> None:
    coding = (b"content-encoding", b"gzip")
    fields = naming_coding(Fields([coding, *((b"vary", line) for line in lines), (b"x", b"1")]))
    assert fields.values(b"vary") == named
    assert [pair for pair in fields if pair[0] != b"vary"] == [coding, (b"x", b"1")]
    assert varies_on(fields) == varies_on(Fields([(b"vary", line) for line in named]))
    assert naming_coding(fields) == fields


def test_a_response_without_a_coding_stays_as_it_is() -> None:
    fields = Fields([(b"vary", b"Accept"), (b"content-encoding", b"identity")])
    assert naming_coding(fields) is fields


SELECTED = [
    pytest.param([], (None,), id="9111 4.1 absent"),
    pytest.param([(b"a", b"")], (b"",), id="9111 4.1 empty is not absent"),
    pytest.param([(b"a", b"1")], (b"1",), id="9111 4.1 a value"),
    pytest.param(
        [(b"a", b"1"), (b"b", b"x"), (b"a", b"2")], (b"1, 2",), id="9110 5.3 lines joined"
    ),
]


@pytest.mark.parametrize(("pairs", "values"), SELECTED)
def test_selecting_fields_are_read(pairs: list[Pair], values: tuple[bytes | None, ...]) -> None:
    assert selecting((b"a",), Fields(pairs)) == ((b"a", values[0]),)


def chosen(pairs: list[Pair]) -> Selecting:
    return selecting((b"a", b"accept", b"b"), Fields(pairs))


MATCHED = [
    pytest.param([(b"a", b"1")], [(b"a", b"1")], True, id="9111 4.1 equal"),
    pytest.param([(b"a", b"1")], [(b"a", b"2")], False, id="9111 4.1 another value"),
    pytest.param([(b"a", b"1")], [], False, id="9111 4.1 absent now"),
    pytest.param([], [(b"a", b"1")], False, id="9111 4.1 absent then"),
    pytest.param([], [], True, id="9111 4.1 absent both times"),
    pytest.param([(b"a", b"")], [], False, id="9111 4.1 empty is not absent"),
    pytest.param([(b"a", b"x")], [(b"a", b"X")], False, id="9111 4.1 case counts"),
    pytest.param(
        [(b"a", b"1, 2")], [(b"a", b"1"), (b"a", b"2")], True, id="9111 4.1 combined lines"
    ),
    pytest.param([(b"a", b"1,2")], [(b"a", b"1, 2")], False, id="9111 4.1 not known to be a list"),
    pytest.param(
        [(b"accept", b"text/html,*/*;q=0.80")],
        [(b"accept", b"Text/HTML"), (b"accept", b"*/* ; q=0.8")],
        True,
        id="9111 4.1 normalised",
    ),
    pytest.param(
        [(b"a", b"1"), (b"c", b"1")], [(b"c", b"2"), (b"a", b"1")], True, id="others do not"
    ),
]


@pytest.mark.parametrize(("first", "second", "matched"), MATCHED)
def test_a_request_selects_what_was_stored(
    first: list[Pair], second: list[Pair], matched: bool
) -> None:
    assert (chosen(first) == chosen(second)) is matched


@given(st.lists(st.binary(max_size=20)))
def test_no_vary_raises(lines: list[bytes]) -> None:
    names = varies_on(Fields([(b"vary", line) for line in lines]))
    assert names is None or list(names) == sorted(set(names))
