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
GOES = {WaitResult.PROMOTED, WaitResult.ALONE, WaitResult.TIMEOUT}
ENDS = {"complete": WaitResult.COMPLETED, "release": WaitResult.RELEASED}
ENTRY = make_entry()


@dataclass(eq=False)
class Person:
    """One request, as the model knows it."""

    flight: Flight
    runs: bool = True
    """Whether it still can when it is woken: its event loop is not closed."""
    waiter: Waiter | None = None
    woken: int = 0
    learnt: WaitResult | None = None
    """What the model says that it learns."""


@dataclass(eq=False)
class Model:
    """One flight."""

    calls: int = 1
    regardless: int = 0
    """How many were told nothing in all of their wait, and went."""
    waiting: list[Person] = field(default_factory=list)
    late: list[Person] = field(default_factory=list)
    failed: bool = False
    ended: WaitResult | None = None

    @property
    def room(self) -> int:
        return MAY_GO if self.failed else MAY_GO + 1

    def send(self) -> None:
        """Whoever may go is told to; one that cannot run is let go, and the next is asked."""
        while self.ended is None:
            if self.late and self.calls < self.room:
                heir, told = self.late.pop(0), WaitResult.ALONE
            elif self.calls:
                return
            elif self.waiting:
                heir, told = self.waiting.pop(0), WaitResult.PROMOTED
            else:
                self.ended = WaitResult.RELEASED
                return
            heir.learnt = told if heir.runs else WaitResult.RELEASED
            self.calls += heir.runs

    def end(self, how: WaitResult) -> None:
        self.ended = how
        for person in self.late + self.waiting:
            person.learnt = how
        self.late.clear()
        self.waiting.clear()


class FlightsMachine(RuleBasedStateMachine):
    """Requests board, wait, leave and end flights in any order; a model says what each must learn."""

    boarded = Bundle("boarded")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.flights = Flights(MAX_WAITERS, MAY_GO)
        self.models: dict[Flight, Model] = {}
        self.seated = 0
        """People who were told to follow and have not left."""

    def _open(self, key: bytes) -> Flight | None:
        for flight, model in self.models.items():
            if flight.key == key and model.ended is None:
                return flight
        return None

    @rule(target=boarded, key=st.sampled_from(KEYS), runs=st.booleans())
    def join_or_lead(self, key: bytes, runs: bool) -> Person | None:
        expected = self._open(key)
        flight, leads = self.flights.join_or_lead(key)
        if expected is None:
            assert flight is not None
            assert leads
            self.models[flight] = Model()
            return None
        assert not leads
        if self.seated >= MAX_WAITERS:
            assert flight is None
            return None
        assert flight is expected
        self.seated += 1
        return Person(flight, runs=runs)

    @rule(key=st.sampled_from(KEYS))
    def lead_a_refresh(self, key: bytes) -> None:
        expected = self._open(key)
        flight = self.flights.lead(key)
        assert (flight is None) is (expected is not None)
        if flight is not None:
            self.models[flight] = Model()

    @rule(target=waiting, person=consumes(boarded))
    def join(self, person: Person | None) -> Person | None:
        if person is None:
            return None

        def wake() -> bool:
            person.woken += 1
            return person.runs

        person.waiter = Waiter(wake)
        model = self.models[person.flight]
        person.flight.join(person.waiter)
        if model.ended is None:
            (model.late if model.failed else model.waiting).append(person)
            model.send()
        else:
            person.learnt = model.ended
        return person

    @rule(person=waiting)
    def mark_late(self, person: Person | None) -> None:
        """Its wait is over; insisting again changes nothing."""
        if person is None:
            return
        assert person.waiter is not None
        person.flight.mark_late(person.waiter)
        model = self.models[person.flight]
        if person in model.waiting:
            model.waiting.remove(person)
            model.late.append(person)
            model.send()

    @rule(person=consumes(waiting))
    def leave(self, person: Person | None) -> None:
        if person is not None:
            self._leave(person)

    def _leave(self, person: Person) -> None:
        assert person.waiter is not None
        result = person.flight.leave(person.waiter)
        self.seated -= 1
        assert result.outcome is (person.learnt or WaitResult.TIMEOUT)
        assert (result.entry is ENTRY) is (result.outcome is WaitResult.COMPLETED)
        assert person.woken == (person.learnt is not None)
        if person.learnt is None:
            self._go_regardless(person)

    def _go_regardless(self, person: Person) -> None:
        model = self.models[person.flight]
        (model.late if person in model.late else model.waiting).remove(person)
        model.calls += 1
        model.regardless += 1

    @rule(person=consumes(waiting))
    def cancel(self, person: Person | None) -> None:
        """It is cancelled, perhaps just as it was told to go."""
        if person is None:
            return
        assert person.waiter is not None
        person.flight.cancel(person.waiter)
        self.seated -= 1
        if person.learnt is None:
            self._go_regardless(person)
        if person.learnt in {None, *GOES}:
            self._come_back(self.models[person.flight])

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
        """One of a flight's calls comes back; what comes after the flight's end changes nothing."""
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
    def every_seat_is_counted(self) -> None:
        assert self.flights.waiting == self.seated <= MAX_WAITERS

    def going(self) -> list[tuple[Flight, Model]]:
        return [(flight, model) for flight, model in self.models.items() if model.ended is None]

    @invariant()
    def every_open_flight_has_somebody_who_calls_and_no_other_is_listed(self) -> None:
        assert self.flights.open == {flight.key: flight for flight, _ in self.going()}
        assert all(model.calls > 0 for _, model in self.going())

    @invariant()
    def no_more_go_than_may_and_nobody_late_waits_for_nothing(self) -> None:
        for _, model in self.going():
            assert model.calls <= MAY_GO + 1 + model.regardless
            assert not model.late or model.calls >= model.room

    @invariant()
    def who_must_know_was_woken_once(self) -> None:
        for model in self.models.values():
            assert all(person.woken == 0 for person in model.waiting + model.late)

    def teardown(self) -> None:
        for flight, _ in self.going():
            flight.release()
        assert self.flights.open == {}


TestFlights = FlightsMachine.TestCase
TestFlights.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)


def test_landing_again_does_not_end_the_next_flight_of_the_key() -> None:
    flights = Flights(10, 4)
    first, _ = flights.join_or_lead(b"a")
    assert first is not None
    first.complete(ENTRY)
    second, leads = flights.join_or_lead(b"a")
    assert leads
    first.release()
    first.abandon()
    assert flights.open == {b"a": second}


def test_an_heir_that_cannot_run_takes_nothing_when_its_end_comes_late() -> None:
    """The guard is that `abandon` lets an heir go whose `wake` gave False: its loop is closed."""
    flights = Flights(10, 4)
    flight, _ = flights.join_or_lead(b"a")
    assert flight is not None
    gone, heir = Waiter(lambda: False), Waiter(lambda: True)
    for waiter in (gone, heir):
        flights.join_or_lead(b"a")
        flight.join(waiter)
    flight.abandon()
    assert heir.result == FlightResult(WaitResult.PROMOTED)
    assert flight.leave(gone).outcome is WaitResult.RELEASED
    assert flights.open == {b"a": flight}


def test_no_waiters_at_all_may_be_allowed() -> None:
    flights = Flights(0, 4)
    assert flights.join_or_lead(b"a")[1]
    assert flights.join_or_lead(b"a") == (None, False)


@pytest.mark.parametrize("end", ["complete", "release"])
def test_threads_that_board_at_once_have_one_leader_and_all_come_down(end: str) -> None:
    flights = Flights(1000, 4)
    together = threading.Barrier(8)
    learnt: list[WaitResult] = []

    def request() -> None:
        together.wait()
        flight, leads = flights.join_or_lead(b"a")
        assert flight is not None
        if leads:
            while flights.waiting < 7:  # all others are on board: nobody leads a second flight
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


def crowd(flights: Flights, size: int) -> tuple[Flight, list[Waiter]]:
    """Give a flight with a leader and followers that sit and wait."""
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


def test_when_waits_end_few_go_at_a_time_and_in_line() -> None:
    # Guard: the room in `_next`.
    flight, waiters = crowd(Flights(10, 2), 4)
    for waiter in waiters:
        flight.mark_late(waiter)
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE, None, None]
    flight.leave(waiters[0])
    flight.abandon()  # the first comes back with nothing
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE, WaitResult.ALONE, None]


@pytest.mark.parametrize("end", ["complete", "release"])
def test_whoever_of_those_who_went_is_first_ends_it_for_all(end: str) -> None:
    flights = Flights(10, 1)
    flight, waiters = crowd(flights, 3)
    flight.mark_late(waiters[1])
    assert told(waiters) == [None, WaitResult.ALONE, None]
    flight.leave(waiters[1])
    flight.complete(ENTRY) if end == "complete" else flight.release()
    assert told(waiters) == [ENDS[end], WaitResult.ALONE, ENDS[end]]
    flight.abandon()  # the leader, late
    assert flights.open == {}


def test_who_has_waited_for_all_of_its_time_goes_regardless_and_counts() -> None:
    flights = Flights(10, 1)
    flight, waiters = crowd(flights, 2)
    for waiter in waiters:
        flight.mark_late(waiter)
    assert flight.leave(waiters[1]).outcome is WaitResult.TIMEOUT
    flight.abandon()  # the leader
    flight.abandon()  # who went alone
    assert flights.open == {b"a": flight}, "one is still calling, and may land"
    flight.complete(ENTRY)
    assert flights.open == {}


def test_a_call_that_fails_makes_everybody_late_newcomers_too() -> None:
    # Guard: `_failed`, looked at in `join`.
    flights = Flights(10, 2)
    flight, waiters = crowd(flights, 3)
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
    assert flights.open == {}, "it leaves no word"


def test_a_newcomer_finds_a_place_that_is_free() -> None:
    # Guard: `_send` in `join`. With nobody to come back, it would wait out its time.
    flights = Flights(10, 2)
    flight, waiters = crowd(flights, 1)
    flight.fail()
    newcomer = Waiter(lambda: True)
    flights.join_or_lead(b"a")
    flight.join(newcomer)
    assert told([*waiters, newcomer]) == [WaitResult.ALONE, WaitResult.ALONE]


def test_the_turn_of_one_that_deserts_passes_on() -> None:
    # Guard: `abandon` in `cancel`.
    flight, waiters = crowd(Flights(10, 1), 2)
    for waiter in waiters:
        flight.mark_late(waiter)
    flight.cancel(waiters[0])
    assert told(waiters) == [WaitResult.ALONE, WaitResult.ALONE]
