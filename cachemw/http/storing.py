"""Whether a shared cache may store this response, and for how long.

Rules, in the order in which they are checked. The first that refuses gives the reason:

1. The response says `no-store` (RFC 9111 §5.2.2.5), unless it also says `must-understand` and its
   status is known (§5.2.2.3); or `private` (§5.2.2.7); or `no-cache` and nothing can validate it
   (§5.2.2.4).
2. Its status is not final (RFC 9110 §15.2) or no HTTP status at all. It is a 206 or a 304, so it is not
   the whole representation (RFC 9111 §3.3, RFC 9110 §15.4.5). Or nobody can tell where its body ends:
   it has several Content-Lengths, or one that is no number (RFC 9110 §8.6).
3. It sets a cookie, so it was made for one client. This is stricter than RFC 9111 §7.3 (I1). Or its
   Content-Security-Policy has a nonce, which must be another one in each response (CSP 3 §7.1).
4. It varies on everything: `Vary: *` (RFC 9111 §4.1).
5. It has a transfer coding other than chunked (RFC 9112 §6.1), or trailers (RFC 9110 §6.5): it could
   not be sent again as it came.
6. The application may have known the client. With Authorization the response must allow sharing
   (RFC 9111 §3.5). With cookies it must say `public`, or vary on Cookie and state its lifetime; this
   is stricter than RFC 9111 §7.3 (I1).
7. The route does not store this status, or the response says `must-understand` and the status is not
   known (RFC 9111 §3, §5.2.2.3).
8. Nothing gives it a lifetime (RFC 9111 §3, §4.2). Or the lifetime is over, no window lets it be
   served stale (RFC 5861 §3, §4), and it has no validator to validate it with (RFC 9111 §4.3.1).
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from cachemw.http.cache_control import CacheControl
from cachemw.http.conditional import has_validator
from cachemw.http.fields import Fields
from cachemw.http.freshness import (
    Lifetime,
    explicit_lifetime,
    heuristic_lifetime,
    initial_age,
)
from cachemw.http.hops import HOP_BY_HOP, connection_fields
from cachemw.http.messages import Head
from cachemw.http.vary import varies_on

__all__ = ["NEVER_STORED", "UNSTORABLE_STATUSES", "Policy", "Refused", "judge", "storable"]

# A route's `ttl` applies to successful answers and to permanent redirects, and its `negative_ttl` to
# "not found" and "gone". A 206, 302, 401 or 500 is about this one request.
TTL_STATUSES = frozenset({200, 203, 301, 308})
NEGATIVE_STATUSES = frozenset({404, 410})
UNSTORABLE_STATUSES = frozenset({206, 304})
# RFC 9110 §13.2.1: a server evaluates conditions only where it would otherwise send a 2xx answer. So
# a 304 to a condition made from a stored 404 would be about another answer than the stored one.
RENEWABLE_STATUSES = frozenset({200, 203})
NEVER_STORED = HOP_BY_HOP | {b"age"}  # RFC 9111 §3.1, §5.1
POLICIES = (b"content-security-policy", b"content-security-policy-report-only")
_MAY_FORBID = frozenset(
    {b"set-cookie", b"set-cookie2", b"vary", b"transfer-encoding", b"trailer", *POLICIES}
)
"""Headers that may forbid storing. Most responses have none of them, and one check tells so."""
UNDERSTOOD_STATUSES = frozenset(status.value for status in HTTPStatus)
"""The registered ones. `must-understand` asks for one of them (RFC 9111 §5.2.2.3)."""


class Policy(Struct, frozen=True, kw_only=True):
    """The lifetimes that a route sets, in seconds; None: not set."""

    ttl: float | None
    """None: only the response itself decides, whatever its status (`ttl = "response"`)."""
    negative_ttl: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    heuristic: float | None = None
    """Where `ttl` is None and the response states no lifetime: this fraction of its time unchanged."""
    retain: float = 0.0
    """How long a stale response with a validator is kept, so that it can be validated."""


class Refused(Struct, frozen=True):
    """The response may not be stored. `reason` is a short, stable word for logs and Cache-Status."""

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
    """Decide whether a response may be stored, and for how long from the time it was made.

    `cookies_sent` and `authorization_sent` say whether the application saw a header that may have
    told it who the client is and that is not part of the key.
    """
    client_known = cookies_sent or authorization_sent
    retained = _seconds_retained(head, control, policy)
    reason = _refusal(head, control, retained)
    if reason is None and client_known:
        reason = _refusal_of_personal(head, control, cookies_sent, authorization_sent)
    if reason:
        return Refused(reason)
    if control.must_understand and head.status not in UNDERSTOOD_STATUSES:
        return Refused("status")
    lifetime = _lifetime_of_response(head, control, wall_now)
    of_route = lifetime is None and policy.ttl is not None and head.status in TTL_STATUSES
    if lifetime is None and client_known and not control.public:
        # The route's ttl is for answers that everybody gets. An answer for one session may change
        # with that session at any time; only the application can say for how long it will not (I1).
        return Refused("cookie" if cookies_sent else "authorization")
    if lifetime is None:
        lifetime = _lifetime_of_route(head, control, policy, wall_now)
    elif policy.ttl is not None and not _is_ttl_status(head.status, policy):
        return Refused("status")
    if lifetime is None:
        return Refused("status" if policy.ttl is not None else "no-lifetime")
    decided = _with_windows(lifetime, control, policy, retained)
    if of_route:
        decided = replace(decided, of_route=True)
    return decided if decided.kept > initial_age(head.headers, wall_now) else Refused("stale")


def storable(fields: Fields, control: CacheControl) -> Fields:
    """Return the headers that are stored (RFC 9111 §3.1).

    Age is left out because it is computed for each answer (RFC 9111 §5.1), and so are the headers
    that `private` and `no-cache` name (RFC 9111 §5.2.2.4, §5.2.2.7).
    """
    if not control.omitted and b"connection" not in fields:
        return fields.without(NEVER_STORED)
    return fields.without(connection_fields(fields) | NEVER_STORED | control.omitted)


def _seconds_retained(head: Head, control: CacheControl, policy: Policy) -> float:
    """Return the seconds after its lifetime for which the response is kept to be validated."""
    if policy.retain <= 0 or head.status not in RENEWABLE_STATUSES:
        return 0.0
    fields = head.headers
    if control.omitted or b"connection" in fields:  # the validator itself may be left out
        fields = storable(fields, control)
    return policy.retain if has_validator(fields) else 0.0


def _refusal(head: Head, control: CacheControl, retained: float) -> str | None:
    """Return why such an answer is never stored, whoever asked for it (rules 1 to 5), or None."""
    fields = head.headers
    # RFC 9111 §5.2.2.3: `no-store` beside `must-understand` is for caches that do not know the latter.
    if control.no_store and not (control.must_understand and head.status in UNDERSTOOD_STATUSES):
        return "no-store"
    if control.private:
        return "private"
    if control.no_cache and not retained:
        return "no-cache"
    if not 200 <= head.status <= 599:  # RFC 9110 §15, §15.2: a 1xx is not a final response
        return "status"
    # Only the status tells: with another one, Content-Range means nothing (RFC 9110 §14.4).
    if head.status in UNSTORABLE_STATUSES:
        return "partial"
    if b"content-length" in fields and not _has_one_length(fields):
        return "length"
    if _MAY_FORBID.isdisjoint(fields.names):
        return None
    if b"set-cookie" in fields or b"set-cookie2" in fields:
        return "set-cookie"
    if any(b"'nonce-" in value.lower() for name in POLICIES for value in fields.values(name)):
        return "nonce"
    if b"vary" in fields and varies_on(fields) is None:
        return "vary-star"
    if b"transfer-encoding" in fields and _has_transfer_coding(head):
        return "transfer-encoding"
    return "trailers" if b"trailer" in fields else None


def _has_one_length(fields: Fields) -> bool:
    """Tell whether there is one Content-Length, which is a number (RFC 9110 §8.6).

    A server may fold lines that are equal, but nobody along the way has to: such a response is not kept.
    """
    lengths = fields.values(b"content-length")
    return len(lengths) == 1 and lengths[0].isdigit()


def _has_transfer_coding(head: Head) -> bool:
    """Tell whether a transfer coding other than chunked was put on the body (RFC 9112 §6.1)."""
    return any(
        coding.lower() != b"chunked" for coding in head.headers.members(b"transfer-encoding")
    )


def _refusal_of_personal(
    head: Head, control: CacheControl, cookies_sent: bool, authorization_sent: bool
) -> str | None:
    """Return why an answer to a client that may be known is not stored (rule 6), or None (I1)."""
    if authorization_sent and not control.shares_authorized:  # RFC 9111 §3.5
        return "authorization"
    if cookies_sent and not control.public and b"cookie" not in (varies_on(head.headers) or ()):
        return "cookie"
    return None


def _lifetime_of_response(head: Head, control: CacheControl, wall_now: float) -> float | None:
    """Return the lifetime in seconds that the response states, or None."""
    if control.no_cache:  # RFC 9111 §5.2.2.4: to be validated before each use
        return 0.0
    return explicit_lifetime(control, head.headers, wall_now)


def _lifetime_of_route(
    head: Head, control: CacheControl, policy: Policy, wall_now: float
) -> float | None:
    """Return the lifetime of a response that states none: the route's, or a guess (RFC 9111 §4.2.2)."""
    if policy.ttl is None:
        fraction = policy.heuristic
        if fraction is None:
            return None
        return heuristic_lifetime(head.status, head.headers, control, wall_now, fraction)
    if head.status in NEGATIVE_STATUSES:
        return policy.negative_ttl or None  # zero: such answers are not stored
    return policy.ttl if head.status in TTL_STATUSES else None


def _is_ttl_status(status: int, policy: Policy) -> bool:
    """Tell whether a route with a ttl stores this status when the response states a lifetime."""
    return status in TTL_STATUSES or (status in NEGATIVE_STATUSES and bool(policy.negative_ttl))


def _with_windows(
    lifetime: float, control: CacheControl, policy: Policy, retained: float
) -> Lifetime:
    """Add the stale windows (RFC 5861 §3, §4). The response's own wins over the route's."""
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
