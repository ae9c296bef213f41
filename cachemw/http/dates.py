"""HTTP dates, read and written.

Rules:

- Dates are written in one form, IMF-fixdate; all three forms are read (RFC 9110 §5.6.7).
- What is not exactly one of the forms is no date, also one with a zone other than GMT
  (RFC 9111 §4.2). RFC 9110 §5.6.7 allows more leniency; no date is the careful reading here.
- A year of two digits is read within 50 years of today; see `_seconds` (RFC 9110 §5.6.7).
"""

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
    """Return a date in seconds since the epoch, or None if the value is not exactly an HTTP date."""
    if value is None or len(value) > 40:
        return None
    text = value.strip(b" \t").decode("latin-1")
    for form in _FORMS:
        if match := form.fullmatch(text):
            return _seconds(match.groupdict())
    return None


def _seconds(parts: dict[str, str]) -> float | None:
    year = int(parts["year"])
    # RFC 9110 §5.6.7 reads two digits as a year within 50 years of today. There is no clock here, so
    # a fixed limit stands in for today: 70 and more are 19xx. A year that is doubtful is read as
    # past: for Expires and Last-Modified that is the careful side.
    if len(parts["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    try:
        moment = datetime(
            year,
            _MONTHS.index(parts["month"]) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            59
            if parts["second"] == "60"
            else int(parts["second"]),  # a leap second (RFC 9110 §5.6.7)
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()


def format_date(seconds: float) -> bytes:
    """Return an IMF-fixdate (RFC 9110 §5.6.7) for seconds since the epoch."""
    return formatdate(seconds, usegmt=True).encode("ascii")
