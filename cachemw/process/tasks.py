"""Background coroutines in event loops, up to a limit."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Tasks that nobody awaits: refreshes, and writes to the shared store."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._running: set[asyncio.Task[Any]] = set()

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

        `ended` is called when the task has ended, also if it was cancelled before it began. Without a
        loop of asyncio nothing runs.

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
            task.add_done_callback(lambda _: ended(), context=contextvars.Context())
        return True

    async def drain(self, timeout: float) -> None:
        """Wait for the tasks of the running loop, at most `timeout` seconds."""
        loop = asyncio.get_running_loop()
        own = [task for task in self._running if task.get_loop() is loop]
        if own:
            await asyncio.wait(own, timeout=timeout)

    def reset_after_fork(self) -> None:
        """Forget the tasks of the parent process."""
        self._running = set()
