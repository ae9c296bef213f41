"""The two drivers that run a flow: they perform its effects, one for threads, one for event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from cachemw.errors import StoreError

__all__ = ["arun", "run"]

Asked = TypeVar("Asked")
"""The effects of a flow: `Effect`, and what a front door adds to it."""
Result = TypeVar("Result")


def run(flow: Generator[Asked, Any, Result], perform: Callable[[Asked], Any]) -> Result:
    """Run a flow in a thread; StoreError is thrown into it, everything else ends it."""
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
    """Run a flow in an event loop; cancellation reaches it as GeneratorExit."""
    try:
        effect = next(flow)
        while True:
            try:
                answer = await perform(effect)
            except StoreError as error:
                effect = flow.throw(error)
            else:
                # Not kept here: a cancelled task's traceback holds this frame, and may for long.
                effect, answer = flow.send(answer), None
    except StopIteration as stop:
        result: Result = stop.value
        return result
    finally:
        flow.close()
