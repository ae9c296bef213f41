"""The circuit breaker: after repeated failures, stop asking a store that is ill.

    closed ──N failures in a row, or trip()──▶ open ──wait over, a probe begins──▶ half-open
       ▲                                        ▲                                     │
       └────────────── success() ───────────────┼──────────── failure() ──────────────┤
                                                └── the probe was never heard of again ┘

Requests ask `closed`, one attribute read. A background thread asks `may_probe()`, so that no
request ever waits to find out whether the store is back. What late calls report while the breaker
is open, good or bad, changes nothing: only the probe decides.

Each wait is `reset` doubled for every failed probe, up to a cap, give or take half: processes that
lost the store together must not come back to it together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal, Protocol

__all__ = ["Breaker", "State"]

State = Literal["closed", "open", "half-open"]

LONGEST_WAIT = 30.0
"""Seconds; the cap on the doubling, before jitter."""


class _Random(Protocol):
    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


class Breaker:
    """Decide whether the store may be asked. Thread-safe."""

    def __init__(
        self,
        failures: int,
        reset: float,
        clock: Callable[[], float],
        rng: _Random,
        *,
        longest: float = LONGEST_WAIT,
    ) -> None:
        """Open after `failures` in a row; wait `reset` seconds, at most `longest`, on `clock`."""
        self._limit = failures
        self._reset = reset
        self._longest = max(reset, longest)
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._count = 0
        self._opened = 0  # times in a row that the breaker opened without closing between
        self._probe_at = 0.0
        self._probing = False
        self.closed = True
        """Whether requests may use the store."""

    @property
    def state(self) -> State:
        """Where in the opening diagram the breaker stands."""
        if self.closed:
            return "closed"
        return "half-open" if self._probing else "open"

    def allow(self) -> bool:
        """Say whether this call may go to the store: any while closed, one probe while not."""
        return self.closed or self.may_probe()

    def may_probe(self) -> bool:
        """Claim the one probe of an open breaker whose wait is over.

        True obliges the caller to report `success` or `failure`; a probe that reports neither
        frees its place after one more wait.
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
        """Report that the store answered."""
        if self.closed and not self._count:
            return
        with self._lock:
            if self.closed:
                self._count = 0
            elif self._probing:
                self._close()

    def failure(self) -> None:
        """Report that the store failed or did not answer in time."""
        with self._lock:
            if self.closed:
                self._count += 1
                if self._count >= self._limit:
                    self._open()
            elif self._probing:
                self._open()

    def trip(self) -> None:
        """Open at once, whatever the count; an open breaker keeps the wait it has."""
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
        # 2**31 seconds are past any cap; a larger exponent would only make a larger integer.
        base = min(self._longest, self._reset * 2.0 ** min(self._opened - 1, 31))
        return base * (0.5 + self._rng.random())
