"""Following a flight: what a request that waits for another's answer is given, and when."""

from __future__ import annotations

import pytest

from cachemw.engine.core.effects import Lookup
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Forward, Serve
from tests.support.engine import (
    Follower,
    Kit,
    follow,
    forwarded,
    get,
    lookup,
    served,
    step,
)


def test_the_second_request_follows_and_serves_what_the_first_shares(kit: Kit) -> None:
    leader = kit.miss(get())
    follower = follow(kit, get())
    assert follower.timeout == kit.engine.settings.coalesce_wait
    assert follower.further == kit.engine.settings.coalesce_wait
    assert kit.engine.flights.waiting == 1
    entry = kit.keep(leader, b"shared")
    decision = served(follower.wake(kit.now))
    assert (decision.entry, decision.outcome) == (entry, Outcome.HIT_COALESCED)
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_followers_of_an_uncacheable_answer_go_on_alone_at_once(kit: Kit) -> None:
    """I1: what storing refuses is not shared with those who wait either."""
    leader = kit.miss(get())
    followers = [follow(kit, get()) for _ in range(3)]
    kit.head(leader, 200, (b"set-cookie", b"sid=1"))
    for follower in followers:
        decision = forwarded(follower.wake(kit.now))
        assert (decision.outcome, decision.reason) == (Outcome.MISS, "alone")
        assert decision.fetch is not None
        assert decision.fetch.flight is None
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_a_follower_waits_no_longer_than_it_must(kit: Kit) -> None:
    leader = kit.miss(get())
    decision = forwarded(follow(kit, get()).wake(kit.now + 5))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, "alone")
    assert decision.fetch is not None
    assert decision.fetch.started == kit.now + 5
    assert kit.events("flight_timeouts") == {"": 1}
    assert leader.fetch is not None
    leader.fetch.abandon()
    decision.fetch.abandon()
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


@pytest.mark.parametrize("field", [None, (b"set-cookie", b"sid=1")], ids=["kept", "refused"])
def test_who_has_waited_long_goes_for_all_who_wait(kit: Kit, field: tuple[bytes, bytes]) -> None:
    # Guard: the flight in `_forward_alone`.
    leader = kit.miss(get())
    first, second = follow(kit, get()), follow(kit, get())
    first.mark_late()
    kit.clock.advance(5)
    alone = forwarded(first.wake(kit.now))
    assert (alone.outcome, alone.reason) == (Outcome.MISS, "alone")
    if field is None:
        entry = kit.keep(alone, b"from one who went")
        assert served(second.wake(kit.now)).entry is entry
    else:
        kit.head(alone, 200, field)
        decision = forwarded(second.wake(kit.now))
        assert decision.fetch is not None
        assert decision.fetch.flight is None
    assert leader.fetch is not None
    leader.fetch.abandon()
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_a_fault_of_ours_in_counting_a_long_wait_leaves_no_flight_open(kit: Kit) -> None:
    leader = kit.miss(get())
    follower = follow(kit, get())

    def broken(event: str, reason: str) -> None:
        raise ZeroDivisionError

    kit.engine.count = broken
    with pytest.raises(ZeroDivisionError):
        follower.wake(kit.now + 5)
    assert leader.fetch is not None
    leader.fetch.abandon()
    assert kit.open_flights == 0


def test_no_more_go_at_a_time_than_may() -> None:
    kit = Kit(coalesce={"alone": 2})
    kit.miss(get())
    followers = [follow(kit, get()) for _ in range(4)]
    for follower in followers:
        follower.mark_late()
    assert sum(follower.waiter.result is not None for follower in followers) == 2


def test_all_waits_of_a_request_together_are_bounded(kit: Kit) -> None:
    """I3. Guard: `ends` in `_coalesce`: a second flight, of its own variant, is waited for less."""
    german, french = (b"accept-language", b"de"), (b"accept-language", b"fr")
    leader = kit.miss(get("/products/1", german))
    heir, other = follow(kit, get("/products/1", french)), follow(kit, get("/products/1", french))
    kit.clock.advance(7)
    kit.keep(leader, b"deutsch", (b"vary", b"accept-language"))
    lookup(heir.wake(kit.now))
    again = Follower(other.flow, other.wake(kit.now))
    assert (again.timeout, again.further) == (3.0, 0.0)


def test_a_promoted_follower_leads_the_rest(kit: Kit) -> None:
    leader = kit.miss(get())
    heir, other = follow(kit, get()), follow(kit, get())
    assert leader.fetch is not None
    leader.fetch.abandon()
    effect = lookup(heir.wake(kit.now))
    forward = forwarded(step(heir.flow, (None, kit.now)))
    assert effect.route == "products"
    assert forward.fetch is not None
    assert forward.fetch.flight is heir.flight
    entry = kit.keep(forward, b"by the heir")
    assert served(other.wake(kit.now)).entry is entry
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_a_leader_that_lets_go_twice_takes_nothing_from_its_heir(kit: Kit) -> None:
    """The guard is that a Fetch forgets its flight when it abandons it."""
    leader = kit.miss(get())
    heir, other = follow(kit, get()), follow(kit, get())
    assert leader.fetch is not None
    leader.fetch.abandon()
    leader.fetch.abandon()
    assert heir.waiter.result is not None
    assert other.waiter.result is None


def test_a_follower_is_not_given_what_was_purged_while_it_waited(kit: Kit) -> None:
    """I5: the guard is that a shared answer is judged like a stored one."""
    leader = kit.miss(get())
    follower = follow(kit, get())
    kit.keep(leader, b"overtaken", meanwhile=lambda: kit.cache.purge(tags=["product:1"]))
    decision = follower.wake(kit.now)
    while isinstance(decision, Lookup):
        decision = step(follower.flow, (None, kit.now))
    assert isinstance(decision, Forward)
    assert kit.hit(get()) is None, "the fill was dead on arrival"


def test_a_follower_is_given_only_its_own_variant() -> None:
    """I2: the guard is the comparison of selecting values in `_shared_answer`."""
    kit = Kit()
    german, french = (b"accept-language", b"de"), (b"accept-language", b"fr")
    leader = kit.miss(get("/products/1", german))
    same, other = follow(kit, get("/products/1", german)), follow(kit, get("/products/1", french))
    entry = kit.keep(leader, b"deutsch", (b"vary", b"accept-language"))
    assert served(same.wake(kit.now)).entry is entry
    effect = lookup(other.wake(kit.now))
    assert effect.key.digest != entry.key
    forward = forwarded(step(other.flow, (None, kit.now)))
    assert forward.fetch is not None
    assert forward.fetch.flight is not None
    third = follow(kit, get("/products/1", french))
    french_entry = kit.keep(forward, b"francais", (b"vary", b"accept-language"))
    assert served(third.wake(kit.now)).entry is french_entry
    assert (kit.open_flights, kit.engine.flights.waiting) == (0, 0)


def test_a_follower_takes_the_stale_stand_in_of_a_failed_origin(grace: Kit) -> None:
    entry = grace.fill(get())
    grace.clock.advance(80)
    leader = grace.miss(get())
    follower = follow(grace, get())
    assert isinstance(grace.head(leader, 503), Serve)
    decision = served(follower.wake(grace.now))
    assert (decision.entry, decision.outcome) == (entry, Outcome.STALE_IF_ERROR)


def test_the_waiters_of_a_process_are_bounded() -> None:
    """I4."""
    kit = Kit(coalesce={"max_waiters": 2})
    leader = kit.miss(get())
    followers = [follow(kit, get()) for _ in range(2)]
    decision = forwarded(step(kit.flow(get())))
    assert (decision.outcome, decision.reason) == (Outcome.MISS, "waiters")
    assert kit.engine.flights.waiting == 2
    kit.keep(leader, b"x")
    assert all(isinstance(follower.wake(kit.now), Serve) for follower in followers)
    assert kit.engine.flights.waiting == 0
