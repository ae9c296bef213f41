"""One call in a background thread, whose result several threads and event loops wait for.

Name servers, files and credential providers answer when they want. A call of one of them runs in a
thread of its own, so that it fills no executor, and whoever waits for it does so for a limited time.
While one call runs, no second one is started (I4).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["SharedCall"]

Result = TypeVar("Result")

_UNUSED = 10.0
"""Seconds for which a result that came too late for everybody who waited serves the next one."""


class SharedCall(Generic[Result]):
    """A function that is called in the background, once at a time. Thread-safe."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the running call: its thread belongs to the parent process."""
        self._lock = (
            threading.RLock()
        )  # a signal handler may close a cache while this thread has it
        self._future: Future[Result] | None = None
        self._ended_at: float | None = None
        """When the call ended whose result nobody has had yet, on the monotonic clock."""
        self.started_at = 0.0
        """When the last call was started, on the monotonic clock."""

    @property
    def running(self) -> bool:
        """Whether a call is running."""
        future = self._future
        return future is not None and not future.done()

    def result(self, timeout: float) -> Result:
        """Call the function, or join a running call, and return its result.

        Raises what the function raises, and TimeoutError after `timeout` seconds. The call goes on then.
        """
        return self._used(self.start().result(timeout))

    async def aresult(self, timeout: float) -> Result:
        """Return the result as `result` does, without blocking the event loop."""
        async with asyncio.timeout(timeout):
            return self._used(await asyncio.wrap_future(self.start()))

    def start(self) -> Future[Result]:
        """Start a call unless one is running, and return its future."""
        with self._lock:
            if self.running or self._has_unused():
                assert self._future is not None
                return self._future
            future: Future[Result] = Future()
            future.set_running_or_notify_cancel()  # from here on, who waits cannot cancel it
            self._future, self._ended_at = future, None
            self.started_at = time.monotonic()
        try:
            threading.Thread(
                target=self._run, args=(future,), name="cachemw-connect", daemon=True
            ).start()
        except RuntimeError as error:  # the system has no thread left
            future.set_exception(error)
        return future

    def _has_unused(self) -> bool:
        ended_at = self._ended_at
        return ended_at is not None and time.monotonic() - ended_at < _UNUSED

    def _used(self, result: Result) -> Result:
        self._ended_at = None
        return result

    def _run(self, future: Future[Result]) -> None:
        try:
            result = self._function()
        except BaseException as error:
            future.set_exception(error)
        else:
            if future is self._future:
                self._ended_at = time.monotonic()
            future.set_result(result)
