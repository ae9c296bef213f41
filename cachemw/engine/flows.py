"""The flows: what becomes of one request, step by step.

`on_request` serves an answer or forwards to the application. What the application says is then put
to `on_head`, `on_complete` or `on_error`. Flows are generators: they yield effects, a driver
performs them and sends the results back with the time at which they came. The rules of
`on_request`, the first that applies:

1. no route, or something in the request that must not be cached: **pass**;
2. a fresh, unpurged entry in memory: **hit**; a stale one inside its window: serve it, and refresh
   it in the background if nobody else does;
3. the last answer of this key could not be kept, or the client is known: go to the application
   without queueing (a known client may still be served from the shared store);
4. somebody is asking already: follow, bounded, and serve what they share, or go alone;
5. lead: look in the shared store, then ask the application.

Cancellation reaches a flow as GeneratorExit: it lets go of its flight and yields nothing more.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.ask import Ask, Pass, Rewrite, ask
from cachemw.engine.effects import Await, Flow, Lookup
from cachemw.engine.engine import Engine
from cachemw.engine.entry import MARKER, Entry, Key, Position, Verdict
from cachemw.engine.flights import Flight, Landing
from cachemw.engine.flights import Outcome as Waited
from cachemw.engine.outcomes import Outcome
from cachemw.engine.routes import Extra, RouteState, Target
from cachemw.errors import StoreError
from cachemw.http import cache_control
from cachemw.http.fields import Fields
from cachemw.http.messages import Request

__all__ = ["Fetch", "Forward", "Serve", "on_request"]


class Fetch(Struct, kw_only=True, eq=False):
    """One call of the application whose answer may be kept."""

    ask: Ask
    position: Position
    """Where the log stood before the application was called."""
    started: float
    flight: Flight | None = None
    stale: Entry | None = None
    """What may be served instead if the application fails."""
    refresh: bool = False
    """Whether this is our own call, for an answer that was served stale."""

    @property
    def digest(self) -> bytes:
        """The primary key's digest."""
        return self.ask.plan.key.digest

    def abandon(self) -> None:
        """Let go of the flight, if it is still held: another may lead. Harmless when all is done."""
        # Once only: after the first time, the flight is led by somebody else.
        flight, self.flight = self.flight, None
        if flight is not None:
            flight.abandon()


class Serve(Struct, frozen=True, kw_only=True):
    """Answer with this entry."""

    ask: Ask
    entry: Entry
    outcome: Outcome
    now: float
    refresh: Fetch | None = None
    """A background call that the front door is to make, or to abandon."""


class Forward(Struct, frozen=True, kw_only=True):
    """Call the application."""

    route: RouteState | None
    outcome: Outcome
    reason: str
    """Why the cache did not answer: the `detail` of Cache-Status."""
    fetch: Fetch | None = None
    """None: the answer is relayed and not looked at."""
    rewrite: Rewrite | None = None


def on_request(
    engine: Engine, request: Request, target: Target, extra: Extra | None, now: float
) -> Flow[Serve | Forward]:
    """Serve or forward a request that the fast path did not answer."""
    asked = ask(engine, request, target, extra)
    if isinstance(asked, Pass):
        outcome = Outcome.OFF if asked.off else Outcome.PASS
        return Forward(route=asked.route, outcome=outcome, reason=asked.reason)
    found, stale = _in_memory(engine, asked, now)
    if found is not None:
        return _with_refresh(engine, found)
    if request.method != "GET":
        return _forward(engine, asked, now, Outcome.MISS, "method", keep=False)
    if engine.is_uncacheable(asked.plan.key.digest):
        return _forward(engine, asked, now, Outcome.HIT_FOR_MISS, "hit-for-miss", stale=stale)
    if asked.personal:
        return (yield from _alone(engine, asked, now, stale))
    return (yield from _together(engine, asked, now, stale))


def _alone(engine: Engine, asked: Ask, now: float, stale: Entry | None) -> Flow[Serve | Forward]:
    """Look in the shared store for an answer that says it is for known clients too; never queue."""
    reason = "authorization" if asked.authorization_sent else "cookie"
    try:
        served, stale, now = yield from _in_shared(engine, asked, now, stale)
    except StoreError:
        served = None
    if served is not None:
        return _with_refresh(engine, served)
    return _forward(engine, asked, now, Outcome.PASS, reason, stale=stale)


def _together(engine: Engine, asked: Ask, now: float, stale: Entry | None) -> Flow[Serve | Forward]:
    """Coalesce: lead, or follow and serve what the leader shares."""
    # Twice: what the first leader shared may have been the news that the answer varies, and then
    # this request's own variant is worth one more flight.
    for _ in range(2):
        flight, leads = engine.flights.board(asked.key.digest)
        if flight is None:
            return _forward(engine, asked, now, Outcome.MISS, "waiters", stale=stale)
        if not leads:
            landing: Landing
            landing, now = yield Await(flight, engine.settings.coalesce_wait)
            if landing.outcome is Waited.TIMEOUT:
                engine.count("flight_timeouts", "")
                break
            if landing.outcome is Waited.RELEASED:
                break
            leads = landing.outcome is Waited.PROMOTED
        if leads:
            return (yield from _lead(engine, asked, now, stale, flight))
        shared = _shared_answer(engine, asked, landing, now)
        if shared is not None:
            return _with_refresh(engine, shared)
        _in_memory(engine, asked, now)  # the leader left its marker there: aim at our own variant
    return _forward(engine, asked, now, Outcome.MISS, "alone", stale=stale)


def _lead(
    engine: Engine, asked: Ask, now: float, stale: Entry | None, flight: Flight
) -> Flow[Serve | Forward]:
    try:
        # Between our look into memory and this flight another one, in another thread, may have landed.
        served, spare = _in_memory(engine, asked, now)
        stale = spare or stale
        try:
            if served is None and engine.settings.has_shared:
                served, stale, now = yield from _in_shared(engine, asked, now, stale)
        except StoreError:
            served = None
        if served is not None:
            flight.land(served.entry)
            return _with_refresh(engine, served)
        return _forward(engine, asked, now, Outcome.MISS, "miss", stale=stale, flight=flight)
    except BaseException:
        flight.abandon()
        raise


# -- candidates ------------------------------------------------------------------------------------


def _in_memory(engine: Engine, asked: Ask, now: float) -> tuple[Serve | None, Entry | None]:
    """Give what memory can serve, and a stale entry that may stand in for a failing origin."""
    entry = engine.memory.get(asked.key.digest)
    if entry is not None and entry.status == MARKER:
        if engine.floors.judge(entry) is Verdict.DEAD or now >= entry.dies_at:
            engine.memory.discard_if(entry.key, entry)
            return None, None
        entry.visited = True  # as hot as its variants: without it none of them is found
        asked.key = _variant(engine, asked, entry)
        entry = engine.memory.get(asked.key.digest)
    if entry is None:
        return None, None
    return _candidate(engine, asked, entry, now, Outcome.HIT_MEMORY, Outcome.STALE_MEMORY)


def _in_shared(
    engine: Engine, asked: Ask, now: float, stale: Entry | None
) -> Flow[tuple[Serve | None, Entry | None, float]]:
    """Look in the shared store, a second time when the first answer says that the answer varies."""
    if not engine.settings.has_shared:
        return None, stale, now
    route = asked.route.name
    entry, now = yield Lookup(asked.key, route)
    if entry is not None and entry.status == MARKER:
        if engine.floors.judge(entry) is Verdict.DEAD:
            return None, stale, now
        engine.memory.put(entry)
        asked.key = _variant(engine, asked, entry)
        entry, now = yield Lookup(asked.key, route)
    if entry is None or entry.status == MARKER:
        return None, stale, now
    served, spare = _candidate(engine, asked, entry, now, Outcome.HIT_SHARED, Outcome.STALE_SHARED)
    if served is not None or spare is not None:
        engine.memory.put(entry)
    return served, spare or stale, now


def _variant(engine: Engine, asked: Ask, marker: Entry) -> Key:
    names = tuple(name for name, _ in marker.vary)
    return engine.variant_key(asked.plan, engine.selecting(names, asked.headers))


def _candidate(
    engine: Engine,
    asked: Ask,
    entry: Entry,
    now: float,
    fresh: Outcome,
    stale: Outcome,
) -> tuple[Serve | None, Entry | None]:
    verdict = engine.floors.judge(entry)
    if verdict is Verdict.DEAD or now >= entry.dies_at:
        engine.memory.discard_if(entry.key, entry)
        return None, None
    if not _is_for(entry, asked):
        return None, None
    if now >= engine.log.trusted_until and not engine.log.serves(entry.born, now):
        return None, None
    entry.visited = True
    if verdict is Verdict.VALID and now < entry.fresh_until:
        return Serve(ask=asked, entry=entry, outcome=fresh, now=now), None
    # A softly purged entry is stale before its time: it has only the windows that it was given,
    # and none at all where the response forbids stale answers (must-revalidate).
    lifetime_ends = entry.fresh_until
    if now < entry.stale_until > lifetime_ends:
        return Serve(ask=asked, entry=entry, outcome=stale, now=now), None
    return None, entry if now < entry.stale_error_until > lifetime_ends else None


# Not STALE_IF_ERROR: the origin was asked a moment ago, and failed.
_RENEWED = frozenset({Outcome.STALE_MEMORY, Outcome.STALE_SHARED})


def _with_refresh(engine: Engine, served: Serve) -> Serve:
    """Take the lead of one background refresh for a stale answer, unless somebody has it."""
    if served.outcome not in _RENEWED or served.ask.request.method != "GET":
        return served
    position = engine.floors.here()
    flight = engine.flights.lead(served.entry.key)
    if flight is None:
        return served
    fetch = Fetch(
        ask=served.ask,
        position=position,
        started=served.now,
        flight=flight,
        refresh=True,
    )
    return replace(served, refresh=fetch)


def _shared_answer(engine: Engine, asked: Ask, landing: Landing, now: float) -> Serve | None:
    """Give the leader's answer if it is this request's too, by the same rules as a stored one."""
    entry = landing.entry
    if entry is None:
        return None
    if entry.vary:
        wanted = engine.selecting(tuple(name for name, _ in entry.vary), asked.headers)
        if wanted != entry.vary:
            return None
    served, spare = _candidate(
        engine, asked, entry, now, Outcome.HIT_COALESCED, Outcome.STALE_MEMORY
    )
    if served is None and spare is not None and landing.origin_failed:
        return Serve(ask=asked, entry=spare, outcome=Outcome.STALE_IF_ERROR, now=now)
    return served


def _is_for(entry: Entry, asked: Ask) -> bool:
    """Say whether an entry may go to this client: a known one only gets what is meant for all."""
    if not asked.personal:
        return True
    control = cache_control.parse(Fields(entry.headers))
    if asked.authorization_sent and not control.shares_authorized:
        return False
    return not asked.cookies_sent or control.public or any(n == b"cookie" for n, _ in entry.vary)


def _forward(
    engine: Engine,
    asked: Ask,
    now: float,
    outcome: Outcome,
    reason: str,
    *,
    stale: Entry | None = None,
    flight: Flight | None = None,
    keep: bool = True,
) -> Forward:
    fetch = None
    if keep:
        fetch = Fetch(
            ask=asked, position=engine.floors.here(), started=now, flight=flight, stale=stale
        )
    # Where the answer will probably not be kept, the application answers conditions itself.
    conditions = not keep or outcome is not Outcome.MISS
    return Forward(
        route=asked.route,
        outcome=outcome,
        reason=reason,
        fetch=fetch,
        rewrite=asked.rewrite(keep_conditions=conditions),
    )
