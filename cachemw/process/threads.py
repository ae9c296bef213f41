"""Background calls in a few threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

__all__ = ["WorkerPool"]

_QUEUED_PER_WORKER = 8
"""Calls that may wait for each worker. A refresh that waits longer is not worth doing."""


class WorkerPool:
    """Run calls in at most `workers` threads. The queue is bounded (I4).

    A thread ends when the queue is empty. The threads are daemons, because a refresh may hang in the
    application: at exit, a process waits for all threads that are not daemons, and also for those of
    `concurrent.futures`.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the threads and the queue of the parent process."""
        self._changed = threading.Condition(threading.Lock())
        self._queue: deque[Callable[[], object]] = deque()
        self._threads = 0
        self._free_places = self.workers * (1 + _QUEUED_PER_WORKER)

    def submit(self, call: Callable[[], object]) -> bool:
        """Run a call soon. Return False, and do not run it, when the queue is full."""
        with self._changed:
            if not self._free_places:
                return False
            self._free_places -= 1
            self._queue.append(call)
            if self._threads == self.workers:
                return True
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="cachemw", daemon=True).start()
        except RuntimeError:  # the system has no thread left, or the interpreter is shutting down
            return not self._withdraw(call)
        return True

    def _withdraw(self, call: Callable[[], object]) -> bool:
        """Remove a call whose thread could not be started. Return False if another thread took it."""
        with self._changed:
            self._threads -= 1
            if call not in self._queue:
                return False
            self._queue.remove(call)
            self._free_places += 1
            return True

    def _work(self) -> None:
        while (call := self._next()) is not None:
            # Each call reports its own errors. A SystemExit in one must not end the thread for the others.
            with suppress(BaseException):
                call()
            with self._changed:
                self._free_places += 1

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            if self._queue:
                return self._queue.popleft()
            self._threads -= 1
            self._changed.notify_all()
            return None

    def close(self, timeout: float) -> None:
        """Drop the queued calls, and wait at most `timeout` seconds for the running ones."""
        with self._changed:
            self._free_places += len(self._queue)
            self._queue.clear()
            self._changed.wait_for(lambda: not self._threads, timeout)
