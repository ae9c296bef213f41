"""The two drivers that run a flow: they perform its effects, one for threads, one for event loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cachemw.engine.core.effects import Effect, Flow
from cachemw.errors import StoreError

__all__ = ["arun", "run"]

Result = TypeVar("Result")


def run(flow: Flow[Result], perform: Callable[[Effect], Any]) -> Result:
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


async def arun(flow: Flow[Result], perform: Callable[[Effect], Awaitable[Any]]) -> Result:
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
