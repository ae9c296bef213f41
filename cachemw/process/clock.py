"""The clocks of the process, behind a protocol, so that tests can use other clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


def _time_since_boot() -> Callable[[], float]:
    """Return a clock that goes on while the machine is suspended, where the system has one.

    That of `time.monotonic` stands still then on Linux. A process would wake up as if no time had passed,
    and serve from memory what others, which no longer waited for it, have purged and confirmed since.
    """
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return time.monotonic
    try:
        time.clock_gettime(boottime)
    except OSError:  # a sandbox without it
        return time.monotonic
    return partial(time.clock_gettime, boottime)


class Clock(Protocol):
    """Two clocks. Both return seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes back, nor stands still. Lifetimes are measured with it."""

    def time(self) -> float:
        """Return the time since the Unix epoch. Dates in headers are compared with it."""


class SystemClock:
    """The clocks of the operating system."""

    monotonic = staticmethod(_time_since_boot())
    time = staticmethod(time.time)
