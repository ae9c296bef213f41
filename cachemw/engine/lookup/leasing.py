"""Coalescing across processes: a lease in Redis on the call of the application for one key.

The leader of a flight takes the lease before it calls the application. If another process has the
lease, the leader looks again and again for what that process leaves: an entry, the marker that the
response is not cacheable, or a lease that ran out because its holder died. Only leaders look, so a
process costs Redis two commands for each look, however many requests wait in it. The wait is bounded
(I3); after it the application is called without a lease.
"""

from __future__ import annotations

from cachemw.engine.core.effects import Acquire, Claim, Flow, Lease, Pause, Settle
from cachemw.engine.core.engine import Engine
from cachemw.engine.lookup.candidates import Candidate, in_shared
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch
from cachemw.engine.request.keying import CacheableRequest
from cachemw.errors import StoreError

__all__ = ["acquire_lease", "leads_refresh"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.1
"""Seconds between looks: from the time of a fast response, to one that nobody notices beside a slow one."""


def acquire_lease(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, ends: float
) -> Flow[tuple[Candidate, Lease | None, float]]:
    """Take the lease, or wait for what its holder leaves.

    With neither, the caller calls the application without a lease. `ends` is the time at which all
    of the request's waiting must be over.
    """
    try:
        claim, now = yield Acquire(cacheable.key)
        if claim is Claim.HELD:
            return (yield from _wait_for_holder(engine, cacheable, now, found, ends))
    except StoreError:
        return found, None, now
    return found, _lease_of(engine, cacheable, claim), now


def leads_refresh(engine: Engine, fetch: Fetch) -> Flow[bool]:
    """Tell whether this process should refresh a stale entry: not if another process has, or does so."""
    if not engine.settings.leases:
        return True
    claim: Lease | Claim = Claim.UNAVAILABLE
    try:
        claim, now = yield Acquire(fetch.cacheable.key)
        elsewhere, now = yield from in_shared(engine, fetch.cacheable, now)
        refreshed = elsewhere.servable
        if refreshed is not None and refreshed.outcome is Outcome.HIT_SHARED:
            if isinstance(claim, Lease):
                yield Settle(claim, uncacheable=False)
            if fetch.flight is not None:
                fetch.flight.complete(refreshed.entry)
            return False
    except StoreError:
        _abandon_lease(claim)
        return True
    except GeneratorExit:
        _abandon_lease(claim)
        raise
    if isinstance(claim, Lease):
        fetch.lease = claim
    return claim is not Claim.HELD


def _wait_for_holder(
    engine: Engine, cacheable: CacheableRequest, now: float, found: Candidate, ends: float
) -> Flow[tuple[Candidate, Lease | None, float]]:
    """Wait while another process has the lease."""
    ends, pause = min(ends, now + engine.settings.coalesce_wait), _FIRST_PAUSE
    claim: Lease | Claim = Claim.HELD
    try:
        while claim is Claim.HELD and now < ends:
            _, now = yield Pause(min(pause, ends - now))
            pause = min(pause * 2, _LONGEST_PAUSE)
            # In this order: a holder that ends between the two has left its entry by the second.
            claim, now = yield Acquire(cacheable.key)
            elsewhere, now = yield from in_shared(engine, cacheable, now)
            if elsewhere.servable is not None:
                if isinstance(claim, Lease):
                    yield Settle(claim, uncacheable=False)
                return elsewhere, None, now
    except BaseException:  # the request was cancelled, or the store failed
        _abandon_lease(claim)
        raise
    if claim is Claim.HELD:
        engine.count("lease_timeouts", "")
    return found, _lease_of(engine, cacheable, claim), now


def _abandon_lease(claim: Lease | Claim) -> None:
    """Mark a lease that nobody will settle as dropped; it is then returned in the background."""
    if isinstance(claim, Lease):
        claim.dropped = True


def _lease_of(engine: Engine, cacheable: CacheableRequest, claim: Lease | Claim) -> Lease | None:
    """Return the lease, if the claim is one; remember a key that another process found uncacheable."""
    if claim is Claim.UNCACHEABLE:
        engine.set_uncacheable(cacheable.plan.key.digest, True)
    return claim if isinstance(claim, Lease) else None
