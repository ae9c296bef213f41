"""Waiting for a leader, in threads and in event loops: no follower and no lead is lost when a wait ends."""

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
def runner() -> EffectRunner:
    return EffectRunner(FakeClock(), LocalLog(10))


def follow(flights: Flights) -> Flight:
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
    runner: EffectRunner,
) -> None:
    kit = Kit()
    key = kit.asked(get()).plan.key
    entry = kit.entry(key)
    assert runner.perform(Lookup(key, "products"))[0] is None
    assert runner.perform(Save(entry, key, "products"))[0] is False
    assert asyncio.run(runner.aperform(Lookup(key, "products")))[0] is None
    assert asyncio.run(runner.aperform(Save(entry, key, "products")))[0] is False


@pytest.mark.parametrize("end", ["release", "nothing"])
def test_a_thread_waits_for_its_leader_or_its_time(
    flights: Flights, runner: EffectRunner, end: str
) -> None:
    leader = open_flight(flights)
    flight = follow(flights)
    if end == "release":
        threading.Timer(0.01, leader.release).start()
    result, _ = runner.perform(Await(flight, 0.01 if end == "nothing" else 30.0, 30.0))
    assert result.outcome is (WaitResult.RELEASED if end == "release" else WaitResult.ALONE)
    assert flights.waiting == 0


@pytest.mark.parametrize("end", ["release", "nothing"])
def test_a_task_waits_for_its_leader_or_its_time(
    flights: Flights, runner: EffectRunner, end: str
) -> None:
    leader = open_flight(flights)

    async def main() -> WaitResult:
        flight = follow(flights)
        if end == "release":
            threading.Timer(0.01, leader.release).start()  # from another thread
        result, _ = await runner.aperform(Await(flight, 0.01 if end == "nothing" else 30.0, 30.0))
        outcome: WaitResult = result.outcome
        return outcome

    assert asyncio.run(main()) is (WaitResult.RELEASED if end == "release" else WaitResult.ALONE)
    assert flights.waiting == 0


@pytest.mark.parametrize("world", ["thread", "task"])
def test_a_follower_that_may_not_go_alone_waits_on_and_then_goes_in_any_case(
    runner: EffectRunner, world: str
) -> None:
    # Guard: `further`. One may go alone, and the first does.
    flights = Flights(1000, 1)
    open_flight(flights)
    short = [Await(follow(flights), 0.01, 0.01) for _ in range(2)]
    if world == "thread":
        results = [runner.perform(each)[0] for each in short]
    else:

        async def main() -> list[FlightResult]:
            return [(await runner.aperform(each))[0] for each in short]

        results = asyncio.run(main())
    assert [each.outcome for each in results] == [WaitResult.ALONE, WaitResult.TIMEOUT]
    assert flights.waiting == 0


def test_a_cancelled_follower_is_no_longer_counted(flights: Flights, runner: EffectRunner) -> None:
    leader = open_flight(flights)

    async def main() -> None:
        task = asyncio.create_task(runner.aperform(Await(follow(flights), 30.0, 30.0)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert flights.waiting == 0
        leader.abandon()
        assert flights.open == {}

    asyncio.run(main())


def test_a_follower_cancelled_as_it_is_promoted_passes_the_lead_on(
    flights: Flights, runner: EffectRunner
) -> None:
    """The guard is `cancel`: without it the flight hangs until it times out."""
    leader = open_flight(flights)

    async def main() -> None:
        first = asyncio.create_task(runner.aperform(Await(follow(flights), 30.0, 30.0)))
        second = asyncio.create_task(runner.aperform(Await(follow(flights), 30.0, 30.0)))
        await asyncio.sleep(0)
        leader.abandon()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        result, _ = await second
        assert result.outcome is WaitResult.PROMOTED
        assert flights.open == {FLIGHTS_KEY: leader}
        leader.abandon()

    asyncio.run(main())
    assert (flights.open, flights.waiting) == ({}, 0)


def test_followers_in_a_closed_loop_are_passed_over(flights: Flights, runner: EffectRunner) -> None:
    """A server that stops while requests run must not leave a flight without a leader."""
    leader = open_flight(flights)
    loop = asyncio.new_event_loop()
    gone = runner.aperform(Await(follow(flights), 30.0, 30.0))
    task = loop.create_task(gone)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    leader.abandon()
    assert flights.open == {}
    with pytest.raises(GeneratorExit):
        gone.throw(GeneratorExit())
    assert flights.waiting == 0


def test_a_thread_whose_wait_is_interrupted_passes_the_lead_on(
    flights: Flights, runner: EffectRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are ended by exceptions at any line: gunicorn's SystemExit, gevent's Timeout."""
    leader = open_flight(flights)
    flight = follow(flights)

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            leader.abandon()  # this follower is promoted at the worst moment
            raise SystemExit

    monkeypatch.setattr("cachemw.wiring.effects.threading.Event", Interrupted)
    with pytest.raises(SystemExit):
        runner.perform(Await(flight, 30.0, 30.0))
    assert (flights.open, flights.waiting) == ({}, 0)


@pytest.mark.parametrize("end", ["complete", "cancel"])
def test_the_waits_of_a_thousand_followers_all_end(
    flights: Flights, runner: EffectRunner, end: str
) -> None:
    """I4: one call of the application for all, or one is promoted; and nobody waits on."""
    leader = open_flight(flights)
    kit = Kit()
    entry = kit.entry(kit.asked(get()).plan.key)

    async def main() -> list[WaitResult]:
        tasks = [
            asyncio.create_task(runner.aperform(Await(follow(flights), 30.0, 30.0)))
            for _ in range(1000)
        ]
        await asyncio.sleep(0)
        assert flights.waiting == 1000
        if end == "cancel":
            leader.abandon()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result()[0].outcome for task in done] == [WaitResult.PROMOTED]
        leader.complete(entry)
        return [result.outcome for result, _ in await asyncio.gather(*tasks)]

    outcomes = asyncio.run(main())
    assert outcomes.count(WaitResult.PROMOTED) == (end == "cancel")
    assert outcomes.count(WaitResult.COMPLETED) == 1000 - (end == "cancel")
    assert (flights.open, flights.waiting) == ({}, 0)
