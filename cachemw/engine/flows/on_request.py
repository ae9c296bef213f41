"""The flows: what becomes of one request, step by step.

`on_request` serves an answer or forwards to the application. What the application says is then put
to `on_head`, `on_complete` or `on_error`. Flows are generators: they yield effects, a driver
performs them and sends the results back with the time at which they came. The rules of
`on_request`, the first that applies:

1. no route, or something in the request that must not be cached: **pass**; a key that the flags do
   not let in: **off**; a route in **shadow** is only watched; a request that chance has chosen to
   compare the others with: **control**, and whether memory would have served it;
2. the route is strict and the log is not heard: go to the application, with nothing from before;
3. an entry in memory that may be served: **hit**; where it is stale, refresh it in the background
   if nobody else does;
4. the last answer of this key could not be kept: go to the application without queueing;
5. the client is known, asks for a part or for the head alone, or insists on something of its own:
   look in the shared store, else go to the application, without queueing;
6. what is stored must be validated at every use: go and validate it, without queueing;
7. somebody is asking already: follow, bounded, and serve what they share, or go alone, few at a
   time;
8. lead: look in the shared store, then take the fleet's lease and ask the application; where another
   process has the lease, wait, bounded, for what it leaves.

Whenever the application is asked and something is stored that it gave a validator for, it is asked
whether that is still current. Cancellation reaches a flow as GeneratorExit: it lets go of its
flight and yields nothing more.
"""

from __future__ import annotations

from msgspec.structs import replace

from cachemw.engine.core.effects import Await, Flow, Lease
from cachemw.engine.core.engine import Engine
from cachemw.engine.core.flights import Flight, Landing, WaitResult
from cachemw.engine.flows.shadowing import shadow
from cachemw.engine.keeping.validation import conditions_for
from cachemw.engine.lookup.candidates import (
    NOTHING,
    Candidate,
    candidate,
    in_memory,
    in_shared,
    stands_in,
)
from cachemw.engine.lookup.leasing import leased
from cachemw.engine.model.entry import NO_ANSWER
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.engine.request.keying import CacheableRequest, Pass, classify
from cachemw.errors import StoreError
from cachemw.http.invalidation import is_unsafe
from cachemw.http.messages import Request

__all__ = ["on_request", "refreshing"]


def on_request(
    engine: Engine,
    request: Request,
    target: Target,
    extra: Extra | None,
    now: float,
    *,
    held_out: bool = False,
) -> Flow[Serve | Forward]:
    """Serve or forward a request that the fast path did not answer; `held_out` keeps it out."""
    cacheable = classify(engine, request, target, extra)
    if isinstance(cacheable, Pass):
        return _pass(cacheable, request)
    if cacheable.in_shadow:
        return shadow(engine, cacheable, now)
    if held_out:
        return _held_out(engine, cacheable, now)
    if engine.is_cut_off(cacheable.route, now):
        return _cut_off(engine, cacheable, now)
    found = in_memory(engine, cacheable, now)
    if found.served is not None:
        return _with_refresh(engine, found.served)
    if engine.is_uncacheable(cacheable.plan.key.digest):
        return _forward(engine, cacheable, now, Outcome.HIT_FOR_MISS, "hit-for-miss", found)
    reason = _why_alone(cacheable)
    if reason is not None:
        return (yield from _alone(engine, cacheable, now, found, reason))
    if found.stored is not None and found.stored.fresh_until <= found.stored.born:
        return _forward(engine, cacheable, now, Outcome.MISS, "stale", found)
    return (yield from _together(engine, cacheable, now, found))


def _pass(passed: Pass, request: Request) -> Forward:
    return Forward(
        route=passed.route,
        outcome=Outcome.OFF if passed.off else Outcome.PASS,
        reason=passed.reason,
        change=_change(passed, request),
    )


def _change(passed: Pass, request: Request) -> Request | None:
    """Give what a request may change; a route that caches a method says that it changes nothing.

    Where a route has a language, a change is one of all that its path answers, whatever the query.
    """
    if not is_unsafe(request.method):
        return None
    if passed.mutates:
        return replace(request, query=b"")
    cached = passed.route is not None and request.method in passed.route.methods
    return None if cached else request


def _held_out(engine: Engine, cacheable: CacheableRequest, now: float) -> Forward:
    """Go past the cache; memory is looked into, and nothing is served, refreshed, led or waited for."""
    # What is found counts as used, as it would have: memory keeps for the others what it always kept.
    served = in_memory(engine, cacheable, now).served
    outcome = Outcome.CONTROL_MISS if served is None else Outcome.CONTROL_HIT
    return Forward(route=cacheable.route, outcome=outcome, reason="holdout")


def _why_alone(cacheable: CacheableRequest) -> str | None:
    """Say why a request must not queue behind another, or None."""
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
    """Look in the shared store, and go to the application by ourselves if nothing there will do."""
    if engine.settings.has_shared:
        try:
            elsewhere, now = yield from in_shared(engine, cacheable, now)
            found = found if elsewhere is NOTHING else elsewhere
        except StoreError:
            pass
    if found.served is not None:
        return _with_refresh(engine, found.served)
    outcome = Outcome.PERSONAL if cacheable.personal else Outcome.MISS
    return _unless_cached(cacheable, now) or _forward(
        engine, cacheable, now, outcome, reason, found
    )


def _cut_off(engine: Engine, cacheable: CacheableRequest, now: float) -> Serve | Forward:
    """Go to the application as if nothing were there; what it says is kept for when the log is back."""
    unsatisfied = _unless_cached(cacheable, now)
    return unsatisfied or _forward(engine, cacheable, now, Outcome.ERROR_BYPASS, "cut-off", NOTHING)


def _unless_cached(cacheable: CacheableRequest, now: float) -> Serve | None:
    """Give the answer of a client that wants a stored one or none, where there is none."""
    directives = cacheable.directives
    if directives is None or not directives.only_if_cached:
        return None
    return Serve(cacheable=cacheable, entry=NO_ANSWER, outcome=Outcome.UNSATISFIED, now=now)


def _together(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate
) -> Flow[Serve | Forward]:
    """Coalesce: lead, or follow and serve what the leader shares."""
    ends = now + 2 * engine.settings.coalesce_wait
    # Twice: what the first leader shared may have been the news that the answer varies, and then
    # this request's own variant is worth one more flight.
    for _ in range(2):
        flight, leads = engine.flights.board(cacheable.key.digest)
        if flight is None:
            return _forward(engine, cacheable, now, Outcome.MISS, "waiters", found)
        if leads:
            return (yield from _lead(engine, cacheable, now, found, flight, ends))
        landing, now = yield from _follow(engine, flight, now, ends)
        if landing.outcome is WaitResult.PROMOTED:
            return (yield from _lead(engine, cacheable, now, found, flight, ends))
        if landing.outcome is not WaitResult.LANDED:
            return _go(engine, cacheable, now, found, flight if landing.goes else None)
        shared = _shared_answer(engine, cacheable, landing, now)
        if shared is not None:
            return _with_refresh(engine, shared)
        if engine.is_cut_off(cacheable.route, now):
            return _cut_off(engine, cacheable, now)
        in_memory(
            engine, cacheable, now
        )  # the leader left its marker there: aim at our own variant
    return _go(engine, cacheable, now, found, None)


def _follow(engine: Engine, flight: Flight, now: float, ends: float) -> Flow[tuple[Landing, float]]:
    """Wait for what comes of a flight, and count it where that takes long."""
    began, left = now, max(0.0, ends - now)
    wait = min(engine.settings.coalesce_wait, left)
    landing: Landing
    landing, now = yield Await(flight, wait, left - wait)
    try:
        if now >= began + wait:
            engine.count("flight_timeouts", "")
    except BaseException:
        if landing.goes:
            flight.abandon()
        raise
    return landing, now


def _go(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, flight: Flight | None
) -> Forward:
    """Go to the application without leading anybody, perhaps for a flight all the same."""
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
    try:
        # Between our look into memory and this flight another one, in another thread, may have landed.
        again = in_memory(engine, cacheable, now)
        found = found if again is NOTHING else again
        lease: Lease | None = None
        try:
            if found.served is None and engine.settings.has_shared:
                elsewhere, now = yield from in_shared(engine, cacheable, now)
                found = found if elsewhere is NOTHING else elsewhere
            if found.served is None and engine.settings.leases:
                found, lease, now = yield from leased(engine, cacheable, now, found, ends)
        except StoreError:  # it is asked no second time: each may cost a deadline (I3)
            pass
        if found.served is not None:
            flight.land(found.served.entry)
            return _with_refresh(engine, found.served)
        reason = _why_missed(found)
        return _forward(engine, cacheable, now, Outcome.MISS, reason, found, flight, lease)
    except BaseException:
        flight.abandon()
        raise


def _why_missed(found: Candidate) -> str:
    if found.stored is not None:
        return "stale"
    return "vary-miss" if found.varies else "uri-miss"


# Not STALE_IF_ERROR: the origin was asked a moment ago, and failed.
_RENEWED = frozenset({Outcome.STALE_MEMORY, Outcome.STALE_SHARED})


def _with_refresh(engine: Engine, served: Serve) -> Serve:
    """Take the lead of one background refresh for a stale answer, unless somebody has it."""
    if (
        served.outcome not in _RENEWED
        or served.cacheable.request.method == "HEAD"
        or served.cacheable.ranged
    ):
        return served
    position = engine.floors.here()
    flight = engine.flights.lead(served.entry.key)
    if flight is None:
        return served
    fetch = Fetch(
        cacheable=served.cacheable,
        position=position,
        started=served.now,
        flight=flight,
        stored=served.entry,
        refresh=True,
    )
    return replace(served, refresh=fetch)


def _shared_answer(
    engine: Engine, cacheable: CacheableRequest, landing: Landing, now: float
) -> Serve | None:
    """Give the leader's answer if it is this request's too, by the same rules as a stored one."""
    entry = landing.entry
    if entry is None or not engine.variants.matches(entry, cacheable.headers):
        return None
    found = candidate(engine, cacheable, entry, now, Outcome.HIT_COALESCED, Outcome.STALE_MEMORY)
    if found.stored is not None and landing.origin_failed and stands_in(found.stored, now):
        return Serve(
            cacheable=cacheable, entry=found.stored, outcome=Outcome.STALE_IF_ERROR, now=now
        )
    return found.served


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
        position=engine.floors.here(),
        started=now,
        flight=flight,
        lease=lease,
        stored=found.stored,
    )
    # Where the answer will probably not be kept whole, the application answers conditions itself.
    for_all = cacheable.request.method != "HEAD" and not cacheable.ranged and not cacheable.personal
    whole = for_all and outcome in (Outcome.MISS, Outcome.ERROR_BYPASS)
    return _asking(fetch, cacheable.route, outcome, reason, keep_conditions=not whole)


def refreshing(fetch: Fetch) -> Forward:
    """Give the forward of a background refresh: the fetch that a stale answer was served with."""
    return _asking(fetch, fetch.cacheable.route, Outcome.REFRESH, "refresh", keep_conditions=False)


def _asking(
    fetch: Fetch, route: RouteState, outcome: Outcome, reason: str, *, keep_conditions: bool
) -> Forward:
    conditions = conditions_for(fetch)
    fetch.validates = bool(conditions)
    rewrite = fetch.cacheable.rewrite(keep_conditions=keep_conditions, conditions=conditions)
    return Forward(route=route, outcome=outcome, reason=reason, fetch=fetch, rewrite=rewrite)
