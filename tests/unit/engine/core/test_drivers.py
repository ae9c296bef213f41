"""The drivers: they perform effects in order, throw what the store says, and close what they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cachemw.engine.core.drivers import arun, run
from cachemw.engine.core.effects import Effect, Flow
from cachemw.errors import EntryRejected, StoreUnavailable

Perform = Callable[[Any], Any]
Driver = Callable[[Flow[Any], Perform], Any]


def drive(flow: Flow[Any], perform: Perform) -> Any:
    return run(flow, perform)


def adrive(flow: Flow[Any], perform: Perform) -> Any:
    async def aperform(effect: Effect) -> Any:
        await asyncio.sleep(0)
        return perform(effect)

    return asyncio.run(arun(flow, aperform))


@pytest.fixture(params=[drive, adrive], ids=["run", "arun"])
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


class Notes:
    """A flow of made-up effects, and what became of it."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.closed = False

    def flow(self, *effects: Any) -> Flow[Any]:
        try:
            for effect in effects:
                try:
                    self.seen.append((yield effect))
                except StoreUnavailable as error:
                    self.seen.append(error)
        finally:
            self.closed = True
        return "done"


def test_effects_are_performed_in_order_and_answered(driver: Driver) -> None:
    notes = Notes()
    assert driver(notes.flow(1, 2, 3), lambda effect: effect * 10) == "done"
    assert notes.seen == [10, 20, 30]
    assert notes.closed


def test_a_flow_without_effects_just_decides(driver: Driver) -> None:
    assert driver(Notes().flow(), lambda effect: None) == "done"


def test_what_the_store_says_is_thrown_into_the_flow(driver: Driver) -> None:
    notes, error = Notes(), StoreUnavailable("down")

    def perform(effect: int) -> int:
        if effect == 1:
            raise error
        return effect

    assert driver(notes.flow(1, 2), perform) == "done"
    assert notes.seen == [error, 2]


def test_what_the_flow_does_not_catch_comes_out(driver: Driver) -> None:
    notes = Notes()

    def perform(effect: int) -> int:
        raise EntryRejected("magic")

    with pytest.raises(EntryRejected):
        driver(notes.flow(1), perform)
    assert notes.closed


def test_any_other_fault_closes_the_flow_at_its_yield(driver: Driver) -> None:
    notes = Notes()

    def perform(effect: int) -> int:
        raise ZeroDivisionError

    flow = notes.flow(1, 2)
    with pytest.raises(ZeroDivisionError):
        driver(flow, perform)
    assert notes.closed, "while it is still referred to: no collector has closed it"
    assert notes.seen == []


def test_cancellation_reaches_a_flow_as_its_close() -> None:
    """The guard is `flow.close()` in the `finally`: without it a flight waits for the collector."""
    notes = Notes()

    async def main() -> None:
        begun = asyncio.Event()

        async def perform(effect: Effect) -> None:
            begun.set()
            await asyncio.Event().wait()

        flow = notes.flow(1, 2)
        task = asyncio.create_task(arun(flow, perform))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert notes.closed, "while it is still referred to: no collector has closed it"

    asyncio.run(main())
    assert notes.seen == []
