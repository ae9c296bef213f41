"""Coalescing across processes: the fleet's lease on a call, fed to the flow by hand."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.engine.core.effects import (
    Acquire,
    Claim,
    Lease,
    Lookup,
    Pause,
    Save,
    Settle,
    SharedWrite,
    save,
)
from cachemw.engine.keeping.storing import on_complete
from cachemw.engine.lookup.leasing import leads_refresh
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch, Forward
from cachemw.errors import StoreUnavailable
from tests.support.engine import (
    GRACE,
    Flow,
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    marker_of,
    served,
    step,
    throw,
)


@pytest.fixture
def kit() -> Kit:
    kit = Kit()
    kit.engine.settings = replace(kit.engine.settings, leases=True)
    return kit


def acquiring(kit: Kit, flow: Flow, found: Any = None) -> Acquire:
    """Answer the look into the shared store; give what is asked for then."""
    lookup(step(flow))
    effect = step(flow, (found, kit.now))
    assert isinstance(effect, Acquire), effect
    return effect


def granted(kit: Kit, flow: Flow) -> tuple[Forward, Lease]:
    lease = Lease(acquiring(kit, flow).key, b"token")
    return forwarded(step(flow, (lease, kit.now))), lease


def test_a_miss_takes_the_lease_after_it_has_looked(kit: Kit) -> None:
    forward, lease = granted(kit, kit.flow(get()))
    assert (forward.outcome, forward.reason) == (Outcome.MISS, "uri-miss")
    assert forward.fetch is not None
    assert forward.fetch.lease is lease
    assert lease.key == kit.asked(get()).plan.key


def test_what_is_kept_is_written_before_the_lease_is_given_back(kit: Kit) -> None:
    """Or those who wait would find the lease free and nothing there."""
    forward, lease = granted(kit, kit.flow(get()))
    decided: Any = kit.head(forward, 200)
    stored = on_complete(kit.engine, decided.collector, b"body", kit.now)
    assert stored is not None
    steps = list(save(stored))
    assert [type(each) for each in steps] == [Save, Settle]
    assert steps[-1] == Settle(lease, uncacheable=False)
    assert forward.fetch is not None
    assert forward.fetch.take_lease() is None, "it is settled once"


def test_an_answer_that_cannot_be_kept_leaves_word(kit: Kit) -> None:
    forward, lease = granted(kit, kit.flow(get()))
    kit.head(forward, 200, (b"cache-control", b"no-store"))
    assert forward.fetch is not None
    assert (forward.fetch.uncacheable, forward.fetch.take_lease()) == (True, lease)


def test_while_another_process_calls_it_is_looked_for_what_comes_of_it(kit: Kit) -> None:
    flow = kit.flow(get())
    key = acquiring(kit, flow).key
    pauses = []
    effect = step(flow, (Claim.HELD, kit.now))
    while len(pauses) < 6:
        assert isinstance(effect, Pause)
        pauses.append(effect.seconds)
        kit.clock.advance(effect.seconds)
        assert isinstance(step(flow, (None, kit.now)), Acquire)
        assert isinstance(step(flow, (Claim.HELD, kit.now)), Lookup)
        effect = step(flow, (None, kit.now))
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
    step(flow, (None, kit.now))
    step(flow, (Claim.HELD, kit.now))
    decision = served(step(flow, (kit.entry(key), kit.now)))
    assert (decision.outcome, decision.entry.body) == (Outcome.HIT_SHARED, b"shared")
    assert kit.open_flights == 0


def test_followers_in_the_process_share_what_the_other_process_left(kit: Kit) -> None:
    flow = kit.flow(get())
    key = acquiring(kit, flow).key
    follower = follow(kit, get())
    step(flow, (Claim.HELD, kit.now))
    step(flow, (None, kit.now))
    step(flow, (Claim.HELD, kit.now))
    step(flow, (kit.entry(key), kit.now))
    assert served(follower.wake(kit.now)).outcome is Outcome.HIT_COALESCED


def test_the_wait_is_bounded(kit: Kit) -> None:
    """I3. The guard is `ends` in `_behind`."""
    flow = kit.flow(get())
    acquiring(kit, flow)
    began, effect = kit.now, step(flow, (Claim.HELD, kit.now))
    while isinstance(effect, Pause):
        kit.clock.advance(effect.seconds)
        step(flow, (None, kit.now))
        step(flow, (Claim.HELD, kit.now))
        effect = step(flow, (None, kit.now))
    decision = forwarded(effect)
    assert decision.fetch is not None
    assert decision.fetch.lease is None
    assert kit.now - began == pytest.approx(kit.engine.settings.coalesce_wait)
    assert kit.events("lease_timeouts") == {"": 1}


def test_who_has_followed_before_waits_the_less_behind_another_process(kit: Kit) -> None:
    """I3. The guard is that `_behind` keeps to the `ends` of the whole request."""
    leader, _ = granted(kit, kit.flow(get()))
    heir, began = follow(kit, get()), kit.now
    kit.clock.advance(7)
    assert leader.fetch is not None
    leader.fetch.abandon()
    lookup(heir.wake(kit.now))
    assert isinstance(step(heir.flow, (None, kit.now)), Acquire)
    effect = step(heir.flow, (Claim.HELD, kit.now))
    while isinstance(effect, Pause):
        kit.clock.advance(effect.seconds)
        step(heir.flow, (None, kit.now))
        step(heir.flow, (Claim.HELD, kit.now))
        effect = step(heir.flow, (None, kit.now))
    assert forwarded(effect).reason == "uri-miss"
    assert kit.now - began == pytest.approx(2 * kit.engine.settings.coalesce_wait)


def test_a_holder_that_died_is_followed_by_another(kit: Kit) -> None:
    flow = kit.flow(get())
    key = acquiring(kit, flow).key
    step(flow, (Claim.HELD, kit.now))
    step(flow, (None, kit.now))
    lease = Lease(key, b"next")
    lookup(step(flow, (lease, kit.now)))
    decision = forwarded(step(flow, (None, kit.now)))
    assert decision.fetch is not None
    assert decision.fetch.lease is lease


def test_a_lease_that_came_free_because_all_is_done_is_given_back(kit: Kit) -> None:
    """The guard is the order in `_behind`: the holder may end between a look and a claim."""
    flow = kit.flow(get())
    key = acquiring(kit, flow).key
    step(flow, (Claim.HELD, kit.now))
    step(flow, (None, kit.now))
    lease = Lease(key, b"late")
    lookup(step(flow, (lease, kit.now)))
    effect = step(flow, (kit.entry(key), kit.now))
    assert effect == Settle(lease, uncacheable=False)
    assert served(step(flow, (None, kit.now))).outcome is Outcome.HIT_SHARED


def test_word_that_it_cannot_be_kept_lets_everybody_go(kit: Kit) -> None:
    flow = kit.flow(get())
    acquiring(kit, flow)
    decision = forwarded(step(flow, (Claim.UNCACHEABLE, kit.now)))
    assert decision.fetch is not None
    assert decision.fetch.lease is None
    assert kit.engine.is_uncacheable(kit.asked(get()).plan.key.digest)


def test_without_a_shared_store_nobody_waits(kit: Kit) -> None:
    flow = kit.flow(get())
    acquiring(kit, flow)
    assert forwarded(step(flow, (Claim.UNAVAILABLE, kit.now))).reason == "uri-miss"


def test_an_ill_store_is_gone_around(kit: Kit) -> None:
    """I3."""
    flow = kit.flow(get())
    acquiring(kit, flow)
    decision = forwarded(throw(flow, StoreUnavailable()))
    assert decision.fetch is not None
    assert decision.fetch.flight is not None


def test_a_request_that_is_cut_off_while_it_waits_lets_go(kit: Kit) -> None:
    flow = kit.flow(get())
    acquiring(kit, flow)
    step(flow, (Claim.HELD, kit.now))
    flow.close()
    assert kit.open_flights == 0


@pytest.mark.parametrize("error", [None, StoreUnavailable("away")], ids=["cut off", "ill store"])
def test_a_lease_that_nobody_will_settle_is_dropped(
    kit: Kit, error: StoreUnavailable | None
) -> None:
    """The guard is `_drop` in `_behind`: whoever waits behind it would wait for as long as it is renewed."""
    flow = kit.flow(get())
    key = acquiring(kit, flow).key
    step(flow, (Claim.HELD, kit.now))
    assert isinstance(step(flow, (None, kit.now)), Acquire)
    lease = Lease(key, b"token")
    lookup(step(flow, (lease, kit.now)))
    if error is None:
        flow.close()
    else:
        throw(flow, error)
    assert lease.dropped


@pytest.mark.parametrize(
    "field", [(b"cookie", b"sid=1"), (b"authorization", b"x"), (b"range", b"bytes=0-1")]
)
def test_who_does_not_queue_takes_no_lease(kit: Kit, field: tuple[bytes, bytes]) -> None:
    flow = kit.flow(get("/products/1", field))
    lookup(step(flow))
    assert isinstance(step(flow, (None, kit.now)), Forward)


def test_a_varying_answer_is_leased_by_variant(kit: Kit) -> None:
    request = get("/products/1", (b"accept-language", b"de"))
    flow = kit.flow(request)
    key = lookup(step(flow)).key
    lookup(step(flow, (marker_of(kit, key), kit.now)))
    effect = step(flow, (None, kit.now))
    assert isinstance(effect, Acquire)
    assert effect.key != key


def test_without_leases_nothing_is_asked() -> None:
    kit = Kit()
    flow = kit.flow(get())
    lookup(step(flow))
    assert isinstance(step(flow, (None, kit.now)), Forward)


# Background refreshes -----------------------------------------------------------------------------------


@pytest.fixture
def stale() -> tuple[Kit, Fetch]:
    """Give the refresh that a stale answer was served with."""
    kit = Kit(GRACE)
    kit.fill(get(), b"body")
    kit.engine.settings = replace(kit.engine.settings, leases=True)
    kit.clock.advance(65)
    refresh = served(step(kit.flow(get()))).refresh
    assert refresh is not None
    return kit, refresh


def leads(kit: Kit, fetch: Fetch, claim: Lease | Claim, found: Entry | None) -> list[Any]:
    """Run the question to its end; give what was asked for, and the answer."""
    flow, seen = leads_refresh(kit.engine, fetch), []
    answers: dict[type, Any] = {Acquire: claim, Lookup: found, Settle: None}
    try:
        effect = next(flow)
        while True:
            seen.append(type(effect))
            effect = flow.send((answers[type(effect)], kit.now))
    except StopIteration as stop:
        return [*seen, stop.value]


def test_a_refresh_takes_the_lease(stale: tuple[Kit, Fetch]) -> None:
    kit, fetch = stale
    lease = Lease(fetch.cacheable.key, b"token")
    assert leads(kit, fetch, lease, None) == [Acquire, Lookup, True]
    assert fetch.lease is lease


def test_a_refresh_that_another_process_makes_is_left_to_it(stale: tuple[Kit, Fetch]) -> None:
    kit, fetch = stale
    assert leads(kit, fetch, Claim.HELD, None) == [Acquire, Lookup, False]


def test_what_another_process_has_renewed_is_taken_over(stale: tuple[Kit, Fetch]) -> None:
    kit, fetch = stale
    renewed = kit.entry(fetch.cacheable.key)
    lease = Lease(fetch.cacheable.key, b"token")
    assert leads(kit, fetch, lease, renewed) == [Acquire, Lookup, Settle, False]
    assert kit.hit(get()) is renewed
    assert kit.open_flights == 0


def test_a_refresh_goes_around_an_ill_store(stale: tuple[Kit, Fetch]) -> None:
    kit, fetch = stale
    flow = leads_refresh(kit.engine, fetch)
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.throw(StoreUnavailable())
    assert stop.value.value is True


def test_a_lease_is_given_back_although_the_answer_could_not_be_written(kit: Kit) -> None:
    """Or the others wait for what will never be there. The guard is the second `try` in `save`."""
    key = kit.asked(get()).plan.key
    lease = Lease(key, b"token")
    flow = save(SharedWrite(((key, kit.entry(key)),), "products", lease))
    assert isinstance(next(flow), Save)
    assert flow.throw(StoreUnavailable()) == Settle(lease, uncacheable=False)
    with pytest.raises(StopIteration) as stop:
        flow.send((None, kit.now))
    assert stop.value.value is False


def test_a_settlement_that_fails_is_quiet(kit: Kit) -> None:
    lease = Lease(kit.asked(get()).plan.key, b"token")
    flow = save(SharedWrite((), "", lease))
    assert next(flow) == Settle(lease, uncacheable=False)
    with pytest.raises(StopIteration) as stop:
        flow.throw(StoreUnavailable())
    assert stop.value.value is False
