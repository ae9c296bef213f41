"""Background work, bounded: a few threads, and tasks of event loops."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

__all__ = ["WorkerPool"]

_QUEUED_PER_WORKER = 8


class WorkerPool:
    """Runs calls in at most `workers` threads and refuses what would queue for long.

    A thread ends when there is nothing left to do. They are daemons: a process waits at its end for
    every other thread, those of `concurrent.futures` too, and a refresh may hang in the application.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the parent's threads."""
        self._changed = threading.Condition(threading.Lock())
        self._queue: deque[Callable[[], object]] = deque()
        self._threads = 0
        self._free_places = self.workers * (1 + _QUEUED_PER_WORKER)

    def submit(self, call: Callable[[], object]) -> bool:
        """Run a call soon; False when there is no room, and then it will not be run."""
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
        except RuntimeError:  # no thread is to be had, or the interpreter is shutting down
            return not self._withdraw(call)
        return True

    def _withdraw(self, call: Callable[[], object]) -> bool:
        """Take back a call whose thread could not be started, unless another thread has it."""
        with self._changed:
            self._threads -= 1
            if call not in self._queue:
                return False
            self._queue.remove(call)
            self._free_places += 1
            return True

    def _work(self) -> None:
        while (call := self._next()) is not None:
            # Calls tell of their faults themselves; SystemExit in one must not end the others' thread.
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
        """Drop what is queued, and wait at most this many seconds for what is running."""
        with self._changed:
            self._free_places += len(self._queue)
            self._queue.clear()
            self._changed.wait_for(lambda: not self._threads, timeout)
