"""The two drivers of flows: they perform the effects, one in a thread, one in an event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from cachemw.errors import StoreError

__all__ = ["arun", "run"]

Asked = TypeVar("Asked")
"""The effects of a flow: `Effect`, and what a front door adds to it."""
Result = TypeVar("Result")


def run(flow: Generator[Asked, Any, Result], perform: Callable[[Asked], Any]) -> Result:
    """Run a flow in a thread. A StoreError is thrown into the flow; every other error ends it."""
    try:
        effect = next(flow)
        while True:
            try:
                answer = perform(effect)
            except StoreError as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(answer)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()


async def arun(
    flow: Generator[Asked, Any, Result], perform: Callable[[Asked], Awaitable[Any]]
) -> Result:
    """Run a flow in an event loop. Cancellation reaches the flow as GeneratorExit."""
    try:
        effect = next(flow)
        while True:
            try:
                answer = await perform(effect)
            except StoreError as error:
                effect = flow.throw(error)
            else:
                # Do not keep the result here: the traceback of a cancelled task holds this frame, perhaps
                # for long, and with it a lease that would be renewed.
                effect, answer = flow.send(answer), None
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()
