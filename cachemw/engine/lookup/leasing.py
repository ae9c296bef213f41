"""Coalescing across processes: whoever leads in a process takes the fleet's lease before it calls.

While another process has the lease, look again and again for what it leaves: an answer, word that
none can be kept, or a lease that ran out because its holder died. Only a flight's leader looks, so
a process costs Redis two commands a look, however many wait in it. The wait is bounded, and then
the application is called without a lease.
"""

from __future__ import annotations

from cachemw.engine.core.effects import Acquire, Claim, Flow, Lease, Pause, Settle
from cachemw.engine.core.engine import Engine
from cachemw.engine.lookup.candidates import Candidate, in_shared
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch
from cachemw.engine.request.keying import CacheableRequest
from cachemw.errors import StoreError

__all__ = ["leads_refresh", "leased"]

# Seconds between looks: from what a fast answer takes to what nobody notices beside a slow one.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1


def leased(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, ends: float
) -> Flow[tuple[Candidate, Lease | None, float]]:
    """Take the lease, or wait for what its holder leaves; with neither, the caller goes by itself.

    `ends` is when all of its waiting has to be over.
    """
    try:
        claim, now = yield Acquire(cacheable.key)
        if claim is Claim.HELD:
            return (yield from _behind(engine, cacheable, now, found, ends))
    except StoreError:
        return found, None, now
    return found, _lease_of(engine, cacheable, claim), now


def leads_refresh(engine: Engine, fetch: Fetch) -> Flow[bool]:
    """Say whether this process is to renew a stale answer; not if another has done so, or is about to."""
    if not engine.settings.leases:
        return True
    claim: Lease | Claim = Claim.UNAVAILABLE
    try:
        claim, now = yield Acquire(fetch.cacheable.key)
        elsewhere, now = yield from in_shared(engine, fetch.cacheable, now)
        renewed = elsewhere.served
        if renewed is not None and renewed.outcome is Outcome.HIT_SHARED:
            if isinstance(claim, Lease):
                yield Settle(claim, uncacheable=False)
            if fetch.flight is not None:
                fetch.flight.land(renewed.entry)
            return False
    except StoreError:
        _drop(claim)
        return True
    except GeneratorExit:
        _drop(claim)
        raise
    if isinstance(claim, Lease):
        fetch.lease = claim
    return claim is not Claim.HELD


def _behind(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, ends: float
) -> Flow[tuple[Candidate, Lease | None, float]]:
    """Wait behind another process."""
    ends, pause = min(ends, now + engine.settings.coalesce_wait), _FIRST_PAUSE
    claim: Lease | Claim = Claim.HELD
    try:
        while claim is Claim.HELD and now < ends:
            _, now = yield Pause(min(pause, ends - now))
            pause = min(pause * 2, _LONGEST_PAUSE)
            # Claimed first and looked then: a holder that ends between the two has left its answer.
            claim, now = yield Acquire(cacheable.key)
            elsewhere, now = yield from in_shared(engine, cacheable, now)
            if elsewhere.served is not None:
                if isinstance(claim, Lease):
                    yield Settle(claim, uncacheable=False)
                return elsewhere, None, now
    except BaseException:  # the request is cut off, or the store is ill
        _drop(claim)
        raise
    if claim is Claim.HELD:
        engine.count("lease_timeouts", "")
    return found, _lease_of(engine, cacheable, claim), now


def _drop(claim: Lease | Claim) -> None:
    """Let go of a lease that nobody will settle: it is given back in the background."""
    if isinstance(claim, Lease):
        claim.dropped = True


def _lease_of(engine: Engine, cacheable: CacheableRequest, claim: Lease | Claim) -> Lease | None:
    if claim is Claim.UNCACHEABLE:
        engine.set_uncacheable(cacheable.plan.key.digest, True)
    return claim if isinstance(claim, Lease) else None
