"""The circuit breaker: after repeated failures, stop using a server for a while.

Theory of operation. The breaker has three states (the pattern is from Nygard, "Release It!"):

    closed ──N failures in a row, or trip()──▶ open ──wait over, a probe begins──▶ half-open
       ▲                                        ▲                                     │
       └────────────── success() ───────────────┼──────────── failure() ──────────────┤
                                                └──── the probe never reported a result ┘

- **closed**: requests use the server. Failures in a row are counted; a success resets the count.
- **open**: requests do not use the server. They read `closed`, which is one attribute, and go on
  without Redis at once (I3).
- **half-open**: one probe is running. Only a background thread asks `may_probe()`, so no request
  waits to find out whether the server is back.

While the breaker is not closed, only the result of a probe counts. Requests that began before it
opened still report their results; those are ignored in the open state.

The wait before a probe is `reset`, doubled for each failed probe up to a cap, then multiplied by a
random factor between 0.5 and 1.5. Without this jitter, all processes that lost Redis at the same
moment would also come back to it at the same moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

__all__ = ["Breaker", "State"]

State = Literal["closed", "open", "half-open"]

LONGEST_WAIT = 30.0
"""Seconds. The doubling of the wait stops here; jitter comes on top."""


class _Random(Protocol):
    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


class Breaker:
    """The decision whether one server may be used. Thread-safe."""

    def __init__(
        self,
        failures: int,
        reset: float,
        clock: Callable[[], float],
        rng: _Random,
        *,
        longest: float = LONGEST_WAIT,
    ) -> None:
        """Open after `failures` in a row. The first wait is `reset` seconds, the longest is `longest`."""
        self._limit = failures
        self._reset = reset
        self._longest = max(reset, longest)
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._count = 0
        self._opened = 0  # how often the breaker opened since it was last closed
        self._probe_at = 0.0
        self._probing = False
        self.closed = True
        """Whether requests may use the server."""

    @property
    def state(self) -> State:
        """The state of the diagram above."""
        if self.closed:
            return "closed"
        return "half-open" if self._probing else "open"

    def allow(self) -> bool:
        """Tell whether this call may use the server: every call while closed, else one probe."""
        return self.closed or self.may_probe()

    def may_probe(self) -> bool:
        """Reserve the probe of an open breaker whose wait is over. Return whether the caller has it.

        A caller that gets True must report `success` or `failure`. If it reports neither, the next
        probe is possible after one more wait.
        """
        if self.closed or self._clock() < self._probe_at:
            return False
        with self._lock:
            now = self._clock()
            if self.closed or now < self._probe_at:
                return False
            self._probing = True
            self._probe_at = now + self._wait()
            return True

    def success(self) -> None:
        """Report that the server answered."""
        if self.closed and not self._count:
            return
        with self._lock:
            if self.closed:
                self._count = 0
            elif self._probing:
                self._close()

    def failure(self) -> None:
        """Report that the server failed, or did not answer in time."""
        with self._lock:
            if self.closed:
                self._count += 1
                if self._count >= self._limit:
                    self._open()
            elif self._probing:
                self._open()

    def trip(self) -> None:
        """Open at once, whatever the count. An open breaker keeps its present wait."""
        with self._lock:
            if self.closed or self._probing:
                self._open()

    def _open(self) -> None:
        self.closed = False
        self._probing = False
        self._opened += 1
        self._probe_at = self._clock() + self._wait()

    def _close(self) -> None:
        self._count = self._opened = 0
        self._probing = False
        self.closed = True

    def _wait(self) -> float:
        # The exponent is limited to avoid an overflow: 2**31 times any `reset` is above the cap.
        base = min(self._longest, self._reset * 2.0 ** min(self._opened - 1, 31))
        return base * (0.5 + self._rng.random())
