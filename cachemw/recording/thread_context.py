"""Threads that a request starts, and the recording of its response.

Tasks, `asyncio.to_thread`, AnyIO's threads and `sync_to_async` copy the context by themselves, and with it
the recording. Plain threads and thread pools do not.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachemw.recording.context import Recording, current

__all__ = ["carry_into_threads"]

_wrapping = threading.Lock()
_wrapped = False


def carry_into_threads() -> None:
    """Make plain threads and thread pools use the recording of the code that starts them.

    Wraps `Thread.start` and `ThreadPoolExecutor.submit`, once per process. Reads in a thread without
    the recording would not be recorded, and the response would stay after a purge (I5).
    """
    global _wrapped
    with _wrapping:
        if _wrapped:
            return
        _wrapped = True
    _wrap(threading.Thread, "start", _start_with)
    _wrap(ThreadPoolExecutor, "submit", _submit_with)


def _wrap(owner: type, name: str, hand_over: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        recording = current.get()
        if recording is not None:
            args = hand_over(recording, *args)
        return original(*args, **kwargs)

    setattr(owner, name, wrapper)


def _start_with(recording: Recording, thread: Any) -> tuple[Any, ...]:
    thread.run = _with(recording, thread.run)
    return (thread,)


def _submit_with(
    recording: Recording, pool: object, function: Callable[..., Any], *args: Any
) -> tuple[Any, ...]:
    return pool, _with(recording, function), *args


def _with(recording: Recording, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = current.set(recording)
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    return run
