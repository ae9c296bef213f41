"""May a shared cache keep this response (RFC 9111 §3), and for how long?

The rules, in the order in which they are asked; the first that refuses gives the reason:

1. the response says so: `no-store`, `private`, `no-cache`;
2. it sets a cookie: it was made for one client;
3. it varies on everything (`Vary: *`);
4. it answers part of a request, or is framed in a way that cannot be replayed;
5. the client was known (cookies, Authorization), and the response does not say that it is for all
   or, varying on Cookie, for how long it is good for this one;
6. its status is not one that the route keeps, or must be understood and is not;
7. nothing gives it a lifetime, or the lifetime is over.
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

from cachemw.http.cache_control import CacheControl
from cachemw.http.freshness import Lifetime, explicit_lifetime
from cachemw.http.messages import Head
from cachemw.http.vary import varies_on

__all__ = ["Policy", "Refused", "judge"]

# DESIGN: a route's own ttl applies to answers that say "here it is" and to permanent redirects,
# and its negative_ttl to "there is none". A 206, 302, 401 or 500 is about this request only.
TTL_STATUSES = frozenset({200, 203, 301, 308})
NEGATIVE_STATUSES = frozenset({404, 410})
UNSTORABLE_STATUSES = frozenset({206, 304})
UNDERSTOOD_STATUSES = frozenset(status.value for status in HTTPStatus)
"""The registered ones: what must-understand asks for (RFC 9111 §5.2.2.3)."""


class Policy(Struct, frozen=True, kw_only=True):
    """What the route says about lifetimes; seconds, None where it says nothing."""

    ttl: float | None
    """None: only what the response itself allows, whatever its status."""
    negative_ttl: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None


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
    reason = _forbidden(head, control)
    if reason is None and (cookies_sent or authorization_sent):
        reason = _personal(head, control, cookies_sent, authorization_sent)
    if reason:
        return Refused(reason)
    if control.must_understand and head.status not in UNDERSTOOD_STATUSES:
        return Refused("status")
    lifetime = explicit_lifetime(control, head.headers, wall_now)
    if lifetime is None and (cookies_sent or authorization_sent) and not control.public:
        # The route's ttl is for what everybody gets. What is a session's own may change with the
        # session at any time, and only the application can say that it will not.
        return Refused("cookie" if cookies_sent else "authorization")
    if lifetime is None:
        lifetime = _route_lifetime(head.status, policy)
    elif (policy.ttl is not None and head.status not in TTL_STATUSES | NEGATIVE_STATUSES) or (
        head.status in NEGATIVE_STATUSES and policy.ttl is not None and not policy.negative_ttl
    ):
        return Refused("status")
    if lifetime is None:
        return Refused("status" if policy.ttl is not None else "no-lifetime")
    if lifetime <= 0:
        return Refused("stale")
    return _with_grace(lifetime, control, policy)


def _forbidden(head: Head, control: CacheControl) -> str | None:
    fields = head.headers
    if control.no_store:
        return "no-store"
    if control.private:
        return "private"
    if control.no_cache:
        return "no-cache"
    if b"set-cookie" in fields:
        return "set-cookie"
    if b"vary" in fields and varies_on(fields) is None:
        return "vary-star"
    if head.status in UNSTORABLE_STATUSES or b"content-range" in fields:
        return "partial"
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


def _route_lifetime(status: int, policy: Policy) -> float | None:
    if status in NEGATIVE_STATUSES:
        return policy.negative_ttl
    if status in TTL_STATUSES:
        return policy.ttl
    return None


def _with_grace(lifetime: float, control: CacheControl, policy: Policy) -> Lifetime:
    """Add the stale windows (RFC 5861): the response's own wins over the route's."""
    if control.forbids_stale:
        return Lifetime(fresh=lifetime)
    revalidate = control.stale_while_revalidate
    on_error = control.stale_if_error
    return Lifetime(
        fresh=lifetime,
        stale_while_revalidate=float(
            revalidate if revalidate is not None else policy.stale_while_revalidate or 0.0
        ),
        stale_if_error=float(on_error if on_error is not None else policy.stale_if_error or 0.0),
    )
