"""Coalescing of requests in one process: flights, their leaders and their followers.

When many requests miss on a key at once, one of them *leads*: it calls the application. The others
*follow*: they wait for its result. Leader and followers of one key are a *flight* (as in Go's
singleflight). The rules:

- The first request leads, later ones follow. At most `max_waiters` requests wait in a process; the
  others go to the application without a flight.
- Whoever calls the application for a flight may end it for everybody. `complete` shares an entry:
  followers serve it if it is for them. `release` shares nothing: everybody goes on alone at once.
  So nobody ever queues behind a response that may not be shared (I1).
- A follower whose waiting time is over is *late* (`mark_late`). It calls the application itself if
  fewer than `alone` followers do so beside the leader. Otherwise it waits on, before all who are not
  late. After the same time again it goes in any case, so every wait is bounded (I3).
- A call that fails says nothing about the response. After `fail` everybody is late, also those who
  join afterwards. They go alone, `alone` at a time, until one of them ends the flight.
- A call that is cancelled, or whose client has left, is abandoned (`abandon`). Its place becomes
  free: the next late follower goes. If nobody calls the application any more, one follower is
  *promoted*: it leads the others. So the disconnect of one client fails nobody else.
- A follower that was told to go but cannot run any more abandons its call in turn.

When a flight has ended, every method does nothing more. Before that, each call must end exactly once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from cachemw.engine.model.entry import Entry

__all__ = ["Flight", "FlightResult", "Flights", "WaitResult", "Waiter"]


class WaitResult(Enum):
    """How a follower's wait ended."""

    COMPLETED = "completed"
    """There is an entry to share."""
    RELEASED = "released"
    """There is nothing to share."""
    PROMOTED = "promoted"
    """The follower now leads those who still wait."""
    ALONE = "alone"
    """The follower calls the application; the flight goes on."""
    TIMEOUT = "timeout"
    """Like ALONE, but however many others have gone."""


_CALLS = frozenset({WaitResult.PROMOTED, WaitResult.ALONE, WaitResult.TIMEOUT})


class FlightResult(Struct, frozen=True):
    """The result of a wait: how it ended, and the entry if the flight was completed."""

    outcome: WaitResult
    entry: Entry | None = None
    origin_failed: bool = False
    """Whether the entry is a stale one that is served because the application failed."""

    @property
    def calls_application(self) -> bool:
        """Whether the follower must call the application for the flight. It is counted as a call already."""
        return self.outcome in _CALLS


RELEASED = FlightResult(WaitResult.RELEASED)
PROMOTED = FlightResult(WaitResult.PROMOTED)
ALONE = FlightResult(WaitResult.ALONE)
TIMEOUT = FlightResult(WaitResult.TIMEOUT)


class Waiter:
    """One waiting follower.

    `wake` is called once, from any thread, when `result` has been set. It returns False if the
    follower cannot run any more (its event loop is closed); then the next follower gets its turn.
    """

    __slots__ = ("late", "result", "wake")

    def __init__(self, wake: Callable[[], bool]) -> None:
        self.wake = wake
        self.result: FlightResult | None = None
        self.late = False
        """Whether it has waited long enough to go alone."""


class Flight:
    """The calls of the application for one key, and the followers that wait for their result."""

    __slots__ = ("_calls", "_done", "_failed", "_flights", "_late", "_waiters", "key")

    def __init__(self, flights: Flights, key: bytes) -> None:
        self.key = key
        self._flights = flights
        self._calls = 1
        """Calls of the application that have not ended. The leader's is the first."""
        self._waiters: list[Waiter] = []
        self._late: list[Waiter] = []
        self._failed = False
        """Whether a call has failed."""
        self._done: FlightResult | None = None

    def join(self, waiter: Waiter) -> None:
        """Add a follower. If the flight has ended, wake it at once."""
        with self._flights.lock:
            waiter.result = self._done
            if self._done is None:
                waiter.late = self._failed
                self._queue_of(waiter).append(waiter)
        # Never wake anybody with the lock held: `wake` is foreign code and may come back here.
        if waiter.result is not None:
            waiter.wake()
        elif waiter.late:
            self._wake_next()

    def mark_late(self, waiter: Waiter) -> None:
        """Note that a follower's first wait is over: it goes alone as soon as a call is free for it."""
        with self._flights.lock:
            if waiter.result is not None or waiter.late:
                return
            self._waiters.remove(waiter)
            waiter.late = True
            self._late.append(waiter)
        self._wake_next()

    def leave(self, waiter: Waiter) -> FlightResult:
        """Remove a follower whose wait is over, and return what it learned.

        A follower that has learned nothing by now calls the application (TIMEOUT). It must end this
        call like a leader.
        """
        with self._flights.lock:
            self._flights.waiting -= 1
            if waiter.result is None:
                self._queue_of(waiter).remove(waiter)
                self._calls += 1
                return TIMEOUT
            return waiter.result

    def cancel(self, waiter: Waiter) -> None:
        """Remove a follower that will do nothing more. If it was its turn, the next one gets it."""
        if self.leave(waiter).calls_application:
            self.abandon()

    def complete(self, entry: Entry, *, origin_failed: bool = False) -> None:
        """End the flight with an entry that may be shared."""
        self._finish(FlightResult(WaitResult.COMPLETED, entry, origin_failed))

    def release(self) -> None:
        """End the flight with nothing to share: everybody goes on alone."""
        self._finish(RELEASED)

    def fail(self) -> None:
        """End a call that failed: followers go alone, as many at a time as are allowed."""
        with self._flights.lock:
            self._failed = True
            for waiter in self._waiters:
                waiter.late = True
            self._late += self._waiters
            self._waiters = []
        self.abandon()

    def abandon(self) -> None:
        """End a call without a result: the next follower may go in its place."""
        with self._flights.lock:
            self._calls -= 1
        self._wake_next()

    def _wake_next(self) -> None:
        """Wake followers while more of them may call the application."""
        while (waiter := self._next_waiter()) is not None:
            if not waiter.wake():
                with self._flights.lock:
                    # Its call ends here. If it ran after all, it must not end the call a second time.
                    waiter.result = RELEASED
                    self._calls -= 1

    def _next_waiter(self) -> Waiter | None:
        """Take the follower that may go now out of its queue; end a flight that nobody is left in."""
        with self._flights.lock:
            if self._done is not None:
                return None
            # `alone` followers may call beside a leader. After a failure there is no leader whose call
            # is worth more than theirs, so its place is not added.
            limit = self._flights.alone + (not self._failed)
            if self._late and self._calls < limit:
                waiter, result = self._late.pop(0), ALONE
            elif self._calls:
                return None
            elif self._waiters:
                waiter, result = self._waiters.pop(0), PROMOTED
            else:
                self._end(RELEASED)
                return None
            self._calls += 1
            waiter.result = result
            return waiter

    def _queue_of(self, waiter: Waiter) -> list[Waiter]:
        return self._late if waiter.late else self._waiters

    def _finish(self, result: FlightResult) -> None:
        with self._flights.lock:
            if self._done is not None:
                return
            self._end(result)
            waiters = self._late + self._waiters
            self._late, self._waiters = [], []
            for waiter in waiters:
                waiter.result = result
        for waiter in waiters:
            waiter.wake()

    def _end(self, result: FlightResult) -> None:
        self._done = result
        # Another flight may be open for the key by now.
        if self._flights.open.get(self.key) is self:
            del self._flights.open[self.key]


class Flights:
    """The open flights of one process, shared by its threads and event loops."""

    def __init__(self, max_waiters: int, alone: int) -> None:
        """Limit how many requests wait in all, and how many go alone at a time in one flight (I4)."""
        self.max_waiters = max_waiters
        self.alone = alone
        self.open: dict[bytes, Flight] = {}
        self.waiting = 0
        self.lock = threading.Lock()

    def join_or_lead(self, key: bytes) -> tuple[Flight | None, bool]:
        """Return the flight of a key and whether the caller leads it; no flight if too many wait.

        A caller that does not lead must wait on the flight: it is counted as waiting already.
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
        """Lead a new flight, or return None if there is one. For refreshes, which never wait."""
        with self.lock:
            if key in self.open:
                return None
            flight = self.open[key] = Flight(self, key)
            return flight
