"""Coalescing: one leader, no follower lost, the lead passes on, and every count returns to zero."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from cachemw.engine.core.flights import Flight, FlightResult, Flights, Waiter, WaitResult
from tests.support.entries import make_entry
from tests.support.examples import examples

KEYS = [b"a", b"b"]
MAX_WAITERS = 6
MAY_GO = 2
"""Followers that may go alone beside a leader."""
CALLS = {WaitResult.PROMOTED, WaitResult.ALONE, WaitResult.TIMEOUT}
ENDS = {"complete": WaitResult.COMPLETED, "release": WaitResult.RELEASED}
ENTRY = make_entry()


@dataclass(eq=False)
class Follower:
    """One request that was told to follow, as the model knows it."""

    flight: Flight
    runs: bool = True
    """Whether it can still run when it is woken: its event loop is not closed."""
    waiter: Waiter | None = None
    woken: int = 0
    learnt: WaitResult | None = None
    """What the model says that it learns."""


@dataclass(eq=False)
class Model:
    """One flight."""

    calls: int = 1
    regardless: int = 0
    """How many waited for all of their time, and then called the application."""
    waiting: list[Follower] = field(default_factory=list)
    late: list[Follower] = field(default_factory=list)
    failed: bool = False
    ended: WaitResult | None = None

    @property
    def room(self) -> int:
        return MAY_GO if self.failed else MAY_GO + 1

    def send(self) -> None:
        """Tell the followers that may call; one that cannot run is released, and the next is told."""
        while self.ended is None:
            if self.late and self.calls < self.room:
                chosen, told = self.late.pop(0), WaitResult.ALONE
            elif self.calls:
                return
            elif self.waiting:
                chosen, told = self.waiting.pop(0), WaitResult.PROMOTED
            else:
                self.ended = WaitResult.RELEASED
                return
            chosen.learnt = told if chosen.runs else WaitResult.RELEASED
            self.calls += chosen.runs

    def end(self, how: WaitResult) -> None:
        self.ended = how
        for follower in self.late + self.waiting:
            follower.learnt = how
        self.late.clear()
        self.waiting.clear()


class FlightsMachine(RuleBasedStateMachine):
    """Requests join, wait, leave and end flights in any order; a model says what each must learn."""

    told_to_follow = Bundle("told_to_follow")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.flights = Flights(MAX_WAITERS, MAY_GO)
        self.models: dict[Flight, Model] = {}
        self.following = 0
        """Followers that have not left."""

    def _open(self, key: bytes) -> Flight | None:
        for flight, model in self.models.items():
            if flight.key == key and model.ended is None:
                return flight
        return None

    @rule(target=told_to_follow, key=st.sampled_from(KEYS), runs=st.booleans())
    def join_or_lead(self, key: bytes, runs: bool) -> Follower | None:
        expected = self._open(key)
        flight, leads = self.flights.join_or_lead(key)
        if expected is None:
            assert flight is not None
            assert leads
            self.models[flight] = Model()
            return None
        assert not leads
        if self.following >= MAX_WAITERS:
            assert flight is None
            return None
        assert flight is expected
        self.following += 1
        return Follower(flight, runs=runs)

    @rule(key=st.sampled_from(KEYS))
    def lead_a_refresh(self, key: bytes) -> None:
        expected = self._open(key)
        flight = self.flights.lead(key)
        assert (flight is None) is (expected is not None)
        if flight is not None:
            self.models[flight] = Model()

    @rule(target=waiting, follower=consumes(told_to_follow))
    def join(self, follower: Follower | None) -> Follower | None:
        if follower is None:
            return None

        def wake() -> bool:
            follower.woken += 1
            return follower.runs

        follower.waiter = Waiter(wake)
        model = self.models[follower.flight]
        follower.flight.join(follower.waiter)
        if model.ended is None:
            (model.late if model.failed else model.waiting).append(follower)
            model.send()
        else:
            follower.learnt = model.ended
        return follower

    @rule(follower=waiting)
    def mark_late(self, follower: Follower | None) -> None:
        """Its first wait is over. To say so again changes nothing."""
        if follower is None:
            return
        assert follower.waiter is not None
        follower.flight.mark_late(follower.waiter)
        model = self.models[follower.flight]
        if follower in model.waiting:
            model.waiting.remove(follower)
            model.late.append(follower)
            model.send()

    @rule(follower=consumes(waiting))
    def leave(self, follower: Follower | None) -> None:
        if follower is not None:
            self._leave(follower)

    def _leave(self, follower: Follower) -> None:
        assert follower.waiter is not None
        result = follower.flight.leave(follower.waiter)
        self.following -= 1
        assert result.outcome is (follower.learnt or WaitResult.TIMEOUT)
        assert (result.entry is ENTRY) is (result.outcome is WaitResult.COMPLETED)
        assert follower.woken == (follower.learnt is not None)
        if follower.learnt is None:
            self._go_regardless(follower)

    def _go_regardless(self, follower: Follower) -> None:
        model = self.models[follower.flight]
        (model.late if follower in model.late else model.waiting).remove(follower)
        model.calls += 1
        model.regardless += 1

    @rule(follower=consumes(waiting))
    def cancel(self, follower: Follower | None) -> None:
        """It is cancelled, perhaps just as it was told to call."""
        if follower is None:
            return
        assert follower.waiter is not None
        follower.flight.cancel(follower.waiter)
        self.following -= 1
        if follower.learnt is None:
            self._go_regardless(follower)
        if follower.learnt in {None, *CALLS}:
            self._come_back(self.models[follower.flight])

    def _come_back(self, model: Model) -> None:
        model.calls -= 1
        model.send()

    @precondition(lambda self: any(m.ended is None for m in self.models.values()))
    @rule(
        data=st.data(),
        how=st.sampled_from(["complete", "release", "fail", "abandon"]),
        again=st.sampled_from(["complete", "release", "fail", "abandon", None]),
    )
    def end(self, data: st.DataObject, how: str, again: str | None) -> None:
        """One of a flight's calls ends. What ends after the flight changes nothing."""
        going = [flight for flight, model in self.models.items() if model.ended is None]
        flight = data.draw(st.sampled_from(going))
        model = self.models[flight]
        self._call(flight, how)
        if how in ENDS:
            model.end(ENDS[how])
        elif how == "fail":
            model.failed = True
            model.late += model.waiting
            model.waiting.clear()
            self._come_back(model)
        else:
            self._come_back(model)
        if again and model.ended is not None:
            self._call(flight, again)

    def _call(self, flight: Flight, how: str) -> None:
        if how == "complete":
            flight.complete(ENTRY)
        else:
            getattr(flight, how)()

    @invariant()
    def every_follower_is_counted(self) -> None:
        assert self.flights.waiting == self.following <= MAX_WAITERS

    def going(self) -> list[tuple[Flight, Model]]:
        return [(flight, model) for flight, model in self.models.items() if model.ended is None]

    @invariant()
    def every_open_flight_has_a_call_and_no_other_is_listed(self) -> None:
        assert self.flights.open == {flight.key: flight for flight, _ in self.going()}
        assert all(model.calls > 0 for _, model in self.going())

    @invariant()
    def no_more_call_than_may_and_nobody_waits_while_there_is_room(self) -> None:
        for _, model in self.going():
            assert model.calls <= MAY_GO + 1 + model.regardless
            assert not model.late or model.calls >= model.room

    @invariant()
    def nobody_is_woken_before_there_is_a_result(self) -> None:
        for model in self.models.values():
            assert all(follower.woken == 0 for follower in model.waiting + model.late)

    def teardown(self) -> None:
        for flight, _ in self.going():
            flight.release()
        assert self.flights.open == {}


TestFlights = FlightsMachine.TestCase
TestFlights.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)


def test_ending_a_flight_again_does_not_end_the_next_one_of_the_key() -> None:
    flights = Flights(10, 4)
    first, _ = flights.join_or_lead(b"a")
    assert first is not None
    first.complete(ENTRY)
    second, leads = flights.join_or_lead(b"a")
    assert leads
    first.release()
    first.abandon()
    assert flights.open == {b"a": second}


def test_a_promoted_follower_that_cannot_run_does_not_keep_the_lead() -> None:
    """The guard is that `abandon` releases a follower whose `wake` returned False: its loop is closed."""
    flights = Flights(10, 4)
    flight, _ = flights.join_or_lead(b"a")
    assert flight is not None
    gone, promoted = Waiter(lambda: False), Waiter(lambda: True)
    for waiter in (gone, promoted):
        flights.join_or_lead(b"a")
        flight.join(waiter)
    flight.abandon()
    assert promoted.result == FlightResult(WaitResult.PROMOTED)
    assert flight.leave(gone).outcome is WaitResult.RELEASED
    assert flights.open == {b"a": flight}


def test_the_limit_of_waiting_requests_may_be_zero() -> None:
    flights = Flights(0, 4)
    assert flights.join_or_lead(b"a")[1]
    assert flights.join_or_lead(b"a") == (None, False)


@pytest.mark.parametrize("end", ["complete", "release"])
def test_threads_that_join_at_once_have_one_leader_and_all_learn_its_result(end: str) -> None:
    flights = Flights(1000, 4)
    together = threading.Barrier(8)
    learnt: list[WaitResult] = []

    def request() -> None:
        together.wait()
        flight, leads = flights.join_or_lead(b"a")
        assert flight is not None
        if leads:
            while flights.waiting < 7:  # all others follow: nobody leads a second flight
                pass
            flight.complete(ENTRY) if end == "complete" else flight.release()
            return
        woken = threading.Event()

        def wake() -> bool:
            woken.set()
            return True

        waiter = Waiter(wake)
        flight.join(waiter)
        assert woken.wait(10)
        learnt.append(flight.leave(waiter).outcome)

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert learnt == [WaitResult.COMPLETED if end == "complete" else WaitResult.RELEASED] * 7
    assert (flights.open, flights.waiting) == ({}, 0)


# Going alone ------------------------------------------------------------------------------------------


def with_followers(flights: Flights, size: int) -> tuple[Flight, list[Waiter]]:
    """Return a flight with a leader, and followers that wait."""
    flight, leads = flights.join_or_lead(b"a")
    assert flight is not None
    assert leads
    waiters = [Waiter(lambda: True) for _ in range(size)]
    for waiter in waiters:
        assert flights.join_or_lead(b"a") == (flight, False)
        flight.join(waiter)
    return flight, waiters


def told(waiters: list[Waiter]) -> list[WaitResult | None]:
    return [None if waiter.result is None else waiter.result.outcome for waiter in waiters]


def test_when_waits_end_a_few_at_a_time_call_in_order() -> None:
    # Guard: the room in `_next`.
    flight, waiters = with_followers(Flights(10, 2), 4)
    for waiter in waiters:
        flight.mark_late(waiter)
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE, None, None]
    flight.leave(waiters[0])
    flight.abandon()  # the call of the first ended without a result
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE, WaitResult.ALONE, None]


@pytest.mark.parametrize("end", ["complete", "release"])
def test_the_first_call_with_a_result_ends_the_flight_for_all(end: str) -> None:
    flights = Flights(10, 1)
    flight, waiters = with_followers(flights, 3)
    flight.mark_late(waiters[1])
    assert told(waiters) == [None, WaitResult.ALONE, None]
    flight.leave(waiters[1])
    flight.complete(ENTRY) if end == "complete" else flight.release()
    assert told(waiters) == [ENDS[end], WaitResult.ALONE, ENDS[end]]
    flight.abandon()  # the leader, late
    assert flights.open == {}


def test_a_follower_that_has_waited_for_all_of_its_time_calls_and_is_counted() -> None:
    flights = Flights(10, 1)
    flight, waiters = with_followers(flights, 2)
    for waiter in waiters:
        flight.mark_late(waiter)
    assert flight.leave(waiters[1]).outcome is WaitResult.TIMEOUT
    flight.abandon()  # the leader
    flight.abandon()  # the follower that went alone
    assert flights.open == {b"a": flight}, "one is still calling, and may have a result"
    flight.complete(ENTRY)
    assert flights.open == {}


def test_after_a_call_that_failed_everybody_goes_alone_newcomers_too() -> None:
    # Guard: `_failed`, looked at in `join`.
    flights = Flights(10, 2)
    flight, waiters = with_followers(flights, 3)
    flight.fail()
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE, None]
    newcomer = Waiter(lambda: True)
    assert flights.join_or_lead(b"a") == (flight, False)
    flight.join(newcomer)
    for _ in range(2):
        flight.fail()
    assert told([*waiters, newcomer]) == [WaitResult.ALONE] * 4
    for _ in range(2):
        flight.fail()
    assert flights.open == {}, "it leaves no mark"


def test_a_newcomer_goes_alone_at_once_if_there_is_room() -> None:
    # Guard: `_send` in `join`. No other call would end, so it would wait for all of its time.
    flights = Flights(10, 2)
    flight, waiters = with_followers(flights, 1)
    flight.fail()
    newcomer = Waiter(lambda: True)
    flights.join_or_lead(b"a")
    flight.join(newcomer)
    assert told([*waiters, newcomer]) == [WaitResult.ALONE, WaitResult.ALONE]


def test_the_turn_of_a_cancelled_follower_passes_on() -> None:
    # Guard: `abandon` in `cancel`.
    flight, waiters = with_followers(Flights(10, 1), 2)
    for waiter in waiters:
        flight.mark_late(waiter)
    flight.cancel(waiters[0])
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE]
