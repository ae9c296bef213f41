"""Cache-Control as a shared cache reads it: nothing raises, the unreadable counts carefully."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import MAX_SECONDS, CacheControl, delta_seconds, parse
from cachemw.http.fields import Fields


def row(name: str, *lines: bytes, **expected: Any) -> Any:
    return pytest.param(lines, CacheControl(**expected), id=name)


READ = [
    row("9111 5.2 no field"),
    row("9111 5.2 an empty field", b""),
    row("9111 5.2.2.5 no-store", b"no-store", no_store=True),
    row("9111 5.2.2.4 no-cache", b"no-cache", no_cache=True),
    row("9111 5.2.2.7 private", b"private", private=True),
    row("9111 5.2.2.9 public", b"public", public=True),
    row("9111 5.2.2.2 must-revalidate", b"must-revalidate", must_revalidate=True),
    row("9111 5.2.2.8 proxy-revalidate", b"proxy-revalidate", proxy_revalidate=True),
    row("9111 5.2.2.3 must-understand", b"must-understand", must_understand=True),
    row("9111 5.2.2.1 max-age", b"max-age=60", max_age=60),
    row("9111 5.2.2.10 s-maxage", b"s-maxage=60", s_maxage=60),
    row("5861 3 stale-while-revalidate", b"stale-while-revalidate=9", stale_while_revalidate=9),
    row("5861 4 stale-if-error", b"stale-if-error=9", stale_if_error=9),
    row("9111 5.2 names in any case", b"No-STORE, MAX-age=5", no_store=True, max_age=5),
    row("9111 5.2 members over lines", b"public", b"max-age=5", public=True, max_age=5),
    row("9110 5.6.1 empty members", b", ,no-store,,", no_store=True),
    row("9110 5.6.1 tabs around members", b"\tpublic\t,\tmax-age=1\t", public=True, max_age=1),
    row("9111 5.2 a quoted number", b'max-age="60"', max_age=60),
    row("8246 2 immutable", b"Immutable, max-age=3", immutable=True, max_age=3),
    row("9111 5.2 unknown directives do nothing", b"community=UCI, max-age=3", max_age=3),
    row("9111 5.2 a directive in another's quoted value is none", b'ext="no-store, max-age=9"'),
    row("9111 5.2 a quoted comma ends no member", b'ext="a, b", no-store', no_store=True),
    row("9110 5.6.4 an escaped quote ends no string", rb'ext="a\", private", public', public=True),
    row(
        "9111 5.2.2.4 no-cache for one field",
        b'no-cache="X-Nonce"',
        no_cache_fields=frozenset({b"x-nonce"}),
    ),
    row(
        "9111 5.2.2.7 private for some fields",
        b'private = "X-User, ,x-two "',
        private_fields=frozenset({b"x-user", b"x-two"}),
    ),
    row(
        "9111 5.2.2.7 fields over members and lines",
        b'private="a", PRIVATE="b"',
        b'private="c"',
        private_fields=frozenset({b"a", b"b", b"c"}),
    ),
    row(
        "9111 5.2.2.7 the whole too",
        b'private="a", private',
        private=True,
        private_fields=frozenset({b"a"}),
    ),
    row(
        "9111 5.2.2.4 the whole, before its fields",
        b"no-cache",
        b'no-cache="a"',
        no_cache=True,
        no_cache_fields=frozenset({b"a"}),
    ),
    row("9111 5.2.2.7 no field at all: the whole", b'private=""', private=True),
    row("9111 5.2.2.4 commas only: the whole", b'no-cache=" ,, "', no_cache=True),
    row("9111 5.2.2.7 unquoted: the whole", b"private=x-user", private=True),
    row("9111 5.2.2.4 what is no name: the whole", b'no-cache="a, b c"', no_cache=True),
    row("9111 5.2.2.7 an escape: the whole", rb'private="a\b"', private=True),
    row("9111 5.2.2.7 a quote that never closes: the whole", b'private="a, b', private=True),
    row("9111 5.2.2.4 half a quote: the whole", b'no-cache="', no_cache=True),
    row("9111 5.2.2.7 single quotes: the whole", b"private='a'", private=True),
    row("9111 5.2 an argument that should not be there", b"no-store=0", no_store=True),
    row("9111 5.2 spaces around =", b"max-age = 7", max_age=7),
    row("9111 4.2.1 of two max-age the smaller", b"max-age=60, max-age=5", max_age=5),
    row("9111 4.2.1 of two lines the smaller", b"s-maxage=5", b"s-maxage=60", s_maxage=5),
    row("9111 4.2.1 no number is zero", b"max-age=soon", max_age=0),
    row("9111 4.2.1 no value is zero", b"max-age", max_age=0),
    row("9111 4.2.1 an empty value is zero", b"max-age=", max_age=0),
    row("9111 4.2.1 one of two is no number", b"max-age=60, max-age=x", max_age=0),
    row("9111 1.2.2 a negative number is none", b"max-age=-60", max_age=0),
    row("9111 1.2.2 a fraction is none", b"max-age=60.5", max_age=0),
    row("9111 5.2 single quotes are no quotes", b"max-age='60'", max_age=0),
    row("5861 3 no number grants nothing", b"stale-while-revalidate=x", stale_while_revalidate=0),
    row("9111 1.2.2 too large", b"max-age=99999999999", max_age=MAX_SECONDS),
    row("9111 5.2 look-alikes are none", b"x-no-store, no-storex, private-ish, max_age=4"),
    row("9110 5.6.4 a quote that never closes", b'ext="a, no-store'),
    row("9110 5.6.4 such a quote ends with its line", b'ext="a', b"private", private=True),
    row("9110 5.6.4 before it all is read", b'private, ext="a, max-age=9', private=True),
]


@pytest.mark.parametrize(("lines", "expected"), READ)
def test_every_line_is_read(lines: tuple[bytes, ...], expected: CacheControl) -> None:
    headers = [(b"server", b"x"), *((b"cache-control", line) for line in lines)]
    assert parse(Fields(headers)) == expected


def test_pragma_says_nothing_in_a_response() -> None:
    """RFC 9111 §5.4: its meaning there is unspecified."""
    assert parse(Fields([(b"pragma", b"no-cache")])) == CacheControl()


SECONDS = [
    pytest.param(b"0", 0, id="9111 1.2.2 zero"),
    pytest.param(b"007", 7, id="9111 1.2.2 leading zeros"),
    pytest.param(b"0" * 40 + b"60", 60, id="9111 1.2.2 many leading zeros make no larger number"),
    pytest.param(b"0" * 40, 0, id="9111 1.2.2 nothing but zeros"),
    pytest.param(b"2147483647", 2**31 - 1, id="9111 1.2.2 the largest that is itself"),
    pytest.param(b"2147483649", MAX_SECONDS, id="9111 1.2.2 overflow"),
    pytest.param(b"9" * 1_000_000, MAX_SECONDS, id="9111 1.2.2 a million digits"),
    pytest.param(b"+5", 0, id="9111 1.2.2 a sign is no digit"),
    pytest.param(b"1e3", 0, id="9111 1.2.2 an exponent is no digit"),
    pytest.param(b"0x10", 0, id="9111 1.2.2 hexadecimal is no number"),
    pytest.param("٣".encode(), 0, id="9111 1.2.2 only ASCII digits"),
    pytest.param(b"1 0", 0, id="9111 1.2.2 two numbers are none"),
]


@pytest.mark.parametrize(("value", "seconds"), SECONDS)
def test_seconds(value: bytes, seconds: int) -> None:
    assert delta_seconds(value) == seconds


FORBIDS_STALE = [
    pytest.param(b"max-age=1", False, id="9111 4.2.4 nothing forbids it"),
    pytest.param(b"must-revalidate", True, id="9111 5.2.2.2"),
    pytest.param(b"proxy-revalidate", True, id="9111 5.2.2.8"),
    pytest.param(b"s-maxage=1", True, id="9111 5.2.2.10 s-maxage implies proxy-revalidate"),
    pytest.param(b"s-maxage=x", True, id="9111 5.2.2.10 unreadable too"),
    pytest.param(b"no-cache", True, id="9111 5.2.2.4"),
    pytest.param(b'no-cache="a"', False, id="9111 5.2.2.4 for one field only"),
    pytest.param(b"public, stale-if-error=9", False, id="5861 4 asked for"),
]


@pytest.mark.parametrize(("line", "forbidden"), FORBIDS_STALE)
def test_what_forbids_stale_answers(line: bytes, forbidden: bool) -> None:
    assert parse(Fields([(b"cache-control", line)])).forbids_stale is forbidden


SHARES_AUTHORIZED = [
    pytest.param(b"public", True, id="9111 3.5 public"),
    pytest.param(b"must-revalidate", True, id="9111 3.5 must-revalidate"),
    pytest.param(b"s-maxage=0", True, id="9111 3.5 s-maxage"),
    pytest.param(b"max-age=60", False, id="9111 3.5 max-age does not"),
    pytest.param(b"proxy-revalidate", False, id="9111 3.5 proxy-revalidate does not"),
]


@pytest.mark.parametrize(("line", "shared"), SHARES_AUTHORIZED)
def test_what_shares_answers_to_authorized_requests(line: bytes, shared: bool) -> None:
    assert parse(Fields([(b"cache-control", line)])).shares_authorized is shared


def test_what_is_left_out_is_what_either_directive_names() -> None:
    control = parse(Fields([(b"cache-control", b'private="A, b", no-cache="b, c"')]))
    assert control.omitted == {b"a", b"b", b"c"}
    assert parse(Fields([])).omitted == frozenset()


DIRECTIVES = st.sampled_from(
    [
        b"no-cache=",
        b'private="',
        b"no-store",
        b"private",
        b"public",
        b"max-age=",
        b"s-maxage",
        b"60",
        b'"',
        b",",
        b"\\",
        b"=",
        b" ",
    ]
)


@given(st.lists(st.binary(max_size=20) | st.lists(DIRECTIVES).map(b"".join)))
def test_no_input_raises_and_no_number_leaves_its_bounds(lines: list[bytes]) -> None:
    control = parse(Fields([(b"cache-control", line) for line in lines]))
    for seconds in (
        control.max_age,
        control.s_maxage,
        control.stale_while_revalidate,
        control.stale_if_error,
    ):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS
    assert all(name and name == name.lower() for name in control.omitted)


@given(st.sampled_from([b"private", b"no-cache"]), st.binary(max_size=12))
def test_either_directive_is_about_the_whole_or_about_some_fields(name: bytes, rest: bytes) -> None:
    """Whatever follows its `=`, a refusal never turns into nothing."""
    control = parse(Fields([(b"cache-control", name + b"=" + rest)]))
    whole = control.private if name == b"private" else control.no_cache
    assert whole or control.omitted


@given(st.binary())
def test_a_refusal_counts_whatever_stands_in_the_line_after_it(rest: bytes) -> None:
    control = parse(Fields([(b"cache-control", b"no-store, private," + rest)]))
    assert control.no_store
    assert control.private


@given(st.integers(0, 2**40), st.integers(0, 50))
def test_a_number_is_itself_up_to_the_largest(number: int, zeros: int) -> None:
    assert delta_seconds(b"0" * zeros + b"%d" % number) == min(number, MAX_SECONDS)
