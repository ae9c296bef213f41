"""How long a response is fresh, and how old it is on arrival.

Rules:

- The lifetime is `s-maxage`, else `max-age`, else Expires minus Date (RFC 9111 §4.2.1).
- An Expires that is not a date is in the past (RFC 9111 §5.3); with a targeted header it does not
  count (RFC 9213 §2.2).
- A missing Date is the time of arrival (RFC 9110 §6.6.1).
- A response without a lifetime may get a guess: a share of the time since Last-Modified, if its
  status allows that or it says `public` (RFC 9111 §4.2.2).
- The age on arrival is the larger of Age and the time since Date (RFC 9111 §4.2.3).
- Of several members of Age the first counts (RFC 9111 §5.1). If Age cannot be read, the caller takes
  the response as stale (RFC 9111 §4.2.1); see `age_is_readable`.
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.http.cache_control import CacheControl, delta_seconds
from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields

__all__ = [
    "HEURISTIC_STATUSES",
    "Lifetime",
    "age_is_readable",
    "explicit_lifetime",
    "heuristic_lifetime",
    "initial_age",
]

# RFC 9110 §15.1, without 206: parts of a response are not stored.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
_AGED = frozenset({b"age", b"date"})
_MAX_HEURISTIC = 86_400.0
"""Seconds: one day. RFC 9111 §4.2.2 sets no limit, but nobody expects a guess of more than a day."""


class Lifetime(Struct, frozen=True, kw_only=True):
    """How long each use is allowed, in seconds from the time at which the response was made."""

    fresh: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    kept: float
    """How long to store the response: while it is fresh, may be served stale, or can be validated."""


def explicit_lifetime(control: CacheControl, fields: Fields, wall_now: float) -> float | None:
    """Return the freshness lifetime that the response states, in seconds, or None (RFC 9111 §4.2.1).

    `wall_now` (seconds since the epoch) is used where Date is missing (RFC 9110 §6.6.1).
    """
    if control.s_maxage is not None:
        return float(control.s_maxage)
    if control.max_age is not None:
        return float(control.max_age)
    if control.targeted or b"expires" not in fields:
        return None
    expires = parse_date(fields.first(b"expires"))
    if expires is None:  # RFC 9111 §5.3: an invalid date, such as "0", is in the past
        return 0.0
    date = parse_date(fields.first(b"date"))
    return max(0.0, expires - (wall_now if date is None else date))


def heuristic_lifetime(
    status: int, fields: Fields, control: CacheControl, wall_now: float, fraction: float
) -> float | None:
    """Return a guess of the lifetime in seconds, or None where guessing is not allowed (RFC 9111 §4.2.2).

    The guess is a `fraction` of the time since Last-Modified, at most a day: what has not changed
    for long will probably not change soon.
    """
    if status not in HEURISTIC_STATUSES and not control.public:
        return None
    modified = parse_date(fields.first(b"last-modified"))
    if modified is None:
        return None
    date = parse_date(fields.first(b"date"))
    unchanged = max(0.0, (wall_now if date is None else date) - modified)
    return min(unchanged * fraction, _MAX_HEURISTIC)


def age_is_readable(fields: Fields) -> bool:
    """Tell whether Age is absent, or exactly one whole number.

    RFC 9111 §5.1 says to ignore any other Age. Then an old response would be taken for a new one, so
    callers take it as stale instead, as RFC 9111 §4.2.1 encourages for invalid freshness information.
    """
    if b"age" not in fields:
        return True
    lines = fields.values(b"age")
    return len(lines) == 1 and lines[0].strip(b" \t").isdigit()


def initial_age(fields: Fields, wall_now: float) -> float:
    """Return the age of a response on arrival, in seconds (RFC 9111 §4.2.3)."""
    if _AGED.isdisjoint(fields.names):
        return 0.0
    age = fields.first(b"age")
    # RFC 9111 §5.1: of several members the first counts.
    stated = delta_seconds(age.split(b",", 1)[0]) if age is not None else 0
    date = parse_date(fields.first(b"date"))
    apparent = 0.0 if date is None else max(0.0, wall_now - date)
    # Date has whole seconds. A response made within this second is not old, so fractions are dropped.
    return max(float(stated), float(int(apparent)))
