"""How long a response is fresh, and how old it was when it came (RFC 9111 §4.2)."""

from __future__ import annotations

from msgspec import Struct

from cachemw.http.cache_control import CacheControl, delta_seconds
from cachemw.http.dates import parse_date
from cachemw.http.fields import Fields

__all__ = ["Lifetime", "explicit_lifetime", "initial_age"]


class Lifetime(Struct, frozen=True, kw_only=True):
    """Seconds from the response's birth during which each use is allowed."""

    fresh: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0


def explicit_lifetime(control: CacheControl, fields: Fields, wall_now: float) -> float | None:
    """Give the freshness lifetime that the response states, or None (RFC 9111 §4.2.1).

    `wall_now` (seconds since the epoch) stands in for a missing Date (RFC 9110 §6.6.1).
    """
    if control.s_maxage is not None:
        return float(control.s_maxage)
    if control.max_age is not None:
        return float(control.max_age)
    if b"expires" not in fields:
        return None
    expires = parse_date(fields.first(b"expires"))
    if expires is None:  # §5.3: an invalid date, "0" above all, is already past
        return 0.0
    date = parse_date(fields.first(b"date"))
    return max(0.0, expires - (wall_now if date is None else date))


def initial_age(fields: Fields, wall_now: float) -> float:
    """Give the age that the response already had on arrival (RFC 9111 §4.2.3), in seconds."""
    age = fields.first(b"age")
    # §5.1: of several members the first counts.
    stated = delta_seconds(age.split(b",", 1)[0]) if age is not None else 0
    date = parse_date(fields.first(b"date"))
    apparent = 0.0 if date is None else max(0.0, wall_now - date)
    # A Date that an application wrote itself in its own second is no age: only whole seconds count.
    return max(float(stated), float(int(apparent)))
