"""Background work, bounded: a small pool of threads, and tasks of event loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["Background", "Tasks"]

_QUEUED_PER_WORKER = 8


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


class Background:
    """Runs calls in at most `workers` threads and refuses what would queue for long."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the parent's threads."""
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._room = threading.BoundedSemaphore(self.workers * (1 + _QUEUED_PER_WORKER))

    def submit(self, call: Callable[[], object]) -> bool:
        """Run a call soon; False when there is no room, and then it will not be run."""
        if not self._room.acquire(blocking=False):
            return False
        try:
            self._executor().submit(self._run, call)
        except RuntimeError:  # the interpreter is shutting down
            self._room.release()
            return False
        return True

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="cachemw")
            return self._pool

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            self._room.release()

    def close(self) -> None:
        """Finish what is running and drop what is queued."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
            self._room = threading.BoundedSemaphore(self.workers * (1 + _QUEUED_PER_WORKER))
