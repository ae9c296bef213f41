"""What the tiers hold for one request: an answer to serve, or one that is only worth something.

An entry that may not simply be served can still be *validated* (the application says that it is
current) or *stand in* for a failing application. The rules, in this order:

- dead (purged), past its last use, or not for this client: it is not there at all;
- the log is not to be trusted just now: not there either;
- fresh, and the client insists on nothing else: served;
- stale inside stale-while-revalidate, or as stale as the client accepts: served;
- otherwise kept in hand.
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.engine.core.effects import Flow, Lookup
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.entry import Entry, VaryMarker, Verdict
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.variants import selects_by
from cachemw.engine.request.decisions import Serve
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.fields import Fields
from cachemw.http.request_control import accepts_stale, wants_validation

__all__ = ["NOTHING", "Candidate", "candidate", "in_memory", "in_shared", "stands_in"]


class Candidate(Struct, frozen=True):
    """What there is for a request."""

    served: Serve | None = None
    stored: Entry | None = None
    """What may be validated, or stand in; None where there is an answer to serve."""
    varies: bool = False
    """Whether it is known that the answers vary, and this variant is not there."""


NOTHING = Candidate()
VARIES = Candidate(varies=True)


def in_memory(engine: Engine, cacheable: CacheableRequest, now: float) -> Candidate:
    """Look in memory; from then on `asked.key` is the variant's, where the answer is known to vary."""
    entry = engine.memory.get(cacheable.key.digest)
    if isinstance(entry, VaryMarker):
        if engine.floors.judge(entry) is Verdict.DEAD or now >= entry.dies_at:
            engine.memory.discard_if(entry.key, entry)
            return NOTHING
        entry.visited = True  # as often used as its variants: without it none of them is found
        cacheable.key = engine.variants.key_for(cacheable.plan, entry, cacheable.headers)
        entry = engine.memory.get(cacheable.key.digest)
        if not isinstance(entry, Entry):
            return VARIES
    if entry is None:
        return NOTHING
    return candidate(engine, cacheable, entry, now, Outcome.HIT_MEMORY, Outcome.STALE_MEMORY)


def in_shared(
    engine: Engine, cacheable: CacheableRequest, now: float
) -> Flow[tuple[Candidate, float]]:
    """Look in the shared store, a second time when the first answer says that the answer varies."""
    route = cacheable.route.name
    entry, now = yield Lookup(cacheable.key, route)
    varies = False
    if isinstance(entry, VaryMarker):
        if engine.floors.judge(entry) is Verdict.DEAD:
            return NOTHING, now
        engine.memory.put(entry)
        varies = True
        cacheable.key = engine.variants.key_for(cacheable.plan, entry, cacheable.headers)
        entry, now = yield Lookup(cacheable.key, route)
    if not isinstance(entry, Entry):
        return VARIES if varies else NOTHING, now
    found = candidate(engine, cacheable, entry, now, Outcome.HIT_SHARED, Outcome.STALE_SHARED)
    if found is not NOTHING:
        engine.memory.put(entry)
    return found, now


def candidate(
    engine: Engine,
    cacheable: CacheableRequest,
    entry: Entry,
    now: float,
    fresh: Outcome,
    stale: Outcome,
) -> Candidate:
    """Judge an entry by the rules above; `fresh` and `stale` are the outcomes of serving it."""
    verdict = engine.floors.judge(entry)
    if verdict is Verdict.DEAD or now >= entry.dies_at:
        engine.memory.discard_if(entry.key, entry)
        return NOTHING
    if not _is_for(engine, entry, cacheable):
        return NOTHING
    if not engine.trusts(cacheable.route, entry.born, now):
        return NOTHING
    entry.visited = True
    if verdict is Verdict.VALID and now < entry.fresh_until:
        outcome = (
            fresh
            if cacheable.directives is None or _suffices(engine, cacheable, entry, now)
            else None
        )
    else:
        outcome = stale if _may_be_stale(engine, cacheable, entry, now) else None
    if outcome is None:
        return Candidate(stored=entry)
    return Candidate(Serve(cacheable=cacheable, entry=entry, outcome=outcome, now=now))


def _is_for(engine: Engine, entry: Entry, cacheable: CacheableRequest) -> bool:
    """Say whether an entry may go to this client: a known one only gets what is meant for all."""
    if not cacheable.personal:
        return True
    control = engine.control(Fields(entry.headers))
    if cacheable.authorization_sent and not control.shares_authorized:
        return False
    return not cacheable.cookies_sent or control.public or selects_by(entry, b"cookie")


def _suffices(engine: Engine, cacheable: CacheableRequest, entry: Entry, now: float) -> bool:
    """Say whether a fresh entry is fresh enough for the client."""
    assert cacheable.directives is not None
    return not wants_validation(
        cacheable.directives,
        age=now - entry.born,
        lifetime=entry.fresh_until - entry.born,
        immutable=engine.control(Fields(entry.headers)).immutable,
    )


def _may_be_stale(engine: Engine, cacheable: CacheableRequest, entry: Entry, now: float) -> bool:
    # A softly purged entry is stale before its time: it has only the windows that it was given,
    # and none at all where the response forbids stale answers (must-revalidate).
    within_window = now < entry.stale_until > entry.fresh_until
    if cacheable.directives is None:
        return within_window
    if within_window and _suffices(engine, cacheable, entry, now):
        return True
    control = engine.control(Fields(entry.headers))
    return now >= entry.fresh_until and accepts_stale(
        cacheable.directives,
        staleness=now - entry.fresh_until,
        forbids_stale=control.forbids_stale or control.no_cache,
    )


def stands_in(entry: Entry, now: float) -> bool:
    """Say whether an entry may be served in place of an error just now (RFC 5861 §4)."""
    return now < entry.stale_error_until > entry.fresh_until
