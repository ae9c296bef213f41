"""Candidates: what the tiers hold for one request, and what may be done with it.

A stored entry can be of two uses. It may be *servable* now. Or it may only be a *fallback*: the
application can be asked whether it is still current (validation), and it may be served if the
application fails (stale-if-error). The first rule that applies decides:

1. The entry is dead (purged), past `dies_at`, or not for this client: it does not exist (I1, I5).
2. The log cannot be trusted now, so nobody can know what was purged: it does not exist (I5).
3. It is fresh, and the client's own Cache-Control accepts it: servable.
4. It is stale, within stale-while-revalidate or as stale as the client accepts: servable.
5. Otherwise it is a fallback.

Responses that vary have a marker under the primary key. Then the lookup goes on with the key of the
variant that this request selects (see `model.variants`).
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.engine.core.effects import Flow, Lookup
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.entry import Entry, VaryMarker, Verdict
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.variants import selects_by
from cachemw.engine.privacy.cookie_reads import reads_of
from cachemw.engine.request.decisions import Serve
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.fields import Fields
from cachemw.http.request_control import accepts_stale, wants_validation

__all__ = ["NOTHING", "Candidate", "candidate", "in_memory", "in_shared", "usable_on_error"]


class Candidate(Struct, frozen=True):
    """The result of a lookup."""

    servable: Serve | None = None
    fallback: Entry | None = None
    """The entry that may be validated, or served on errors; None if there is a servable one."""
    varies: bool = False
    """Whether the responses are known to vary, and the variant of this request is not stored."""


NOTHING = Candidate()
VARIES = Candidate(varies=True)


def in_memory(engine: Engine, cacheable: CacheableRequest, now: float) -> Candidate:
    """Look in memory.

    If the responses are known to vary, `cacheable.key` is the key of the variant from then on.
    """
    item = engine.memory.get(cacheable.key.digest)
    if isinstance(item, VaryMarker):
        if engine.floors.judge(item) is Verdict.DEAD or now >= item.dies_at:
            engine.memory.discard_if(item.key, item)
            return NOTHING
        item.visited = True  # as often used as its variants: without it none of them is found
        cacheable.key = engine.variants.key_for(cacheable.plan, item, cacheable.headers)
        item = engine.memory.get(cacheable.key.digest)
        if not isinstance(item, Entry):
            return VARIES
    if item is None:
        return NOTHING
    return candidate(engine, cacheable, item, now, Outcome.HIT_MEMORY, Outcome.STALE_MEMORY)


def in_shared(
    engine: Engine, cacheable: CacheableRequest, now: float
) -> Flow[tuple[Candidate, float]]:
    """Look in the shared store, and a second time if there is a marker. Put what is found in memory."""
    route = cacheable.route.name
    item, now = yield Lookup(cacheable.key, route)
    varies = False
    if isinstance(item, VaryMarker):
        if engine.floors.judge(item) is Verdict.DEAD:
            return NOTHING, now
        engine.keep_in_memory(cacheable.target, item)
        varies = True
        cacheable.key = engine.variants.key_for(cacheable.plan, item, cacheable.headers)
        item, now = yield Lookup(cacheable.key, route)
    if not isinstance(item, Entry):
        return VARIES if varies else NOTHING, now
    found = candidate(engine, cacheable, item, now, Outcome.HIT_SHARED, Outcome.STALE_SHARED)
    if found is not NOTHING:
        engine.keep_in_memory(cacheable.target, item)
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
    if verdict is Verdict.DEAD or now >= entry.dies_at:  # I5: purged is gone
        engine.memory.discard_if(entry.key, entry)
        return NOTHING
    if not _is_for(engine, entry, cacheable) or _is_made_from_cookies(engine, entry, cacheable):
        return NOTHING
    if not engine.can_fill(entry):
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
        return Candidate(fallback=entry)
    return Candidate(Serve(cacheable=cacheable, entry=entry, outcome=outcome, now=now))


def _is_for(engine: Engine, entry: Entry, cacheable: CacheableRequest) -> bool:
    """Tell whether an entry may go to this client.

    I1: a request with credentials or cookies gets only a response that says that it is for everybody.
    """
    if not cacheable.personal:
        return True
    control = engine.control(Fields(entry.headers))
    if cacheable.authorization_sent and not control.shares_authorized:  # RFC 9111 §3.5
        return False
    return not cacheable.cookies_sent or control.public or selects_by(entry, b"cookie")


def _is_made_from_cookies(engine: Engine, entry: Entry, cacheable: CacheableRequest) -> bool:
    """Tell whether this client sent a cookie that the application has read, or may have read.

    The entry may be another process's, so what it was made from is learned before memory can have it.
    """
    route = cacheable.route
    if not route.cookies.learns:
        return False
    reads = reads_of(entry.tags)
    if reads is None:  # of another version or configuration: nobody can know what it was made from
        return route.cookies.watches
    engine.learn_cookies(route, reads)
    return cacheable.bypasses_by_now


def _suffices(engine: Engine, cacheable: CacheableRequest, entry: Entry, now: float) -> bool:
    """Tell whether an entry is fresh enough for the client's own Cache-Control."""
    assert cacheable.directives is not None
    return not wants_validation(
        cacheable.directives,
        age=now - entry.born,
        lifetime=entry.fresh_until - entry.born,
        immutable=engine.control(Fields(entry.headers)).immutable,
    )


def _may_be_stale(engine: Engine, cacheable: CacheableRequest, entry: Entry, now: float) -> bool:
    """Tell whether a stale entry may be served."""
    # A softly purged entry is stale before `fresh_until`. It may use the windows that it has, and has
    # none where the response forbids stale answers (must-revalidate).
    within_window = now < entry.stale_until > entry.fresh_until
    if cacheable.directives is None:
        return within_window
    if within_window and _suffices(engine, cacheable, entry, now):
        return True
    control = engine.control(Fields(entry.headers))
    return now >= entry.fresh_until and accepts_stale(
        cacheable.directives,
        staleness=now - entry.fresh_until,
        forbids_stale=control.forbids_stale,
    )


def usable_on_error(entry: Entry, now: float) -> bool:
    """Tell whether an entry may be served in place of an error now (RFC 5861 §4)."""
    return now < entry.stale_error_until > entry.fresh_until
