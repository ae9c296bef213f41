"""Tasks of event loops that nobody awaits, at most so many at a time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Tasks of event loops that nobody awaits: refreshes, and writes to the shared store."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Run a coroutine in the running loop; False when there is no room, and then it is dropped.

        It gets an empty context: it must know nothing of the request that happened to start it (I1).
        """
        if len(self._running) >= self.limit:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def drain(self, timeout: float) -> None:
        """Wait for the running loop's tasks, at most this many seconds."""
        loop = asyncio.get_running_loop()
        own = [task for task in self._running if task.get_loop() is loop]
        if own:
            await asyncio.wait(own, timeout=timeout)

    def reset_after_fork(self) -> None:
        """Forget the parent's tasks."""
        self._running = set()
