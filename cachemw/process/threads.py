"""Threads that run in the background: a few workers, and daemons that can be stopped."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from cachemw.process.exit import install

__all__ = ["Daemon", "StopSignal", "StoppableThread", "WorkerPool"]

_QUEUED_PER_WORKER = 8
"""Calls that may wait for each worker. A refresh that waits longer is not worth doing."""


class StopSignal:
    """Tells a thread to end.

    Unlike those of `threading.Event`, `set` needs no lock that the interrupted code may hold. So it may
    be called while garbage is collected, and from a signal handler.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        """Ask the thread to end. Further calls do nothing."""
        self._is_set = True
        with suppress(RuntimeError):  # it is open already
            self._gate.release()

    def is_set(self) -> bool:
        """Tell whether the thread is to end."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Wait until the thread is to end, at most `timeout` seconds. Return whether it is."""
        if not self._is_set and self._gate.acquire(timeout=timeout):
            with suppress(RuntimeError):
                self._gate.release()  # for whoever else waits
        return self._is_set


class StoppableThread(threading.Thread):
    """A daemon thread whose work gets the signal that tells it to end."""

    def __init__(
        self,
        work: Callable[[StopSignal], object],
        name: str,
        before: StoppableThread | None = None,
    ) -> None:
        """Prepare a thread; its work begins when the thread `before` it has ended."""
        super().__init__(name=name, daemon=True)
        self.stopping = StopSignal()
        self._work = work
        self._before = before
        self._made_in = os.getpid()

    def start(self) -> None:
        """Start it. Raises RuntimeError if the system has no thread left, or Python is shutting down."""
        install()
        super().start()

    def run(self) -> None:
        """Do the work."""
        before, self._before = self._before, None
        if before is not None and before.may_run():
            before.join()
        self._work(self.stopping)

    def end(self, until: float) -> None:
        """Ask it to end, and wait for that until this monotonic time at most."""
        self.stopping.set()
        if self is not threading.current_thread() and self.may_run():
            self.join(max(0.0, until - time.monotonic()))

    def may_run(self) -> bool:
        """Tell whether it may still run. None of the parent's threads runs in a forked child."""
        return self._made_in == os.getpid() and self.is_alive()


class Daemon:
    """One thread per process that works until it is stopped. It can be started again."""

    def __init__(self, work: Callable[[StopSignal], object], name: str) -> None:
        self._work = work
        self._name = name
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Drop the parent's thread and its lock."""
        self._lock = threading.Lock()
        self._thread: StoppableThread | None = None
        self._before: StoppableThread | None = None

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._thread is not None

    def start(self, prepare: Callable[[], object] = lambda: None) -> None:
        """Call `prepare` and start the thread, once per process.

        Raises RuntimeError if no thread can be started now; the next call tries again.
        """
        # If another thread is just starting it, go on without waiting: if gevent has patched `threading`
        # since, a greenlet that waits here would block all others, the holder of the lock too.
        if self._thread is None and self._lock.acquire(blocking=False):
            try:
                if self._thread is None:
                    prepare()
                    thread = StoppableThread(self._work, self._name, self._before)
                    thread.start()
                    self._thread = thread
            finally:
                self._lock.release()

    def stop(self) -> None:
        """Ask the thread to end. Takes no lock, and does not wait."""
        thread = self._thread
        if thread is not None:
            thread.stopping.set()

    def end(self, until: float) -> bool:
        """Stop the thread, wait until this monotonic time at most, and return whether it has ended."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._before = thread  # its successor waits for it: both have one name in Redis
            thread.end(until)
        return thread is None or not thread.may_run()


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
        # Its lock can be taken again by a signal handler that closes the pool.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[_Job] = deque()
        self._threads = 0
        self._free_places = self.workers * (1 + _QUEUED_PER_WORKER)
        self._awaited = 0
        """Calls that closing waits for, queued and running."""

    def submit(
        self, call: Callable[[], object], dropped: Callable[[], object] | None = None
    ) -> bool:
        """Run a call soon. Return False, and do not run it, when the queue is full.

        Closing waits for the call, unless it has `dropped`: then, if it waits in the queue, `dropped` is
        called in its place, and if it runs, it is left.
        """
        job = _Job(call, dropped)
        with self._changed:
            if not self._free_places:
                return False
            self._free_places -= 1
            self._awaited += job.dropped is None
            self._queue.append(job)
            if self._threads == self.workers:
                return True
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="cachemw", daemon=True).start()
        except RuntimeError:  # the system has no thread left, or the interpreter is shutting down
            return not self._withdraw(job)
        return True

    def _withdraw(self, job: _Job) -> bool:
        """Remove a call whose thread could not be started. Return False if another thread took it."""
        with self._changed:
            self._threads -= 1
            if job not in self._queue:
                return False
            self._queue.remove(job)
            self._done(job)
            return True

    def _done(self, job: _Job) -> None:
        with self._changed:
            self._free_places += 1
            self._awaited -= job.dropped is None
            self._changed.notify_all()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            # Each call reports its own errors. A SystemExit in one must not end the thread for the others.
            with suppress(BaseException):
                job.call()
            self._done(job)

    def _next(self) -> _Job | None:
        with self._changed:
            if self._queue:
                return self._queue.popleft()
            self._threads -= 1
            return None

    def stop(self) -> None:
        """Drop the calls in the queue that may be dropped."""
        with self._changed:
            for job in self._queue:
                job.call = job.dropped or job.call

    def finish(self, until: float) -> None:
        """Wait for the calls that are awaited, to this monotonic time at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._awaited, max(0.0, until - time.monotonic()))


class _Job:
    """A call that was submitted."""

    def __init__(self, call: Callable[[], object], dropped: Callable[[], object] | None) -> None:
        self.call = call
        self.dropped = dropped
