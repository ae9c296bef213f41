"""Waiting for a leader, in threads and in event loops: no seat and no lead is lost on the way out."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cachemw.engine.core.effects import Await, Lookup, Save
from cachemw.engine.core.flights import Flight, FlightResult, Flights, WaitResult
from cachemw.invalidation.local import LocalLog
from cachemw.testing import FakeClock
from cachemw.wiring.effects import EffectRunner
from tests.support.engine import Kit, get

FLIGHTS_KEY = b"k"


@pytest.fixture
def flights() -> Flights:
    return Flights(1000, 4)


@pytest.fixture
def performer() -> EffectRunner:
    return EffectRunner(FakeClock(), LocalLog(10))


def seat(flights: Flights) -> Flight:
    flight, leads = flights.join_or_lead(FLIGHTS_KEY)
    assert flight is not None
    assert not leads
    return flight


def open_flight(flights: Flights) -> Flight:
    flight, leads = flights.join_or_lead(FLIGHTS_KEY)
    assert flight is not None
    assert leads
    return flight


def test_without_a_shared_store_nothing_is_found_and_nothing_is_saved(
    performer: EffectRunner,
) -> None:
    kit = Kit()
    key = kit.asked(get()).plan.key
    entry = kit.entry(key)
    assert performer.perform(Lookup(key, "products"))[0] is None
    assert performer.perform(Save(entry, key, "products"))[0] is False
    assert asyncio.run(performer.aperform(Lookup(key, "products")))[0] is None
    assert asyncio.run(performer.aperform(Save(entry, key, "products")))[0] is False


@pytest.mark.parametrize("end", ["release", "nothing"])
def test_a_thread_waits_for_its_leader_or_its_time(
    flights: Flights, performer: EffectRunner, end: str
) -> None:
    leader = open_flight(flights)
    flight = seat(flights)
    if end == "release":
        threading.Timer(0.01, leader.release).start()
    landing, _ = performer.perform(Await(flight, 0.01 if end == "nothing" else 30.0, 30.0))
    assert landing.outcome is (WaitResult.RELEASED if end == "release" else WaitResult.ALONE)
    assert flights.waiting == 0


@pytest.mark.parametrize("end", ["release", "nothing"])
def test_a_task_waits_for_its_leader_or_its_time(
    flights: Flights, performer: EffectRunner, end: str
) -> None:
    leader = open_flight(flights)

    async def main() -> WaitResult:
        flight = seat(flights)
        if end == "release":
            threading.Timer(0.01, leader.release).start()  # from another thread
        landing, _ = await performer.aperform(
            Await(flight, 0.01 if end == "nothing" else 30.0, 30.0)
        )
        outcome: WaitResult = landing.outcome
        return outcome

    assert asyncio.run(main()) is (WaitResult.RELEASED if end == "release" else WaitResult.ALONE)
    assert flights.waiting == 0


@pytest.mark.parametrize("world", ["thread", "task"])
def test_who_finds_no_place_waits_on_and_then_goes_regardless(
    performer: EffectRunner, world: str
) -> None:
    # Guard: `further`. The first has the one place, and keeps it.
    flights = Flights(1000, 1)
    open_flight(flights)
    short = [Await(seat(flights), 0.01, 0.01) for _ in range(2)]
    if world == "thread":
        landings = [performer.perform(each)[0] for each in short]
    else:

        async def main() -> list[FlightResult]:
            return [(await performer.aperform(each))[0] for each in short]

        landings = asyncio.run(main())
    assert [each.outcome for each in landings] == [WaitResult.ALONE, WaitResult.TIMEOUT]
    assert flights.waiting == 0


def test_a_cancelled_follower_leaves_its_seat(flights: Flights, performer: EffectRunner) -> None:
    leader = open_flight(flights)

    async def main() -> None:
        task = asyncio.create_task(performer.aperform(Await(seat(flights), 30.0, 30.0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert flights.waiting == 0
        leader.abandon()
        assert flights.open == {}

    asyncio.run(main())


def test_a_follower_cancelled_as_it_is_promoted_passes_the_lead_on(
    flights: Flights, performer: EffectRunner
) -> None:
    """The guard is `cancel`: without it the flight hangs until it times out."""
    leader = open_flight(flights)

    async def main() -> None:
        first = asyncio.create_task(performer.aperform(Await(seat(flights), 30.0, 30.0)))
        second = asyncio.create_task(performer.aperform(Await(seat(flights), 30.0, 30.0)))
        await asyncio.sleep(0)
        leader.abandon()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        landing, _ = await second
        assert landing.outcome is WaitResult.PROMOTED
        assert flights.open == {FLIGHTS_KEY: leader}
        leader.abandon()

    asyncio.run(main())
    assert (flights.open, flights.waiting) == ({}, 0)


def test_followers_in_a_closed_loop_are_passed_over(
    flights: Flights, performer: EffectRunner
) -> None:
    """A server that stops with requests under way must not leave a flight to nobody."""
    leader = open_flight(flights)
    loop = asyncio.new_event_loop()
    gone = performer.aperform(Await(seat(flights), 30.0, 30.0))
    task = loop.create_task(gone)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    leader.abandon()
    assert flights.open == {}
    with pytest.raises(GeneratorExit):
        gone.throw(GeneratorExit())
    assert flights.waiting == 0


def test_a_thread_that_is_torn_out_of_its_wait_passes_the_lead_on(
    flights: Flights, performer: EffectRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are ended by exceptions out of nowhere: gunicorn's SystemExit, gevent's Timeout."""
    leader = open_flight(flights)
    flight = seat(flights)

    class TornOut(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            leader.abandon()  # the lead comes to this follower at the worst moment
            raise SystemExit

    monkeypatch.setattr("cachemw.wiring.effects.threading.Event", TornOut)
    with pytest.raises(SystemExit):
        performer.perform(Await(flight, 30.0, 30.0))
    assert (flights.open, flights.waiting) == ({}, 0)


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_a_thousand_followers_all_come_down(
    flights: Flights, performer: EffectRunner, end: str
) -> None:
    """I4: one origin call for all, or one heir, and nobody left hanging."""
    leader = open_flight(flights)
    kit = Kit()
    entry = kit.entry(kit.asked(get()).plan.key)

    async def main() -> list[WaitResult]:
        tasks = [
            asyncio.create_task(performer.aperform(Await(seat(flights), 30.0, 30.0)))
            for _ in range(1000)
        ]
        await asyncio.sleep(0)
        assert flights.waiting == 1000
        if end == "cancel":
            leader.abandon()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result()[0].outcome for task in done] == [WaitResult.PROMOTED]
        leader.complete(entry)
        return [landing.outcome for landing, _ in await asyncio.gather(*tasks)]

    outcomes = asyncio.run(main())
    assert outcomes.count(WaitResult.PROMOTED) == (end == "cancel")
    assert outcomes.count(WaitResult.COMPLETED) == 1000 - (end == "cancel")
    assert (flights.open, flights.waiting) == ({}, 0)
