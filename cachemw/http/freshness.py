"""How long a response is fresh, and how old it is on arrival.

Rules:

- The lifetime is `s-maxage`, else `max-age`, else Expires minus Date (RFC 9111 §4.2.1).
- An Expires that is not a date is in the past (RFC 9111 §5.3); with a targeted header it does not
  count (RFC 9213 §2.2).
- A missing Date is the time of arrival (RFC 9110 §6.6.1).
- A response without a lifetime may get a guess: a share of the time since Last-Modified, if its
  status allows that or it says `public` (RFC 9111 §4.2.2).
- A stored response with Expires gets a Date, and the same lifetime as `max-age`: servers put a new Date
  of their own on each answer, and a lifetime that counts from there, less Age, would be too short.
- The age on arrival is the larger of Age and the time since Date (RFC 9111 §4.2.3).
- Of several members of Age, over all its lines, the first counts. If that is not a number of seconds,
  Age does not count (RFC 9111 §5.1).
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from cachemw.http.cache_control import MAX_SECONDS, CacheControl, delta_seconds, parse
from cachemw.http.dates import format_date, parse_date
from cachemw.http.fields import Fields, Pair

__all__ = [
    "HEURISTIC_STATUSES",
    "Lifetime",
    "explicit_lifetime",
    "heuristic_lifetime",
    "initial_age",
    "not_stating_lifetime",
    "stating_lifetime",
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
    of_route: bool = False
    """Whether the route's `ttl` gives it, because the response states none."""

    def lasting(self, seconds: float) -> Lifetime:
        """Return the lifetime with another time for which it is fresh, and the same windows after it."""
        kept = seconds + self.kept - self.fresh
        return replace(self, fresh=seconds, kept=kept)

    def limited(self, seconds: float) -> Lifetime:
        """Return the lifetime that ends after these seconds at the latest, with no use after it."""
        if self.kept <= seconds:
            return self
        return Lifetime(fresh=min(self.fresh, seconds), kept=seconds)


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


def initial_age(fields: Fields, wall_now: float) -> float:
    """Return the age of a response on arrival, in seconds (RFC 9111 §4.2.3)."""
    if _AGED.isdisjoint(fields.names):
        return 0.0
    age = next(fields.members(b"age"), b"")  # RFC 9111 §5.1: of several members the first counts
    stated = delta_seconds(age) if age.isdigit() else 0  # RFC 9111 §5.1: ignored if it is invalid
    date = parse_date(fields.first(b"date"))
    apparent = 0.0 if date is None else max(0.0, wall_now - date)
    # Date has whole seconds. A response made within this second is not old, so fractions are dropped.
    return max(float(stated), float(int(apparent)))


def stating_lifetime(fields: Fields, arrived: float) -> Fields:
    """Return the headers of a response whose Expires is read downstream as it is read here.

    A response without a valid Date gets the time at which it came, `arrived` (RFC 9110 §6.6.1). The time
    from Date to Expires is stated as `max-age` too, which comes before Expires and needs no Date (RFC 9111
    §5.3): several servers send a Date of their own, before ours or in place of it.
    """
    expires = parse_date(fields.first(b"expires"))
    if expires is None:
        return fields
    date = parse_date(fields.first(b"date"))
    if date is None:
        date = float(int(arrived))
        fields = fields.without((b"date",)).plus((b"date", format_date(date)))
    lines = fields.values(b"cache-control")
    if expires <= date or parse(fields).max_age is not None:
        return fields
    stated = _lifetime_directive(expires, date)
    if not lines:
        return fields.plus((b"cache-control", stated))
    if lines[-1].count(b'"') % 2:  # what is behind a quote that never closes is no directive
        return fields
    # One line, because some frameworks hold one value for each name.
    last = lines[-1].rstrip(b" \t,")
    return _with_last_control(fields, b"%s, %s" % (last, stated) if last else stated)


def not_stating_lifetime(stored: Fields) -> Fields:
    """Return stored headers without the `max-age` that `stating_lifetime` added to them.

    A 304 that brings another Expires, or none, must not be overruled by it (RFC 9111 §3.2).
    """
    lines = stored.values(b"cache-control")
    expires, date = (parse_date(stored.first(name)) for name in (b"expires", b"date"))
    if not lines or expires is None or date is None or expires <= date:
        return stored
    stated = _lifetime_directive(expires, date)
    if lines[-1] == stated:
        return _with_last_control(stored, None)
    rest = lines[-1].removesuffix(b", " + stated)
    return stored if rest == lines[-1] else _with_last_control(stored, rest)


def _lifetime_directive(expires: float, date: float) -> bytes:
    return b"max-age=%d" % min(expires - date, MAX_SECONDS)


def _with_last_control(fields: Fields, value: bytes | None) -> Fields:
    """Return the headers with another value on the last line of Cache-Control; None: without it."""
    pairs: list[Pair] = list(fields.pairs)
    last = max(index for index, (name, _) in enumerate(pairs) if name == b"cache-control")
    pairs[last : last + 1] = [] if value is None else [(b"cache-control", value)]
    return Fields(pairs)
