"""The flow of a request: serve a stored response, or forward the request to the application.

A flow is a generator. It yields *effects* (look up, wait, take a lease), a driver performs them and
sends each result back together with the time at which it came. `on_request` is called when the fast
path, `Engine.hit_in_memory`, did not answer. The first rule that applies decides:

1. There is no route, or the request must not be cached: **pass**. The flags do not let its key in:
   **off**. The route is in **shadow**: forward, and compare. The request was drawn for the holdout:
   **control**, with a look whether memory would have answered.
2. The route is strict and the log is not heard: forward, and use nothing that is stored (I5).
3. Memory has a servable entry: **hit**. If it is stale, refresh it in the background, unless somebody
   does so already.
4. The last response of this key could not be stored: forward at once. Nobody queues for it.
5. The client is known, asks for a part or for the head only, or has conditions of its own: look in the
   shared store, otherwise forward. Such a request never waits for another one, and never leads (I1).
6. The stored entry must be validated at every use: forward, and validate it. Nobody queues.
7. Another request leads: follow, for a bounded time, and serve what it shares; or go alone.
8. Lead: look in the shared store, take the lease across processes, forward. If another process has the
   lease, wait, for a bounded time, for what it leaves.

Whenever a request is forwarded and a stored entry has a validator, the application is asked whether
the entry is still current. Cancellation reaches a flow as GeneratorExit. Then the flow gives up its
flight and yields nothing more.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachemw.engine.core.effects import Await, Flow, Lease
from cachemw.engine.core.engine import Engine
from cachemw.engine.core.flights import Flight, FlightResult, WaitResult
from cachemw.engine.flows.proposing import count_bypassed
from cachemw.engine.flows.shadowing import forward_in_shadow
from cachemw.engine.keeping.validation import conditions_for
from cachemw.engine.lookup.candidates import (
    NOTHING,
    Candidate,
    candidate,
    in_memory,
    in_shared,
    usable_on_error,
)
from cachemw.engine.lookup.leasing import acquire_lease
from cachemw.engine.model.entry import NO_ANSWER
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.request.bodies import may_mutate
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.engine.request.keying import Bypass, CacheableRequest, classify
from cachemw.errors import StoreError
from cachemw.http.invalidation import is_unsafe
from cachemw.http.messages import Request

__all__ = ["forward_past", "on_request", "refreshing"]


def on_request(
    engine: Engine,
    request: Request,
    target: Target,
    extra: Extra | None,
    now: float,
    *,
    held_out: bool = False,
) -> Flow[Serve | Forward]:
    """Serve or forward a request that the fast path did not answer.

    `held_out` says that the request belongs to the holdout, which never uses the cache.
    """
    cacheable = classify(engine, request, target, extra)
    if isinstance(cacheable, Bypass):
        if cacheable.shadow is not None:
            count_bypassed(engine, cacheable.shadow, request, now)
        return _bypass(cacheable, request)
    if cacheable.in_shadow:
        return forward_in_shadow(engine, cacheable, now)
    if held_out:
        return _held_out(engine, cacheable, now)
    if engine.is_cut_off(cacheable.route, now):
        return _cut_off(engine, cacheable, now)
    found = in_memory(engine, cacheable, now)
    if found.servable is not None:
        return _with_refresh(engine, found.servable)
    if engine.is_uncacheable(cacheable.plan.key.digest):
        return _forward(engine, cacheable, now, Outcome.HIT_FOR_MISS, "hit-for-miss", found)
    reason = _why_alone(cacheable)
    if reason is not None:
        return (yield from _alone(engine, cacheable, now, found, reason))
    if found.fallback is not None and found.fallback.fresh_until <= found.fallback.born:
        return _forward(engine, cacheable, now, Outcome.MISS, "stale", found)
    return (yield from _coalesce(engine, cacheable, now, found))


def forward_past(engine: Engine, request: Request, reason: str) -> Forward:
    """Forward a request for which nothing of the cache can be used; what it changes is purged."""
    match = engine.router.match(request.mount, request.path)
    route = None if match is None else engine.routes[match[0]]
    mutates = route is not None and may_mutate(route, request, reason)
    return _bypass(Bypass(route, reason, mutates=mutates), request)


def _bypass(bypass: Bypass, request: Request) -> Forward:
    return Forward(
        route=bypass.route,
        outcome=Outcome.OFF if bypass.off else Outcome.PASS,
        reason=bypass.reason,
        change=_change(bypass, request),
    )


def _change(bypass: Bypass, request: Request) -> Request | None:
    """Return the request if it may change what it names.

    A route that caches a method says that the method changes nothing. On a route with a query
    language, the text of the request decides, and not its method.
    """
    if bypass.mutates:
        return replace(request, method="POST")
    if not is_unsafe(request.method):
        return None
    cached = bypass.route is not None and request.method in bypass.route.methods
    return None if cached else request


def _held_out(engine: Engine, cacheable: CacheableRequest, now: float) -> Forward:
    """Forward a request of the holdout. It looks in memory, and serves, refreshes or leads nothing."""
    # What it finds counts as used: so memory keeps for the others what it would keep without a holdout.
    servable = in_memory(engine, cacheable, now).servable
    outcome = Outcome.CONTROL_MISS if servable is None else Outcome.CONTROL_HIT
    return Forward(route=cacheable.route, outcome=outcome, reason="holdout")


def _why_alone(cacheable: CacheableRequest) -> str | None:
    """Return the reason why a request must not share a flight with others, or None (I1)."""
    if cacheable.authorization_sent:
        return "authorization"
    if cacheable.cookies_sent:
        return "cookie"
    if cacheable.request.method == "HEAD":
        return "method"
    if cacheable.ranged:
        return "range"
    return None if cacheable.directives is None else "request"


def _alone(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, reason: str
) -> Flow[Serve | Forward]:
    """Look in the shared store, and forward without a flight if it has nothing to serve."""
    if engine.settings.has_shared:
        try:
            elsewhere, now = yield from in_shared(engine, cacheable, now)
            found = found if elsewhere is NOTHING else elsewhere
        except StoreError:
            pass  # without the store, go on with what memory had (I3)
    if found.servable is not None:
        return _with_refresh(engine, found.servable)
    outcome = Outcome.PERSONAL if cacheable.personal else Outcome.MISS
    return _unless_cached(cacheable, now) or _forward(
        engine, cacheable, now, outcome, reason, found
    )


def _cut_off(engine: Engine, cacheable: CacheableRequest, now: float) -> Serve | Forward:
    """Forward as if nothing were stored. The response is stored for when the log is heard again."""
    unsatisfied = _unless_cached(cacheable, now)
    return unsatisfied or _forward(engine, cacheable, now, Outcome.ERROR_BYPASS, "cut-off", NOTHING)


def _unless_cached(cacheable: CacheableRequest, now: float) -> Serve | None:
    """Return the 504 for `only-if-cached`, if the client sent it: nothing is stored."""
    directives = cacheable.directives
    if directives is None or not directives.only_if_cached:
        return None
    return Serve(cacheable=cacheable, entry=NO_ANSWER, outcome=Outcome.UNSATISFIED, now=now)


def _coalesce(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate
) -> Flow[Serve | Forward]:
    """Lead a flight, or follow and serve what its leader shares."""
    ends = now + 2 * engine.settings.coalesce_wait
    # Twice: the first leader may have shared a response that varies. Then this request has a key of
    # its own, and a second flight is worth joining.
    for _ in range(2):
        flight, leads = engine.flights.join_or_lead(cacheable.key.digest)
        if flight is None:
            return _forward(engine, cacheable, now, Outcome.MISS, "waiters", found)
        if leads:
            return (yield from _lead(engine, cacheable, now, found, flight, ends))
        result, now = yield from _follow(engine, flight, now, ends)
        if result.outcome is WaitResult.PROMOTED:
            return (yield from _lead(engine, cacheable, now, found, flight, ends))
        if engine.has_cookie_conflict(cacheable.target) and not result.calls_application:
            return _bypass(Bypass(cacheable.route, "cookie-conflict"), cacheable.request)
        if result.outcome is not WaitResult.COMPLETED:
            shared_flight = flight if result.calls_application else None
            return _forward_alone(engine, cacheable, now, found, shared_flight)
        if cacheable.bypasses_by_now and not result.calls_application:
            return _bypass(Bypass(cacheable.route, "personal-cookie"), cacheable.request)
        shared = _shared_answer(engine, cacheable, result, now)
        if shared is not None:
            return _with_refresh(engine, shared)
        if engine.is_cut_off(cacheable.route, now):
            return _cut_off(engine, cacheable, now)
        # The leader left its marker in memory: this look sets the key of this request's variant.
        in_memory(engine, cacheable, now)
    return _forward_alone(engine, cacheable, now, found, None)


def _follow(
    engine: Engine, flight: Flight, now: float, ends: float
) -> Flow[tuple[FlightResult, float]]:
    """Wait for the result of a flight, and count a wait that was too long."""
    began, left = now, max(0.0, ends - now)
    wait = min(engine.settings.coalesce_wait, left)
    result: FlightResult
    result, now = yield Await(flight, wait, left - wait)
    try:
        if now >= began + wait:
            engine.count("flight_timeouts", "")
    except BaseException:
        if result.calls_application:
            flight.abandon()
        raise
    return result, now


def _forward_alone(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, flight: Flight | None
) -> Forward:
    """Forward without leading. With `flight`, the call is one of that flight."""
    try:
        return _forward(engine, cacheable, now, Outcome.MISS, "alone", found, flight)
    except BaseException:
        if flight is not None:
            flight.abandon()
        raise


def _lead(
    engine: Engine,
    cacheable: CacheableRequest,
    now: float,
    found: Candidate,
    flight: Flight,
    ends: float,
) -> Flow[Serve | Forward]:
    """Look once more everywhere, then forward as the leader of a flight."""
    try:
        # Another thread may have completed a flight between our look in memory and this flight.
        again = in_memory(engine, cacheable, now)
        found = found if again is NOTHING else again
        lease: Lease | None = None
        try:
            if found.servable is None and engine.settings.has_shared:
                elsewhere, now = yield from in_shared(engine, cacheable, now)
                found = found if elsewhere is NOTHING else elsewhere
            if found.servable is None and engine.settings.leases:
                found, lease, now = yield from acquire_lease(engine, cacheable, now, found, ends)
        except StoreError:  # do not ask it a second time: each attempt may take a deadline (I3)
            pass
        if found.servable is not None:
            flight.complete(found.servable.entry)
            return _with_refresh(engine, found.servable)
        reason = _why_missed(found)
        return _forward(engine, cacheable, now, Outcome.MISS, reason, found, flight, lease)
    except BaseException:  # cancellation too: the followers must not wait for this call (I3)
        flight.abandon()
        raise


def _why_missed(found: Candidate) -> str:
    if found.fallback is not None:
        return "stale"
    return "vary-miss" if found.varies else "uri-miss"


# Not STALE_IF_ERROR: the application was asked a moment ago, and failed.
_REFRESHED = frozenset({Outcome.STALE_MEMORY, Outcome.STALE_SHARED})


def _with_refresh(engine: Engine, served: Serve) -> Serve:
    """Add a background refresh if the entry is stale, unless somebody refreshes it already."""
    if (
        served.outcome not in _REFRESHED
        or served.cacheable.request.method == "HEAD"
        or served.cacheable.ranged
    ):
        return served
    position = engine.floors.current_position()
    flight = engine.flights.lead(served.entry.key)
    if flight is None:
        return served
    fetch = Fetch(
        cacheable=served.cacheable,
        position=position,
        purges=engine.floors.version,
        started=served.now,
        flight=flight,
        fallback=served.entry,
        refresh=True,
    )
    return replace(served, refresh=fetch)


def _shared_answer(
    engine: Engine, cacheable: CacheableRequest, result: FlightResult, now: float
) -> Serve | None:
    """Return the leader's response if this request may have it, by the rules for stored entries (I1)."""
    entry = result.entry
    if entry is None or not engine.variants.matches(entry, cacheable.headers):
        return None
    found = candidate(engine, cacheable, entry, now, Outcome.HIT_COALESCED, Outcome.STALE_MEMORY)
    fallback = found.fallback
    if fallback is not None and result.origin_failed and usable_on_error(fallback, now):
        return Serve(cacheable=cacheable, entry=fallback, outcome=Outcome.STALE_IF_ERROR, now=now)
    return found.servable


def _forward(
    engine: Engine,
    cacheable: CacheableRequest,
    now: float,
    outcome: Outcome,
    reason: str,
    found: Candidate,
    flight: Flight | None = None,
    lease: Lease | None = None,
) -> Forward:
    fetch = Fetch(
        cacheable=cacheable,
        # I5: noted before the application can read anything. A purge during the call has a later
        # position, so the response is dead when it is stored.
        position=engine.floors.current_position(),
        purges=engine.floors.version,
        started=now,
        flight=flight,
        lease=lease,
        fallback=found.fallback,
    )
    # Only a whole 200 can be stored, so the client's conditions are taken out of the request. They stay
    # where the response will probably not be stored: then the application may answer with a 304.
    for_all = cacheable.request.method != "HEAD" and not cacheable.ranged and not cacheable.personal
    whole = for_all and outcome in (Outcome.MISS, Outcome.ERROR_BYPASS)
    return _forwarded(fetch, cacheable.route, outcome, reason, keep_conditions=not whole)


def refreshing(fetch: Fetch) -> Forward:
    """Return the forward of a background refresh, for the fetch that a stale entry was served with."""
    return _forwarded(
        fetch, fetch.cacheable.route, Outcome.REFRESH, "refresh", keep_conditions=False
    )


def _forwarded(
    fetch: Fetch, route: RouteState, outcome: Outcome, reason: str, *, keep_conditions: bool
) -> Forward:
    conditions = conditions_for(fetch)
    fetch.validates = bool(conditions)
    rewrite = fetch.cacheable.rewrite(keep_conditions=keep_conditions, conditions=conditions)
    return Forward(route=route, outcome=outcome, reason=reason, fetch=fetch, rewrite=rewrite)
