"""HTTP dates (RFC 9110 §5.6.7): the fixed form is written, all three forms are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate

__all__ = ["format_date", "parse_date"]

_DAYS = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"{_DAYS}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"{_DAYS} {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)


def parse_date(value: bytes | None) -> float | None:
    """Give the date as seconds since the epoch, or None for what is not exactly an HTTP date."""
    if value is None or len(value) > 40:
        return None
    text = value.strip(b" \t").decode("latin-1")
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _seconds(match.groupdict())
    return None


def _seconds(parts: dict[str, str]) -> float | None:
    year = int(parts["year"])
    # RFC 9110 §5.6.7 reads two digits within 50 years of today. Without a clock, a doubtful year is
    # read as past, which for every field that guides a cache is the careful side.
    if len(parts["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    try:
        moment = datetime(
            year,
            _MONTHS.index(parts["month"]) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            59 if parts["second"] == "60" else int(parts["second"]),  # a leap second
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()


def format_date(seconds: float) -> bytes:
    """Write an IMF-fixdate from seconds since the epoch."""
    return formatdate(seconds, usegmt=True).encode("ascii")
