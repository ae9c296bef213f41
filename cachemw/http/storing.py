"""May a shared cache keep this response (RFC 9111 §3), and for how long?

The rules, in the order in which they are asked; the first that refuses gives the reason:

1. the response says so: `no-store`, `private`, or `no-cache` where it cannot be asked about again;
2. it sets a cookie: it was made for one client;
3. it varies on everything (`Vary: *`);
4. it answers part of a request, or is framed in a way that cannot be replayed;
5. the client was known (cookies, Authorization), and the response does not say that it is for all
   or, varying on Cookie, for how long it is good for this one;
6. its status is not one that the route keeps, or must be understood and is not;
7. nothing gives it a lifetime, or the lifetime is over and it is of no use stale: no window lets it
   be served, and it has no validator to ask about it with.
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

from cachemw.http.cache_control import CacheControl
from cachemw.http.conditional import has_validator
from cachemw.http.fields import Fields
from cachemw.http.freshness import (
    Lifetime,
    age_is_readable,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
)
from cachemw.http.hops import HOP_BY_HOP, connection_fields
from cachemw.http.messages import Head
from cachemw.http.vary import varies_on

__all__ = ["Policy", "Refused", "judge", "storable"]

# DESIGN: a route's own ttl applies to answers that say "here it is" and to permanent redirects,
# and its negative_ttl to "there is none". A 206, 302, 401 or 500 is about this request only.
TTL_STATUSES = frozenset({200, 203, 301, 308})
NEGATIVE_STATUSES = frozenset({404, 410})
UNSTORABLE_STATUSES = frozenset({206, 304})
# RFC 9110 §13.2.1: conditions are about a 2xx answer. A 304 to one made from a 404 that was kept
# would be about another answer than that.
RENEWABLE_STATUSES = frozenset({200, 203})
_NEVER_STORED = HOP_BY_HOP | {b"age"}
_SUSPECT = frozenset({b"set-cookie", b"set-cookie2", b"vary", b"transfer-encoding", b"trailer"})
"""Fields that may forbid storing what has them."""
UNDERSTOOD_STATUSES = frozenset(status.value for status in HTTPStatus)
"""The registered ones: what must-understand asks for (RFC 9111 §5.2.2.3)."""


class Policy(Struct, frozen=True, kw_only=True):
    """What the route says about lifetimes; seconds, None where it says nothing."""

    ttl: float | None
    """None: only what the response itself allows, whatever its status."""
    negative_ttl: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    heuristic: float | None = None
    """Where `ttl` is None: what states no lifetime gets this fraction of its time unchanged."""
    retain: float = 0.0
    """How long a stale response with a validator is kept to ask about it again."""


class Refused(Struct, frozen=True):
    """The response may not be kept; `reason` is a short, stable word for logs and Cache-Status."""

    reason: str


def judge(
    head: Head,
    control: CacheControl,
    policy: Policy,
    *,
    cookies_sent: bool,
    authorization_sent: bool,
    wall_now: float,
) -> Lifetime | Refused:
    """Decide whether a response to a GET may be kept, and its lifetime counted from its birth.

    `cookies_sent` and `authorization_sent` say whether the application saw a field that may have
    told it who the client is and that the key does not hold.
    """
    known = cookies_sent or authorization_sent
    retained = _retained(head, control, policy)
    reason = _forbidden(head, control, retained)
    if reason is None and known:
        reason = _personal(head, control, cookies_sent, authorization_sent)
    if reason:
        return Refused(reason)
    if control.must_understand and head.status not in UNDERSTOOD_STATUSES:
        return Refused("status")
    lifetime = _stated_lifetime(head, control, wall_now)
    if lifetime is None and known and not control.public:
        # The route's ttl is for what everybody gets. What is a session's own may change with the
        # session at any time, and only the application can say that it will not.
        return Refused("cookie" if cookies_sent else "authorization")
    if lifetime is None:
        lifetime = _granted_lifetime(head, control, policy, wall_now)
    elif policy.ttl is not None and not _is_ttl_status(head.status, policy):
        return Refused("status")
    if lifetime is None:
        return Refused("status" if policy.ttl is not None else "no-lifetime")
    if not age_is_readable(head.headers):
        lifetime = 0.0
    decided = _with_windows(lifetime, control, policy, retained)
    return decided if decided.kept > initial_age(head.headers, wall_now) else Refused("stale")


def storable(fields: Fields, control: CacheControl) -> Fields:
    """Give the fields that are stored (RFC 9111 §3.1).

    Age is made anew for each answer, and what `private` and `no-cache` name is left out.
    """
    if not control.omitted and b"connection" not in fields:
        return fields.without(_NEVER_STORED)
    return fields.without(connection_fields(fields) | _NEVER_STORED | control.omitted)


def _retained(head: Head, control: CacheControl, policy: Policy) -> float:
    """Give for how long after its lifetime the response is worth asking about."""
    if policy.retain <= 0 or head.status not in RENEWABLE_STATUSES:
        return 0.0
    fields = head.headers
    if control.omitted or b"connection" in fields:  # it may be the validator that is not stored
        fields = storable(fields, control)
    return policy.retain if has_validator(fields) else 0.0


def _forbidden(head: Head, control: CacheControl, retained: float) -> str | None:
    fields = head.headers
    # RFC 9111 §5.2.2.3: no-store is there for caches that do not know must-understand.
    if control.no_store and not (control.must_understand and head.status in UNDERSTOOD_STATUSES):
        return "no-store"
    if control.private:
        return "private"
    if control.no_cache and not retained:
        return "no-cache"
    if head.status in UNSTORABLE_STATUSES:  # RFC 9110 §14.4: elsewhere Content-Range means nothing
        return "partial"
    if _SUSPECT.isdisjoint(fields.names):  # as most are
        return None
    if b"set-cookie" in fields or b"set-cookie2" in fields:
        return "set-cookie"
    if b"vary" in fields and varies_on(fields) is None:
        return "vary-star"
    if b"transfer-encoding" in fields and _is_coded(head):
        return "transfer-encoding"
    return "trailers" if b"trailer" in fields else None


def _is_coded(head: Head) -> bool:
    """Say whether a transfer coding other than chunked was put on the body (RFC 9112 §6.1)."""
    return any(
        coding.lower() != b"chunked" for coding in head.headers.members(b"transfer-encoding")
    )


def _personal(
    head: Head, control: CacheControl, cookies_sent: bool, authorization_sent: bool
) -> str | None:
    if authorization_sent and not control.shares_authorized:  # RFC 9111 §3.5
        return "authorization"
    if cookies_sent and not control.public and b"cookie" not in (varies_on(head.headers) or ()):
        return "cookie"
    return None


def _stated_lifetime(head: Head, control: CacheControl, wall_now: float) -> float | None:
    if control.no_cache:  # RFC 9111 §5.2.2.4: never fresh, whatever else it states
        return 0.0
    return explicit_lifetime(control, head.headers, wall_now)


def _granted_lifetime(
    head: Head, control: CacheControl, policy: Policy, wall_now: float
) -> float | None:
    """Give the lifetime of a response that states none: the route's, or a guess."""
    if policy.ttl is None:
        fraction = policy.heuristic
        if fraction is None:
            return None
        return heuristic_lifetime(head.status, head.headers, control, wall_now, fraction)
    if head.status in NEGATIVE_STATUSES:
        return policy.negative_ttl or None  # zero: these are not kept at all
    return policy.ttl if head.status in TTL_STATUSES else None


def _is_ttl_status(status: int, policy: Policy) -> bool:
    """Say whether a route with a ttl keeps this status where the response states a lifetime."""
    return status in TTL_STATUSES or (status in NEGATIVE_STATUSES and bool(policy.negative_ttl))


def _with_windows(
    lifetime: float, control: CacheControl, policy: Policy, retained: float
) -> Lifetime:
    """Add the stale windows (RFC 5861): the response's own wins over the route's."""
    if control.forbids_stale:
        return Lifetime(fresh=lifetime, kept=lifetime + retained)
    revalidate = _window(control.stale_while_revalidate, policy.stale_while_revalidate)
    on_error = _window(control.stale_if_error, policy.stale_if_error)
    return Lifetime(
        fresh=lifetime,
        stale_while_revalidate=revalidate,
        stale_if_error=on_error,
        kept=lifetime + max(revalidate, on_error, retained),
    )


def _window(stated: int | None, granted: float | None) -> float:
    return float(stated if stated is not None else granted or 0.0)
