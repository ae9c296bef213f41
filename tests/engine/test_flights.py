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

from cachemw.engine.entry import Entry, Position
from cachemw.engine.flights import Flight, Flights, Landing, Outcome, Waiter

KEYS = [b"a", b"b"]
MAX_WAITERS = 3
ENTRY = Entry(
    key=b"a",
    status=200,
    headers=(),
    body=b"",
    route="r",
    born=0.0,
    fresh_until=1.0,
    stale_until=1.0,
    stale_error_until=1.0,
    dies_at=1.0,
    position=Position(b"epoch", 1),
)


@dataclass(eq=False)
class Person:
    """One request, as the model knows it."""

    flight: Flight
    runs: bool = True
    """Whether it still can when it is woken: its event loop is not closed."""
    waiter: Waiter | None = None
    woken: int = 0
    learnt: Outcome | None = None
    """What the model says that it learns."""


@dataclass(eq=False)
class Model:
    """One flight."""

    leader: Person | None
    waiting: list[Person] = field(default_factory=list)
    ended: Outcome | None = None


class FlightsMachine(RuleBasedStateMachine):
    """Requests board, wait, leave and end flights in any order; a model says what each must learn."""

    boarded = Bundle("boarded")
    waiting = Bundle("waiting")

    def __init__(self) -> None:
        super().__init__()
        self.flights = Flights(MAX_WAITERS)
        self.models: dict[Flight, Model] = {}
        self.seated = 0
        """People who were told to follow and have not left."""

    def _open(self, key: bytes) -> Flight | None:
        for flight, model in self.models.items():
            if flight.key == key and model.ended is None:
                return flight
        return None

    @rule(target=boarded, key=st.sampled_from(KEYS), runs=st.booleans())
    def board(self, key: bytes, runs: bool) -> Person | None:
        expected = self._open(key)
        flight, leads = self.flights.board(key)
        if expected is None:
            assert flight is not None
            assert leads
            self.models[flight] = Model(Person(flight))
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
            self.models[flight] = Model(Person(flight))

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
            model.waiting.append(person)
        else:
            person.learnt = model.ended
        return person

    @rule(person=consumes(waiting))
    def leave(self, person: Person | None) -> None:
        if person is not None:
            self._leave(person)

    def _leave(self, person: Person) -> None:
        assert person.waiter is not None
        landing = person.flight.leave(person.waiter)
        self.seated -= 1
        assert landing.outcome is (person.learnt or Outcome.TIMEOUT)
        assert (landing.entry is ENTRY) is (landing.outcome is Outcome.LANDED)
        assert person.woken == (person.learnt is not None)
        if person.learnt is None:
            self.models[person.flight].waiting.remove(person)

    @precondition(lambda self: any(m.ended is None for m in self.models.values()))
    @rule(
        data=st.data(),
        how=st.sampled_from(["land", "release", "abandon"]),
        again=st.sampled_from(["land", "release", None]),
    )
    def end(self, data: st.DataObject, how: str, again: str | None) -> None:
        """The leader ends its flight; whatever comes after the end changes nothing."""
        going = [flight for flight, model in self.models.items() if model.ended is None]
        flight = data.draw(st.sampled_from(going))
        model = self.models[flight]
        if how == "abandon":
            flight.abandon()
            self._pass_on(model)
        else:
            self._finish(flight, model, how)
        if again and model.ended is not None:
            before = model.ended
            self._call(flight, again)
            flight.abandon()
            assert model.ended is before

    def _call(self, flight: Flight, how: str) -> None:
        if how == "land":
            flight.land(ENTRY)
        else:
            flight.release()

    def _finish(self, flight: Flight, model: Model, how: str) -> None:
        self._call(flight, how)
        model.ended = Outcome.LANDED if how == "land" else Outcome.RELEASED
        model.leader = None
        for person in model.waiting:
            person.learnt = model.ended
        model.waiting.clear()

    def _pass_on(self, model: Model) -> None:
        """The next in line that can still run leads; one that cannot is let go."""
        while model.waiting:
            heir = model.waiting.pop(0)
            if heir.runs:
                heir.learnt = Outcome.PROMOTED
                model.leader = heir
                return
            heir.learnt = Outcome.RELEASED
        model.leader, model.ended = None, Outcome.RELEASED

    @invariant()
    def every_seat_is_counted(self) -> None:
        assert self.flights.waiting == self.seated <= MAX_WAITERS

    @invariant()
    def every_open_flight_has_one_leader_and_no_other_is_listed(self) -> None:
        going = {f.key: f for f, model in self.models.items() if model.ended is None}
        assert self.flights.open == going
        assert all(self.models[flight].leader is not None for flight in going.values())

    @invariant()
    def who_must_know_was_woken_once(self) -> None:
        for model in self.models.values():
            assert all(person.woken == 0 for person in model.waiting)

    def teardown(self) -> None:
        for flight, model in self.models.items():
            if model.ended is None:
                self._finish(flight, model, "release")
        assert self.flights.open == {}


TestFlights = FlightsMachine.TestCase
TestFlights.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_landing_again_does_not_end_the_next_flight_of_the_key() -> None:
    flights = Flights(10)
    first, _ = flights.board(b"a")
    assert first is not None
    first.land(ENTRY)
    second, leads = flights.board(b"a")
    assert leads
    first.release()
    first.abandon()
    assert flights.open == {b"a": second}


def test_an_heir_that_cannot_run_takes_nothing_when_its_end_comes_late() -> None:
    """The guard is that `abandon` lets an heir go whose `wake` gave False: its loop is closed."""
    flights = Flights(10)
    flight, _ = flights.board(b"a")
    assert flight is not None
    gone, heir = Waiter(lambda: False), Waiter(lambda: True)
    for waiter in (gone, heir):
        flights.board(b"a")
        flight.join(waiter)
    flight.abandon()
    assert heir.landing == Landing(Outcome.PROMOTED)
    assert flight.leave(gone).outcome is Outcome.RELEASED
    assert flights.open == {b"a": flight}


def test_no_waiters_at_all_may_be_allowed() -> None:
    flights = Flights(0)
    assert flights.board(b"a")[1]
    assert flights.board(b"a") == (None, False)


@pytest.mark.parametrize("end", ["land", "release"])
def test_threads_that_board_at_once_have_one_leader_and_all_come_down(end: str) -> None:
    flights = Flights(1000)
    together = threading.Barrier(8)
    learnt: list[Outcome] = []

    def request() -> None:
        together.wait()
        flight, leads = flights.board(b"a")
        assert flight is not None
        if leads:
            while flights.waiting < 7:  # all others are on board: nobody leads a second flight
                pass
            flight.land(ENTRY) if end == "land" else flight.release()
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
    assert learnt == [Outcome.LANDED if end == "land" else Outcome.RELEASED] * 7
    assert (flights.open, flights.waiting) == ({}, 0)
