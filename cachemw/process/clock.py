"""The clocks, in one place, so that tests and the engine can be handed others."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two clocks, in seconds."""

    def monotonic(self) -> float:
        """Give the time that only goes forward: lifetimes are counted on it."""

    def time(self) -> float:
        """Give the time of day since the epoch: dates in header fields are read against it."""


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
