"""HTTP dates (RFC 9110 §5.6.7): one form is written, three are read, everything else is none."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.dates import format_date, parse_date

EXAMPLE = 784111777.0  # 6 November 1994, 08:49:37 GMT: the date that RFC 9110 gives in all forms

READ = [
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE, id="9110 5.6.7 IMF-fixdate"),
    pytest.param(b"Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE, id="9110 5.6.7 RFC 850"),
    pytest.param(b"Sun Nov  6 08:49:37 1994", EXAMPLE, id="9110 5.6.7 asctime, one digit"),
    pytest.param(b"Sun Nov 16 08:49:37 1994", EXAMPLE + 864_000, id="9110 5.6.7 asctime, two"),
    pytest.param(b" \tSun, 06 Nov 1994 08:49:37 GMT ", EXAMPLE, id="9110 5.5 spaces around it"),
    pytest.param(b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="9110 5.6.7 the epoch"),
    pytest.param(b"Wed, 31 Dec 1969 23:59:59 GMT", -1.0, id="9110 5.6.7 before the epoch"),
    pytest.param(b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799.0, id="9110 5.6.7 a leap second"),
    pytest.param(b"Tuesday, 01-Jan-69 00:00:00 GMT", 3124224000.0, id="9110 5.6.7 69 is to come"),
    pytest.param(b"Thursday, 01-Jan-70 00:00:00 GMT", 0.0, id="9110 5.6.7 70 is past"),
    pytest.param(b"Tue, 29 Feb 2000 00:00:00 GMT", 951782400.0, id="9110 5.6.7 a leap day"),
]


@pytest.mark.parametrize(("value", "seconds"), READ)
def test_a_date_is_read(value: bytes, seconds: float) -> None:
    assert parse_date(value) == seconds


REFUSED = [
    pytest.param(None, id="9110 6.6.1 no field"),
    pytest.param(b"", id="9110 5.6.7 empty"),
    pytest.param(b"0", id="9111 5.3 zero"),
    pytest.param(b"-1", id="9111 5.3 minus one"),
    pytest.param(b"784111777", id="9110 5.6.7 seconds"),
    pytest.param(b"1994-11-06T08:49:37Z", id="9110 5.6.7 ISO 8601"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 UTC", id="9110 5.6.7 UTC"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 EST", id="9110 5.6.7 another zone"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 +0000", id="9110 5.6.7 an offset"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37", id="9110 5.6.7 no zone"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 gmt", id="9110 5.6.7 case counts: the zone"),
    pytest.param(b"sun, 06 nov 1994 08:49:37 GMT", id="9110 5.6.7 case counts: the names"),
    pytest.param(b"Sun, 6 Nov 1994 08:49:37 GMT", id="9110 5.6.7 one digit of day"),
    pytest.param(b"Sun, 06 Nov 94 08:49:37 GMT", id="9110 5.6.7 two digits of year"),
    pytest.param(b"Sun 06 Nov 1994 08:49:37 GMT", id="9110 5.6.7 no comma"),
    pytest.param(b"Sun,  06 Nov 1994 08:49:37 GMT", id="9110 5.6.7 two spaces"),
    pytest.param(b"Sun, 06 Nov 1994 8:49:37 GMT", id="9110 5.6.7 one digit of hour"),
    pytest.param(b"Sun, 06-Nov-1994 08:49:37 GMT", id="9110 5.6.7 a cookie's date"),
    pytest.param(b"Sunday, 06-Nov-94 08:49:37", id="9110 5.6.7 RFC 850 without zone"),
    pytest.param(b"Sun Nov 06 08:49:37 1994 GMT", id="9110 5.6.7 asctime with zone"),
    pytest.param(b"Xyz, 06 Nov 1994 08:49:37 GMT", id="9110 5.6.7 no day of the week"),
    pytest.param(b"Sun, 32 Nov 1994 08:49:37 GMT", id="9110 5.6.7 no day"),
    pytest.param(b"Wed, 29 Feb 2001 00:00:00 GMT", id="9110 5.6.7 no leap year"),
    pytest.param(b"Sun, 06 Nov 1994 24:00:00 GMT", id="9110 5.6.7 no hour"),
    pytest.param(b"Sun, 06 Nov 1994 08:60:00 GMT", id="9110 5.6.7 no minute"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:61 GMT", id="9110 5.6.7 no second"),
    pytest.param(b"Sun, 06 Nov 0000 08:49:37 GMT", id="9110 5.6.7 no year"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 GMT\x00", id="9110 5.6.7 a NUL behind it"),
    pytest.param(b"\xa0Sun, 06 Nov 1994 08:49:37 GMT", id="9110 5.5 a no-break space"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 GMT, 0", id="9110 5.6.7 a second member"),
    pytest.param("Sun, ٠٦ Nov 1994 08:49:37 GMT".encode(), id="9110 5.6.7 other digits"),
    pytest.param(b"9" * 1_000_000, id="9110 5.6.7 a million digits"),
]


@pytest.mark.parametrize("value", REFUSED)
def test_what_is_not_exactly_a_date_is_none(value: bytes | None) -> None:
    assert parse_date(value) is None


def test_the_fixed_form_is_written() -> None:
    assert format_date(EXAMPLE) == b"Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(-62135596800, 253402300799))  # the years 1 to 9999
def test_what_is_written_is_read_again(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(st.datetimes(min_value=datetime(1970, 1, 1)))
def test_asctime_and_the_fixed_form_agree(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    fixed = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()
    ascii_time = moment.ctime().encode()
    assert parse_date(fixed) == parse_date(ascii_time)
    assert parse_date(fixed) is not None


@given(st.binary(max_size=60))
def test_no_bytes_raise(value: bytes) -> None:
    parse_date(value)


PIECES = st.sampled_from(
    [
        "Sun",
        "Sunday",
        ", ",
        "06",
        " 6",
        "Nov",
        "Feb",
        "1994",
        "0000",
        "99",
        " ",
        "-",
        ":",
        "61",
        "GMT",
    ]
)


@given(st.lists(PIECES, max_size=16).map("".join))
def test_no_near_miss_raises(text: str) -> None:
    parse_date(text.encode())
