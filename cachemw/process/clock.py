"""The clocks of the process, behind a protocol, so that tests can use other clocks."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two clocks. Both return seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes back. Lifetimes are measured with it."""

    def time(self) -> float:
        """Return the time since the Unix epoch. Dates in headers are compared with it."""


class SystemClock:
    """The clocks of the operating system."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
