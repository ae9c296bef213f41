"""Background coroutines in event loops, up to a limit."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Tasks"]

_CANCEL_WAIT = 0.1
"""Seconds in which a cancelled task can clean up. One may ignore it, or wait for a thread that hangs."""


class Tasks:
    """Tasks that nobody awaits: refreshes, and writes to the shared store."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._running: set[asyncio.Task[Any]] = set()
        self._droppable: set[asyncio.Task[Any]] = set()
        """Those of the running ones that are cancelled when their loop's cache is closed."""

    @staticmethod
    def can_run() -> bool:
        """Tell whether an event loop of asyncio is running in this thread; trio's is none."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True

    @staticmethod
    def current() -> asyncio.Task[Any] | None:
        """Return the running task; None in a thread, or in an event loop that is not asyncio's."""
        try:
            return asyncio.current_task()
        except RuntimeError:
            return None

    def spawn(
        self, work: Coroutine[Any, Any, Any], ended: Callable[[], object] | None = None
    ) -> bool:
        """Run a coroutine in the running loop. Return False, and close it, when the limit is reached.

        `ended` is called when the task has ended, also if it was cancelled before it began. A task that
        has it is cancelled by `end`, which waits for the others. Without a loop of asyncio nothing runs.

        The task gets an empty context. A context variable of the request that started the task must
        not reach the work that is done for everybody (I1).
        """
        if len(self._running) >= self.limit or not self.can_run():
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if ended is not None:
            self._droppable.add(task)
            task.add_done_callback(self._droppable.discard)
            task.add_done_callback(lambda _: ended(), context=contextvars.Context())
        return True

    async def drain(self, timeout: float) -> None:
        """Wait for the tasks of the running loop, at most `timeout` seconds."""
        await _wait(self._own(), timeout)

    async def end(self, timeout: float) -> None:
        """Cancel the tasks of the running loop that may be dropped; wait for the others as `drain` does."""
        dropped = self._own() & self._droppable
        for task in dropped:
            task.cancel()
        await _wait(dropped, min(_CANCEL_WAIT, timeout))
        await _wait(self._own() - dropped, timeout)

    def _own(self) -> set[asyncio.Task[Any]]:
        loop, present = asyncio.get_running_loop(), asyncio.current_task()
        return {task for task in self._running if task.get_loop() is loop and task is not present}

    def reset_after_fork(self) -> None:
        """Forget the tasks of the parent process."""
        self._running, self._droppable = set(), set()


async def _wait(tasks: set[asyncio.Task[Any]], timeout: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=timeout)
