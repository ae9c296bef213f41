"""Flows that are closed, or told of an ill store, at every yield: no flight is left hanging."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw.engine.core.effects import Await, Lookup
from cachemw.errors import EntryRejected, StoreError, StoreUnavailable
from tests.support.engine import (
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    marker_of,
    step,
    throw,
)

COOKIE, TOKEN = (b"cookie", b"sid=1"), (b"authorization", b"Bearer x")


# Each gives a flow that stands at one yield, in every state in which a flow can yield.


def _at_the_lead(kit: Kit) -> Any:
    flow = kit.flow(get())
    lookup(step(flow))
    return flow


def _at_the_variant(kit: Kit) -> Any:
    flow = kit.flow(get())
    key = lookup(step(flow)).key
    lookup(step(flow, (marker_of(kit, key), kit.now)))
    return flow


def _alone(kit: Kit) -> Any:
    flow = kit.flow(get("/products/1", COOKIE))
    lookup(step(flow))
    return flow


def _alone_at_the_variant(kit: Kit) -> Any:
    flow = kit.flow(get("/products/1", TOKEN))
    key = lookup(step(flow)).key
    lookup(step(flow, (marker_of(kit, key), kit.now)))
    return flow


def _promoted(kit: Kit) -> Any:
    leader = kit.miss(get())
    heir = follow(kit, get())
    assert leader.fetch is not None
    leader.fetch.abandon()
    lookup(heir.wake(kit.now))
    return heir.flow


def _in_its_own_variant(kit: Kit) -> Any:
    leader = kit.miss(get("/products/1", (b"accept-language", b"de")))
    other = follow(kit, get("/products/1", (b"accept-language", b"fr")))
    kit.keep(leader, b"deutsch", (b"vary", b"accept-language"))
    lookup(other.wake(kit.now))
    return other.flow


YIELDS = [
    _at_the_lead,
    _at_the_variant,
    _alone,
    _alone_at_the_variant,
    _promoted,
    _in_its_own_variant,
]


@pytest.mark.parametrize("stand", YIELDS)
def test_a_flow_that_is_closed_lets_go_of_its_flight(kit: Kit, stand: Any) -> None:
    """Cancellation. The guard is the `except BaseException` of `_lead`."""
    stand(kit).close()
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


@pytest.mark.parametrize("error", [StoreUnavailable(), EntryRejected("magic"), StoreError()])
@pytest.mark.parametrize("stand", YIELDS)
def test_an_ill_store_costs_a_lookup_and_nothing_else(
    kit: Kit, stand: Any, error: StoreError
) -> None:
    """I3."""
    flow = stand(kit)
    forward = forwarded(throw(flow, error))
    assert forward.fetch is not None
    assert kit.open_flights == (forward.fetch.flight is not None)
    forward.fetch.abandon()
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


@pytest.mark.parametrize("stand", YIELDS)
def test_a_fault_of_ours_leaves_no_flight_open(kit: Kit, stand: Any) -> None:
    flow = stand(kit)
    with pytest.raises(ZeroDivisionError):
        throw(flow, ZeroDivisionError())
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


@pytest.mark.parametrize("stand", YIELDS[:1] + YIELDS[4:])
def test_a_leader_that_is_closed_promotes_who_waits(kit: Kit, stand: Any) -> None:
    flow = stand(kit)
    (flight,) = kit.engine.flights.open.values()
    fields = [(b"accept-language", b"fr")] if stand is _in_its_own_variant else []
    waiting = follow(kit, get("/products/1", *fields))
    assert waiting.flight is flight
    flow.close()
    forward = waiting.wake(kit.now)
    while isinstance(forward, Lookup):
        forward = step(waiting.flow, (None, kit.now))
    assert forwarded(forward).fetch is not None
    assert kit.open_flights == 1


def test_an_ill_store_still_leaves_the_stale_stand_in(grace: Kit) -> None:
    entry = grace.fill(get())
    grace.clock.advance(80)
    flow = grace.flow(get())
    lookup(step(flow))
    forward = forwarded(throw(flow, StoreUnavailable()))
    assert forward.fetch is not None
    assert forward.fetch.fallback is entry


@pytest.mark.parametrize("end", ["close", "throw"])
def test_a_follower_that_is_cut_off_while_it_waits_holds_nothing(kit: Kit, end: str) -> None:
    leader = kit.miss(get())
    flow = kit.flow(get())
    effect = step(flow)
    assert isinstance(effect, Await)
    if end == "close":
        flow.close()
    else:
        with pytest.raises(ZeroDivisionError):
            throw(flow, ZeroDivisionError())
    kit.keep(leader, b"x")
    assert kit.open_flights == 0
