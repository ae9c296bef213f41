"""Coalescing: of all requests that miss on a key at once, one leads and the others follow.

The rules:

- the first to ask leads; later ones follow, at most `max_waiters` in a process, the rest go alone;
- a leader **lands** its flight with an entry, and followers serve it if it is theirs to serve;
- a leader whose answer may not be shared **releases** everyone at once: no queue ever forms behind
  an uncacheable answer;
- a leader that is cancelled or whose client went away **abandons**: one follower is promoted to
  lead the rest, so one client's disconnect fails nobody;
- whoever was promoted and does not get to run any more abandons in turn.

Every way out of a flight is idempotent: front doors call `abandon` in a `finally`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from cachemw.engine.entry import Entry

__all__ = ["Flight", "Flights", "Landing", "Outcome", "Waiter"]


class Outcome(Enum):
    """How waiting ended."""

    LANDED = "landed"
    RELEASED = "released"
    PROMOTED = "promoted"
    TIMEOUT = "timeout"


class Landing(Struct, frozen=True):
    """What a follower learns: how the waiting ended and, if the flight landed, with what."""

    outcome: Outcome
    entry: Entry | None = None
    origin_failed: bool = False
    """Whether the entry is a stale one that stands in for a failing origin."""


RELEASED = Landing(Outcome.RELEASED)
PROMOTED = Landing(Outcome.PROMOTED)
TIMEOUT = Landing(Outcome.TIMEOUT)


class Waiter:
    """One follower's place.

    `wake` is called once, from any thread, when `landing` has been set; it gives False when the
    follower can no longer run (its event loop is closed), so that a promotion passes on.
    """

    __slots__ = ("landing", "wake")

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.landing: Landing | None = None


class Flight:
    """One origin call that others may be waiting for."""

    __slots__ = ("_done", "_flights", "_waiters", "key")

    def __init__(self, flights: Flights, key: bytes) -> None:
        self.key = key
        self._flights = flights
        self._waiters: list[Waiter] = []
        self._done: Landing | None = None

    def join(self, waiter: Waiter) -> None:
        """Add a follower; one that comes too late is woken at once."""
        with self._flights.lock:
            if self._done is None:
                self._waiters.append(waiter)
                return
            waiter.landing = self._done
        waiter.wake()

    def leave(self, waiter: Waiter) -> Landing:
        """Take a follower out when its wait is over, for whatever reason; give what it learnt."""
        with self._flights.lock:
            self._flights.waiting -= 1
            if waiter.landing is None:
                self._waiters.remove(waiter)
                return TIMEOUT
            return waiter.landing

    def land(self, entry: Entry, *, origin_failed: bool = False) -> None:
        """End the flight with an answer that may be shared."""
        self._finish(Landing(Outcome.LANDED, entry, origin_failed))

    def release(self) -> None:
        """End the flight with nothing to share: everyone goes on by themselves."""
        self._finish(RELEASED)

    def abandon(self) -> None:
        """Give up the lead: promote the next follower, or end a flight that nobody waits for."""
        while True:
            with self._flights.lock:
                if self._done is not None:
                    return
                if not self._waiters:
                    self._close(RELEASED)
                    return
                heir = self._waiters.pop(0)
                heir.landing = PROMOTED
            if heir.wake():
                return
            heir.landing = RELEASED  # it must not abandon, late, what somebody else leads by then

    def _finish(self, landing: Landing) -> None:
        with self._flights.lock:
            if self._done is not None:
                return
            self._close(landing)
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.landing = landing
        for waiter in waiters:
            waiter.wake()

    def _close(self, landing: Landing) -> None:
        self._done = landing
        if self._flights.open.get(self.key) is self:
            del self._flights.open[self.key]


class Flights:
    """The flights of one process, shared by its threads and event loops."""

    def __init__(self, max_waiters: int) -> None:
        self.max_waiters = max_waiters
        self.open: dict[bytes, Flight] = {}
        self.waiting = 0
        self.lock = threading.Lock()

    def board(self, key: bytes) -> tuple[Flight | None, bool]:
        """Give the flight of a key and whether the caller leads it; None when the waiters are many.

        A caller that is told to follow must wait on the flight: its place is counted already.
        """
        with self.lock:
            flight = self.open.get(key)
            if flight is None:
                flight = self.open[key] = Flight(self, key)
                return flight, True
            if self.waiting >= self.max_waiters:
                return None, False
            self.waiting += 1
            return flight, False

    def lead(self, key: bytes) -> Flight | None:
        """Lead a new flight, or give None when there is one: for refreshes, which never wait."""
        with self.lock:
            if key in self.open:
                return None
            flight = self.open[key] = Flight(self, key)
            return flight
