"""How long a response is fresh, and how old it was when it came (RFC 9111 §4.2)."""

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

# RFC 9110 §15.1, without 206: parts are not kept.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
_AGED = frozenset({b"age", b"date"})
_MAX_HEURISTIC = 86_400.0
"""Seconds. RFC 9111 §4.2.2 sets no limit; a guess of more than a day is one that nobody expects."""


class Lifetime(Struct, frozen=True, kw_only=True):
    """Seconds from the response's birth during which each use is allowed."""

    fresh: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    kept: float
    """For how long it is of any use: fresh, stale but allowed, or worth asking about again."""


def explicit_lifetime(control: CacheControl, fields: Fields, wall_now: float) -> float | None:
    """Give the freshness lifetime that the response states, or None (RFC 9111 §4.2.1).

    `wall_now` (seconds since the epoch) stands in for a missing Date (RFC 9110 §6.6.1).
    """
    if control.s_maxage is not None:
        return float(control.s_maxage)
    if control.max_age is not None:
        return float(control.max_age)
    if control.targeted or b"expires" not in fields:
        return None
    expires = parse_date(fields.first(b"expires"))
    if expires is None:  # §5.3: an invalid date, "0" above all, is already past
        return 0.0
    date = parse_date(fields.first(b"date"))
    return max(0.0, expires - (wall_now if date is None else date))


def heuristic_lifetime(
    status: int, fields: Fields, control: CacheControl, wall_now: float, fraction: float
) -> float | None:
    """Guess the lifetime of a response that states none, or None where guessing is not allowed.

    What has not changed for long will not change soon: it is a `fraction` of the time since
    Last-Modified (RFC 9111 §4.2.2), at most a day.
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
    """Say whether Age, where there is one, is one whole number and nothing else.

    RFC 9111 §5.1 would have a cache ignore what is not, and so take an old response for a new one.
    That it came through a cache which cannot count is better read as stale (§4.2.1).
    """
    if b"age" not in fields:
        return True
    lines = fields.values(b"age")
    return len(lines) == 1 and lines[0].strip(b" \t").isdigit()


def initial_age(fields: Fields, wall_now: float) -> float:
    """Give the age that the response already had on arrival (RFC 9111 §4.2.3), in seconds."""
    if _AGED.isdisjoint(fields.names):
        return 0.0
    age = fields.first(b"age")
    # §5.1: of several members the first counts.
    stated = delta_seconds(age.split(b",", 1)[0]) if age is not None else 0
    date = parse_date(fields.first(b"date"))
    apparent = 0.0 if date is None else max(0.0, wall_now - date)
    # A Date that an application wrote itself in its own second is no age: only whole seconds count.
    return max(float(stated), float(int(apparent)))
