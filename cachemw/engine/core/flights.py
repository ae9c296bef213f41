"""Coalescing: of all requests that miss on a key at once, one leads and the others follow.

The rules:

- the first to ask leads; later ones follow, at most `max_waiters` in a process, the rest go past;
- whoever calls the application for a flight, its leader or one who went alone, may end it for all:
  it **lands** the flight with an entry, and followers serve it if it is theirs to serve, or
  **releases** everyone at once, where its answer may not be shared: no queue ever forms behind an
  uncacheable answer;
- a follower whose wait is over becomes **late**: it goes alone, where fewer than `alone` have gone
  beside the leader, and else waits on, in line before those who are not late. After as long a wait
  again it goes regardless, so that nobody waits without bound;
- a call that **fails** says nothing of the answer: everyone is late from then on, newcomers too,
  and they go alone, `alone` at a time, until one of them ends the flight;
- a call that is cancelled, or whose client went away, is **abandoned**. Its place passes on: the
  next who is late goes, and where nobody is calling any more one follower is promoted to lead the
  rest. So one client's disconnect fails nobody;
- whoever was told to go and does not get to run any more abandons in turn.

Every way out of a flight is idempotent once it has ended; before that, each call leaves it once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from cachemw.engine.model.entry import Entry

__all__ = ["Flight", "Flights", "Landing", "WaitResult", "Waiter"]


class WaitResult(Enum):
    """How waiting ended."""

    LANDED = "landed"
    RELEASED = "released"
    PROMOTED = "promoted"
    """Lead those who still wait."""
    ALONE = "alone"
    """Go to the application, for those who still wait too."""
    TIMEOUT = "timeout"
    """The same, regardless of how many have gone."""


_GOES = frozenset({WaitResult.PROMOTED, WaitResult.ALONE, WaitResult.TIMEOUT})


class Landing(Struct, frozen=True):
    """What a follower learns: how the waiting ended and, if the flight landed, with what."""

    outcome: WaitResult
    entry: Entry | None = None
    origin_failed: bool = False
    """Whether the entry is a stale one that stands in for a failing origin."""

    @property
    def goes(self) -> bool:
        """Whether the follower is to call the application for the flight: its call counts already."""
        return self.outcome in _GOES


RELEASED = Landing(WaitResult.RELEASED)
PROMOTED = Landing(WaitResult.PROMOTED)
ALONE = Landing(WaitResult.ALONE)
TIMEOUT = Landing(WaitResult.TIMEOUT)


class Waiter:
    """One follower's place.

    `wake` is called once, from any thread, when `landing` has been set; it gives False when the
    follower can no longer run (its event loop is closed), so that its turn passes on.
    """

    __slots__ = ("landing", "late", "wake")

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.landing: Landing | None = None
        self.late = False
        """Whether it has waited long enough to go alone."""


class Flight:
    """What is asked of the application for one key, by one or a few, while others wait for it."""

    __slots__ = ("_calls", "_done", "_failed", "_flights", "_late", "_waiters", "key")

    def __init__(self, flights: Flights, key: bytes) -> None:
        self.key = key
        self._flights = flights
        self._calls = 1
        """How many have gone to the application and not come back: the leader has."""
        self._waiters: list[Waiter] = []
        self._late: list[Waiter] = []
        self._failed = False
        self._done: Landing | None = None

    def join(self, waiter: Waiter) -> None:
        """Add a follower; one that comes when all is over is woken at once."""
        with self._flights.lock:
            waiter.landing = self._done
            if self._done is None:
                waiter.late = self._failed
                self._line_of(waiter).append(waiter)
        if waiter.landing is not None:
            waiter.wake()
        elif waiter.late:
            self._send()

    def insist(self, waiter: Waiter) -> None:
        """Note that a follower's wait is over: it goes alone when there is room for it."""
        with self._flights.lock:
            if waiter.landing is not None or waiter.late:
                return
            self._waiters.remove(waiter)
            waiter.late = True
            self._late.append(waiter)
        self._send()

    def leave(self, waiter: Waiter) -> Landing:
        """Take a follower out when its wait is over; give what it learnt. One that goes ends its call
        like a leader."""
        with self._flights.lock:
            self._flights.waiting -= 1
            if waiter.landing is None:
                self._line_of(waiter).remove(waiter)
                self._calls += 1
                return TIMEOUT
            return waiter.landing

    def desert(self, waiter: Waiter) -> None:
        """Take out a follower that will do nothing more; its turn passes on, if it has come."""
        if self.leave(waiter).goes:
            self.abandon()

    def land(self, entry: Entry, *, origin_failed: bool = False) -> None:
        """End the flight with an answer that may be shared."""
        self._finish(Landing(WaitResult.LANDED, entry, origin_failed))

    def release(self) -> None:
        """End the flight with nothing to share: everyone goes on by themselves."""
        self._finish(RELEASED)

    def fail(self) -> None:
        """End a call that failed: those who wait go alone, as many at a time as may."""
        with self._flights.lock:
            self._failed = True
            for waiter in self._waiters:
                waiter.late = True
            self._late += self._waiters
            self._waiters = []
        self.abandon()

    def abandon(self) -> None:
        """End a call that came to nothing: whoever is next may go in its place."""
        with self._flights.lock:
            self._calls -= 1
        self._send()

    def _send(self) -> None:
        """Send followers to the application while they may go."""
        while (heir := self._next()) is not None:
            if not heir.wake():
                with self._flights.lock:
                    heir.landing = RELEASED  # it must not abandon, late, what others do by then
                    self._calls -= 1

    def _next(self) -> Waiter | None:
        """Take whoever may go out of the line; end a flight that nobody is left in."""
        with self._flights.lock:
            if self._done is not None:
                return None
            # Beside the leader; where a call has failed there is none whose answer is worth more.
            room = self._flights.alone + (not self._failed)
            if self._late and self._calls < room:
                heir, landing = self._late.pop(0), ALONE
            elif self._calls:
                return None
            elif self._waiters:
                heir, landing = self._waiters.pop(0), PROMOTED
            else:
                self._close(RELEASED)
                return None
            self._calls += 1
            heir.landing = landing
            return heir

    def _line_of(self, waiter: Waiter) -> list[Waiter]:
        return self._late if waiter.late else self._waiters

    def _finish(self, landing: Landing) -> None:
        with self._flights.lock:
            if self._done is not None:
                return
            self._close(landing)
            waiters = self._late + self._waiters
            self._late, self._waiters = [], []
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

    def __init__(self, max_waiters: int, alone: int) -> None:
        """At most `max_waiters` wait, in all; of each flight's, at most `alone` go at a time."""
        self.max_waiters = max_waiters
        self.alone = alone
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
