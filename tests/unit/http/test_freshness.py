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
    Lifetime,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
    not_stating_lifetime,
    stating_lifetime,
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


AGES = [
    pytest.param([], 0, id="9111 4.2.3 nothing stated"),
    pytest.param([(b"age", b"30")], 30, id="9111 5.1 Age"),
    pytest.param([date(-30)], 30, id="9111 4.2.3 apparent age"),
    pytest.param([(b"age", b"10"), date(-30)], 30, id="9111 4.2.3 the larger of both: Date"),
    pytest.param([(b"age", b"30"), date(-10)], 30, id="9111 4.2.3 the larger of both: Age"),
    pytest.param([date(30)], 0, id="9111 4.2.3 a Date to come is no negative age"),
    pytest.param([(b"date", b"x"), (b"age", b"3")], 3, id="9111 4.2.3 a Date that is none"),
    pytest.param([(b"age", b"\t007 ")], 7, id="9110 5.5 space around it"),
    pytest.param([(b"age", b"7, 30")], 7, id="9111 5.1 of several members the first"),
    pytest.param([(b"age", b"7, old")], 7, id="9111 5.1 whatever the others are"),
    pytest.param([(b"age", b", 7")], 7, id="9110 5.6.1.2 an empty member is none"),
    pytest.param([(b"age", b"7"), (b"age", b"30")], 7, id="9111 5.1 of several lines the first"),
    pytest.param([(b"age", b""), (b"age", b"30")], 30, id="9110 5.6.1.2 nor is an empty line"),
    pytest.param([(b"age", b"9" * 30)], MAX_SECONDS, id="9111 1.2.2 overflow"),
    pytest.param([(b"age", b"9" * 30 + b", 1")], MAX_SECONDS, id="9111 1.2.2 overflow in a list"),
    *(
        pytest.param([(b"age", value), date(-3)], 3, id=f"9111 5.1 ignored: {value!r}")
        for value in (
            b"",
            b"x",
            b"-7200",
            b"+7200",
            b"7200.0",
            b'"7200"',
            b"7200;foo=bar",
            b"7200 s",
            b"old, 7200",
            b"\xd9\xa7",  # a digit, but not of ASCII
        )
    ),
    pytest.param([(b"age", b"old"), (b"age", b"7200")], 0, id="9111 5.1 ignored: the first line"),
]


@pytest.mark.parametrize(("pairs", "age"), AGES)
def test_the_age_on_arrival(pairs: list[Pair], age: float) -> None:
    assert initial_age(Fields(pairs), NOW) == age


def test_a_date_written_in_this_second_is_no_age() -> None:
    """Fields carry whole seconds, the clock does not."""
    assert initial_age(Fields([date(0)]), NOW + 0.9) == 0
    assert initial_age(Fields([date(0)]), NOW + 1.1) == 1


STATED = [
    pytest.param(
        [expires(at(60))],
        [expires(at(60)), date(0), cc(b"max-age=60")],
        id="9110 6.6.1 a Date; 9111 5.3 what needs none",
    ),
    pytest.param(
        [date(-5), expires(at(60))],
        [date(-5), expires(at(60)), cc(b"max-age=65")],
        id="9111 4.2.1 by its own Date",
    ),
    pytest.param(
        [(b"date", b"x"), expires(at(60))],
        [expires(at(60)), date(0), cc(b"max-age=60")],
        id="9110 6.6.1 a Date that is none",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b"public"), cc(b"s-maxage=5 ,"), (b"x", b"1")],
        [date(0), expires(at(60)), cc(b"public"), cc(b"s-maxage=5, max-age=60"), (b"x", b"1")],
        id="9110 5.3 on the last line",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b"ext=X")],
        [date(0), expires(at(60)), cc(b"ext=X, max-age=60")],
        id="9111 5.2 another directive stays as it is",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b'private="x"')],
        [date(0), expires(at(60)), cc(b'private="x", max-age=60')],
        id="9110 5.6.4 behind a quote that closes",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b'private="x'), cc(b"public")],
        [date(0), expires(at(60)), cc(b'private="x'), cc(b"public, max-age=60")],
        id="9110 5.6.4 an open quote on another line",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b"public"), cc(b"")],
        [date(0), expires(at(60)), cc(b"public"), cc(b"max-age=60")],
        id="9110 5.6.1 on an empty last line",
    ),
    pytest.param(
        [date(0), expires(at(60)), cc(b"public"), cc(b"public")],
        [date(0), expires(at(60)), cc(b"public"), cc(b"public, max-age=60")],
        id="9110 5.3 on the last of two equal lines",
    ),
    pytest.param(
        [cc(b""), date(0), expires(at(60))],
        [cc(b"max-age=60"), date(0), expires(at(60))],
        id="9110 5.6.1 on an empty line",
    ),
    pytest.param(
        [date(0), (b"expires", b"Fri, 31 Dec 9999 23:59:59 GMT")],
        [
            date(0),
            (b"expires", b"Fri, 31 Dec 9999 23:59:59 GMT"),
            cc(b"max-age=%d" % MAX_SECONDS),
        ],
        id="9111 1.2.2 no more than a cache reads",
    ),
]


@pytest.mark.parametrize(("fields", "stated"), STATED)
def test_a_lifetime_by_expires_is_stated_so_that_no_date_is_needed(
    fields: list[Pair], stated: list[Pair]
) -> None:
    done = stating_lifetime(Fields(fields), NOW + 0.9)
    assert list(done) == stated
    assert stating_lifetime(done, NOW + 500) == done
    assert not_stating_lifetime(done).values(b"cache-control") == [
        line.strip(b" ,") for name, line in fields if name == b"cache-control" and line
    ]


AS_THEY_ARE = [
    pytest.param([], id="9111 4.2.1 no lifetime"),
    pytest.param([cc(b"public")], id="9111 4.2.1 no Expires"),
    pytest.param([cc(b"max-age=5"), expires(at(60)), date(0)], id="9111 5.3 max-age is there"),
    pytest.param([cc(b"max-age=x"), expires(at(60)), date(0)], id="9111 4.2.1 one that is none"),
    pytest.param([expires(at(-60)), date(0)], id="9111 5.3 in the past"),
    pytest.param([expires(at(0)), date(0)], id="9111 5.3 now"),
    pytest.param([cc(b"max-age=0"), expires(at(0)), date(0)], id="9111 5.3 now, and stated"),
    pytest.param([cc(b"public"), date(0)], id="9111 4.2.1 a Date alone"),
    pytest.param([cc(b"public"), cc(b'x="'), expires(at(60)), date(0)], id="9110 5.6.4 on a line"),
    pytest.param([expires(b"0")], id="9111 5.3 an Expires that is none"),
    pytest.param([cc(b'private="x'), expires(at(60)), date(0)], id="9110 5.6.4 an open quote"),
]


@pytest.mark.parametrize("fields", AS_THEY_ARE)
def test_other_lifetimes_stay_as_they_are(fields: list[Pair]) -> None:
    assert list(stating_lifetime(Fields(fields), NOW)) == fields
    assert list(not_stating_lifetime(Fields(fields))) == fields


def test_nothing_is_taken_from_what_states_nothing() -> None:
    for missing in ([date(0), expires(at(60))], [cc(b"public"), expires(at(60))]):
        fields = Fields(missing)
        assert not_stating_lifetime(fields) == fields


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
    assert stating_lifetime(fields, now).names >= fields.names
    not_stating_lifetime(fields)
    lifetime = explicit_lifetime(parse(fields), fields, now)
    assert lifetime is None or lifetime >= 0
    assert initial_age(fields, now) >= 0


@pytest.mark.parametrize(
    ("seconds", "limited"),
    [
        (100.0, (10.0, 20.0, 30.0, 40.0)),
        (40.0, (10.0, 20.0, 30.0, 40.0)),
        (39.0, (10.0, 0.0, 0.0, 39.0)),
        (5.0, (5.0, 0.0, 0.0, 5.0)),
    ],
)
def test_a_limited_lifetime_ends_in_time(seconds: float, limited: tuple[float, ...]) -> None:
    lifetime = Lifetime(fresh=10.0, stale_while_revalidate=20.0, stale_if_error=30.0, kept=40.0)
    found = lifetime.limited(seconds)
    ends = found.fresh, found.stale_while_revalidate, found.stale_if_error, found.kept
    assert ends == limited
