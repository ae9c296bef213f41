"""Background work for threads: a small pool, made when first needed, with a bounded queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["Background"]

_QUEUED_PER_WORKER = 8


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
