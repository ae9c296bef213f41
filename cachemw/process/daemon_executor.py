"""`DaemonExecutor`: calls in a thread that keeps no process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any

__all__ = ["DaemonExecutor"]

_Call = tuple[Future[Any], Callable[[], Any]]


class DaemonExecutor(Executor):
    """Run calls one after the other in one daemon thread.

    Python waits for the threads of a `ThreadPoolExecutor` when it exits, also for one that hangs.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call soon. Raises RuntimeError if no thread can be started."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="cachemw-refresh", daemon=True)
            thread.start()
            self._thread = thread
        future: Future[Any] = Future()
        self._calls.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after the calls that were submitted. Never waits: it may hang."""
        self._calls.put(None)

    def _work(self) -> None:
        while (submitted := self._calls.get()) is not None:
            future, call = submitted
            if future.set_running_or_notify_cancel():
                _run(future, call)


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
