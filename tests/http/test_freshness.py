"""How long a response is fresh and how old it came (RFC 9111 §4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.cache_control import MAX_SECONDS, parse
from cachemw.http.dates import format_date
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshness import explicit_lifetime, initial_age

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
        st.sampled_from([b"age", b"date", b"expires", b"cache-control"]),
        st.binary(max_size=12)
        | st.integers(-10, 2**40).map(lambda number: b"%d" % number)
        | st.integers(0, 2**33).map(format_date)
        | st.integers(0, 2**33).map(lambda number: b"max-age=%d" % number),
    )
)


@given(FIELDS, st.floats(0, 2**33))
def test_no_input_raises_and_no_time_is_negative(pairs: list[Pair], now: float) -> None:
    fields = Fields(pairs)
    lifetime = explicit_lifetime(parse(fields), fields, now)
    assert lifetime is None or lifetime >= 0
    assert initial_age(fields, now) >= 0
