"""How long a response is fresh and how old it came (RFC 9111 §4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import MAX_SECONDS, CacheControl, parse
from cachemw.http.dates import format_date
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshness import (
    HEURISTIC_STATUSES,
    age_is_readable,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
)

NOW = 1_700_000_000.0


def at(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def cc(value: bytes) -> tuple[bytes, bytes]:
    return b"cache-control", value


def expires(value: bytes) -> tuple[bytes, bytes]:
    return b"expires", value


def date(seconds: float) -> tuple[bytes, bytes]:
    return b"date", at(seconds)


LIFETIMES = [
    pytest.param([], None, id="9111 4.2.1 nothing stated"),
    pytest.param([cc(b"max-age=60")], 60, id="9111 4.2.1 max-age"),
    pytest.param([cc(b"s-maxage=5, max-age=60")], 5, id="9111 4.2.1 s-maxage before max-age"),
    pytest.param([cc(b"s-maxage=60, max-age=5")], 60, id="9111 5.2.2.10 also when it is longer"),
    pytest.param([cc(b"s-maxage=0, max-age=60")], 0, id="9111 5.2.2.10 also when it is zero"),
    pytest.param([cc(b"max-age=5"), expires(at(60)), date(0)], 5, id="9111 5.3 before Expires"),
    pytest.param([cc(b"max-age=x"), expires(at(60))], 0, id="9111 4.2.1 unreadable: stale"),
    pytest.param([cc(b"public"), expires(at(60)), date(0)], 60, id="9111 4.2.1 Expires - Date"),
    pytest.param([expires(at(60)), date(20)], 40, id="9111 4.2.1 by the Date, not our clock"),
    pytest.param([expires(at(60))], 60, id="9110 6.6.1 no Date: our clock"),
    pytest.param([expires(at(60)), (b"date", b"x")], 60, id="9110 6.6.1 a Date that is none"),
    pytest.param([expires(at(-60)), date(0)], 0, id="9111 5.3 in the past"),
    pytest.param([expires(b"0")], 0, id="9111 5.3 '0'"),
    pytest.param([expires(b"")], 0, id="9111 5.3 empty"),
    pytest.param([expires(b"tomorrow")], 0, id="9111 5.3 an invalid date is past"),
    pytest.param([expires(at(5)), expires(at(60))], 5, id="9111 4.2.1 of two Expires the first"),
]


@pytest.mark.parametrize(("pairs", "lifetime"), LIFETIMES)
def test_the_stated_lifetime(pairs: list[Pair], lifetime: float | None) -> None:
    assert explicit_lifetime(parse(Fields(pairs)), Fields(pairs), NOW) == lifetime


def test_expires_does_not_count_beside_a_targeted_field() -> None:
    """RFC 9213 §2.2."""
    fields = Fields([expires(at(60))])
    assert explicit_lifetime(CacheControl(targeted=True), fields, NOW) is None
    assert explicit_lifetime(CacheControl(targeted=True, max_age=5), fields, NOW) == 5


def modified(seconds: float) -> tuple[bytes, bytes]:
    return b"last-modified", at(seconds)


DAY = 86_400
GUESSES = [
    pytest.param(200, [], None, id="9111 4.2.2 nothing to guess from"),
    pytest.param(200, [date(0)], None, id="9111 4.2.2 a Date alone"),
    pytest.param(200, [modified(-100)], 10, id="9111 4.2.2 a tenth of the time since"),
    pytest.param(200, [modified(-100), date(-50)], 5, id="9111 4.2.2 up to its Date"),
    pytest.param(200, [modified(-100), (b"date", b"x")], 10, id="9110 6.6.1 a Date that is none"),
    pytest.param(200, [modified(-10 * DAY)], DAY, id="9111 4.2.2 just a day"),
    pytest.param(200, [modified(-900 * DAY)], DAY, id="9111 4.2.2 at most a day"),
    pytest.param(200, [modified(100)], 0, id="9111 4.2.2 modified in the future"),
    pytest.param(200, [(b"last-modified", b"0")], None, id="9111 4.2.2 no date"),
    *(
        pytest.param(status, [modified(-100)], 10, id=f"9110 15.1 {status}")
        for status in (203, 204, 300, 301, 308, 404, 405, 410, 414, 501)
    ),
    *(
        pytest.param(status, [modified(-100)], None, id=f"9110 15.1 not {status}")
        for status in (201, 202, 206, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599)
    ),
    pytest.param(599, [modified(-100), cc(b"public")], 10, id="9111 4.2.2 public: any status"),
    pytest.param(403, [modified(-100), cc(b"private")], None, id="9111 4.2.2 only public"),
]


@pytest.mark.parametrize(("status", "pairs", "lifetime"), GUESSES)
def test_the_guessed_lifetime(status: int, pairs: list[Pair], lifetime: float | None) -> None:
    fields = Fields(pairs)
    assert heuristic_lifetime(status, fields, parse(fields), NOW, 0.1) == lifetime


READABLE = [
    pytest.param([], True, id="9111 5.1 no Age"),
    pytest.param([b"0"], True, id="9111 5.1 a number"),
    pytest.param([b"\t007 "], True, id="9110 5.5 space around it"),
    pytest.param([b"9" * 30], True, id="9111 1.2.2 too large is a number too"),
    pytest.param([b""], False, id="9111 5.1 empty"),
    pytest.param([b"abc"], False, id="9111 5.1 no number"),
    pytest.param([b"7X"], False, id="9111 5.1 a letter behind it"),
    pytest.param([b"-7200"], False, id="9111 5.1 negative"),
    pytest.param([b"7200.0"], False, id="9111 5.1 a fraction"),
    pytest.param([b'"7200"'], False, id="9111 5.1 a string"),
    pytest.param([b"7200;foo=bar"], False, id="9111 5.1 a parameter"),
    pytest.param([b"0,7200"], False, id="9111 5.1 a list"),
    pytest.param([b"0, 0"], False, id="9111 5.1 a list of equals"),
    pytest.param([b"7200", b"0"], False, id="9111 5.1 two lines"),
    pytest.param([b"0", b"0"], False, id="9111 5.1 two equal lines"),
]


@pytest.mark.parametrize(("lines", "readable"), READABLE)
def test_an_age_is_one_number(lines: list[bytes], readable: bool) -> None:
    assert age_is_readable(Fields([(b"age", line) for line in lines])) is readable


AGES = [
    pytest.param([], 0, id="9111 4.2.3 nothing stated"),
    pytest.param([(b"age", b"30")], 30, id="9111 5.1 Age"),
    pytest.param([date(-30)], 30, id="9111 4.2.3 apparent age"),
    pytest.param([(b"age", b"10"), date(-30)], 30, id="9111 4.2.3 the larger of both: Date"),
    pytest.param([(b"age", b"30"), date(-10)], 30, id="9111 4.2.3 the larger of both: Age"),
    pytest.param([date(30)], 0, id="9111 4.2.3 a Date to come is no negative age"),
    pytest.param([(b"date", b"x"), (b"age", b"3")], 3, id="9111 4.2.3 a Date that is none"),
    pytest.param([(b"age", b"x")], 0, id="9111 5.1 an invalid Age does not count"),
    pytest.param([(b"age", b"-5")], 0, id="9111 5.1 a negative Age"),
    pytest.param([(b"age", b"7, 30")], 7, id="9111 5.1 of several members the first"),
    pytest.param([(b"age", b"7"), (b"age", b"30")], 7, id="9111 5.1 of several lines the first"),
    pytest.param([(b"age", b"9" * 30)], MAX_SECONDS, id="9111 1.2.2 overflow"),
]


@pytest.mark.parametrize(("pairs", "age"), AGES)
def test_the_age_on_arrival(pairs: list[Pair], age: float) -> None:
    assert initial_age(Fields(pairs), NOW) == age


def test_a_date_written_in_this_second_is_no_age() -> None:
    """Fields carry whole seconds, the clock does not."""
    assert initial_age(Fields([date(0)]), NOW + 0.9) == 0
    assert initial_age(Fields([date(0)]), NOW + 1.1) == 1


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"age", b"date", b"expires", b"cache-control", b"last-modified"]),
        st.binary(max_size=12)
        | st.integers(-10, 2**40).map(lambda number: b"%d" % number)
        | st.integers(0, 2**33).map(format_date)
        | st.integers(0, 2**33).map(lambda number: b"max-age=%d" % number),
    )
)


@given(FIELDS, st.floats(0, 2**33), st.sampled_from(sorted(HEURISTIC_STATUSES)))
def test_no_input_raises_and_no_time_is_negative(
    pairs: list[Pair], now: float, status: int
) -> None:
    fields = Fields(pairs)
    guess = heuristic_lifetime(status, fields, parse(fields), now, 0.1)
    assert guess is None or 0 <= guess <= DAY
    assert age_is_readable(fields) in (True, False)
    lifetime = explicit_lifetime(parse(fields), fields, now)
    assert lifetime is None or lifetime >= 0
    assert initial_age(fields, now) >= 0
