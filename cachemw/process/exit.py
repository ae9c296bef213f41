"""Ending what runs in the background: one cache that is closed, and all of them when the process exits.

WSGI has no shutdown event, so `atexit` is the only signal that a WSGI application gets. Children of
`multiprocessing` and of a Celery worker end by `os._exit`, which calls nothing of that. But the former have
finalizers of their own, and the latter send a signal of Celery's.

Everything is told to end before anything is waited for, and all of it has one deadline. What hangs longer
is left: the threads are daemons, and keep no process.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol

from cachemw.process.fork import notice_fork

__all__ = ["CLOSE_WAIT", "Closable", "close_all", "close_at_exit", "install"]

CLOSE_WAIT: Final = 2.0
"""Seconds that closing takes at most in all, for one cache and for all caches of a process."""


class Closable(Protocol):
    """A part that works in the background."""

    def stop(self) -> None:
        """Ask it to end. Must not wait."""

    def finish(self, until: float) -> None:
        """Wait until it has ended, to this monotonic time at most. A second call does nothing."""


Stage = Iterable[Closable]

_first: weakref.WeakSet[Closable] = weakref.WeakSet()
_last: weakref.WeakSet[Closable] = weakref.WeakSet()
_installed_in: int | None = None
"""The process whose end is awaited: a child has to ask for that again."""


def close_all(stages: Iterable[Stage], wait: float = CLOSE_WAIT) -> None:
    """End all parts: those of one stage at once, and each stage after the one before it.

    Takes at most `wait` seconds in all. A part that fails keeps no other from ending.
    """
    until = time.monotonic() + wait
    for stage in stages:
        parts = list(stage)
        for part in parts:
            with suppress(Exception):
                part.stop()
        for part in parts:
            with suppress(Exception):
                part.finish(until)


def close_at_exit(*first: Closable, last: Closable) -> None:
    """Close parts when this process, or a process forked from it, exits; `last` after all others.

    Only weak references are kept, so a part that is no longer used can be freed before that. While one
    of its threads runs, the thread refers to it.
    """
    _first.update(first)
    _last.add(last)


def install() -> None:
    """Await the end of this process. Called where a thread is started, in each process anew."""
    global _installed_in
    if _installed_in == os.getpid():
        return
    _installed_in = os.getpid()
    atexit.unregister(_close_registered)  # a fork inherits it; multiprocessing clears it, or not
    atexit.register(_close_registered)
    if (utility := sys.modules.get("multiprocessing.util")) is not None:
        utility.Finalize(None, _close_registered, exitpriority=0)
    if (celery := sys.modules.get("celery.signals")) is not None:
        celery.worker_process_shutdown.connect(_close_registered)


def _close_registered(**_: object) -> None:
    notice_fork()  # the parent's threads cannot be waited for, and its purges are its own
    close_all((_first, _last))
