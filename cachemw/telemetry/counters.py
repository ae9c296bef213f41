"""Counters of requests, durations and events, on plain integers of each thread.

**Why.** A memory hit takes a few microseconds, and an OpenTelemetry counter alone costs ten. So the hot
path adds to integers in lists, without a lock, and OpenTelemetry reads the sums only when it collects.

**How.** Each thread owns a *slot* and is the only one that writes to it, so no increment is lost. A
snapshot adds up all slots; it may miss increments that happen meanwhile, and the next one has them.

- Requests are *cells* in one list: the index is `route * WIDTH + outcome`, so counting is one addition.
- Durations are *rows*: one row of buckets per cell, made at the first duration. The sum is the row's last
  element.
- Events, failures and refusals are dictionaries, since most of them are rare.

**Threads that end.** The slot of an ended thread goes, with its counts, to the next new thread. Nothing
is copied or lost, and there are never more slots than threads that ran at once. That also holds in
servers that start a thread per request.

**Forks.** A child starts with new slots: the parent's counts are in the parent's statistics.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

from cachemw.engine.model.outcomes import EventName, Outcome
from cachemw.telemetry.events import BOUNDS, EVENTS
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = ["MAX_REASONS", "OTHER", "UNLISTED", "UNLISTED_NAME", "WIDTH", "Counters"]

WIDTH: Final = len(Outcome)
"""Cells per route."""

UNLISTED: Final = -1
"""The route index of requests that match no route. Index -1 is the end of the list, where their cells are."""

UNLISTED_NAME: Final = "(unlisted)"
"""The name of UNLISTED in statistics. No route can have it: names have no parentheses."""

MAX_REASONS: Final = 32
"""Most distinct reasons of an event, so that reasons made from input cannot fill memory (I4)."""

OTHER: Final = "other"
"""The reason under which all further ones are counted."""

_ROW: Final = len(BOUNDS) + 2  # the buckets, one for longer durations, and the sum of seconds

EventKey = tuple[EventName, str]


class _Slot:
    """The counts of one thread. Only the thread that holds the slot writes to it."""

    __slots__ = ("cells", "events", "failures", "refused", "rows")

    def __init__(self, routes: int) -> None:
        self.cells = [0] * (routes * WIDTH)
        self.failures: dict[int, int] = {}
        """Failures by the index of their cell."""
        self.rows: dict[int, list[float]] = {}
        """Histograms by the index of their cell, made at the first duration."""
        self.events: dict[EventKey, int] = {}
        self.refused: dict[tuple[int, str], int] = {}
        """Responses that were not stored, by the index of the route and the reason."""


class _Lease:
    """Returns the slot to the pool when the thread ends and its locals are dropped.

    The finalizer may run at any point in any thread, also while that thread holds the pool's lock. So it
    takes no lock: `deque.append` is atomic.
    """

    __slots__ = ("free", "slot")

    def __init__(self, slot: _Slot, free: deque[_Slot]) -> None:
        self.slot = slot
        self.free = free

    def __del__(self) -> None:
        self.free.append(self.slot)


class _Local(threading.local):
    """The slot of the running thread. `__init__` runs once in every thread that uses it."""

    def __init__(self, pool: _Pool) -> None:
        self.slot = pool.take()
        self.cells = self.slot.cells
        self.lease = _Lease(self.slot, pool.free)


class _Pool:
    """All slots of a process, from its start or fork on."""

    def __init__(self, routes: int) -> None:
        self.routes = routes
        self.lock = threading.Lock()
        self.slots: list[_Slot] = []
        self.free: deque[_Slot] = deque()
        self.known: set[EventKey] = set()

    def take(self) -> _Slot:
        """Return the slot of an ended thread, or a new one."""
        try:
            return self.free.popleft()
        except IndexError:
            slot = _Slot(self.routes)
        with self.lock:
            self.slots.append(slot)
        return slot

    def admit(self, name: EventName, reason: str) -> EventKey:
        """Return the key to count under: with OTHER once the event has MAX_REASONS reasons."""
        key = (name, reason)
        with self.lock:
            if key not in self.known:
                if sum(known == name for known, _ in self.known) >= MAX_REASONS:
                    return name, OTHER
                self.known.add(key)
        return key

    def all(self) -> list[_Slot]:
        """Return all slots, those of ended threads included."""
        with self.lock:
            return self.slots.copy()


class Counters:
    """The counts of one process. Thread-safe.

    `counters.local.cells[route * len(Outcome) + outcome] += 1` is the cheapest way to count. Do not keep
    `local.cells`: another thread must not write to it, and a fork replaces it.
    """

    def __init__(self, route_names: Sequence[str]) -> None:
        self.route_names = (*route_names, UNLISTED_NAME)
        """Names by route index; the last one is that of UNLISTED."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start from zero: the parent's counts are in the parent's statistics.

        This also replaces the lock, which a thread that the fork did not copy may have held.
        """
        self._pool = _Pool(len(self.route_names))
        self.local = _Local(self._pool)

    def cells(self) -> list[int]:
        """Return this thread's cells: `route index * len(Outcome) + outcome`."""
        return self.local.cells

    def count(self, route: int, outcome: int) -> None:
        """Count one request of the route with this index."""
        self.local.cells[route * WIDTH + outcome] += 1

    def observe(self, route: int, outcome: int, seconds: float) -> None:
        """Add a duration to the histogram of this route and outcome."""
        rows = self.local.slot.rows
        cell = route * WIDTH + outcome
        try:
            row = rows[cell]
        except KeyError:
            row = rows[cell] = [0] * _ROW
        row[bisect_left(BOUNDS, seconds)] += 1
        row[-1] += seconds

    def record(self, route: int, outcome: int, seconds: float) -> None:
        """Count one request and its duration.

        It does what `count` and `observe` do. The code is repeated, since a call costs as much as the work.
        """
        slot = self.local.slot
        cell = route * WIDTH + outcome
        slot.cells[cell] += 1
        try:
            row = slot.rows[cell]
        except KeyError:
            row = slot.rows[cell] = [0] * _ROW
        row[bisect_left(BOUNDS, seconds)] += 1
        row[-1] += seconds

    def fail(self, route: int, outcome: int) -> None:
        """Count that a request, which was counted already, has failed."""
        slot = self.local.slot
        cell = (route % len(self.route_names)) * WIDTH + outcome
        slot.failures[cell] = slot.failures.get(cell, 0) + 1

    def event(self, name: EventName, reason: str = "", count: int = 1) -> None:
        """Count an event; `reason` is a short word that does not depend on input."""
        events = self.local.slot.events
        key = (name, reason)
        if key not in events:
            key = self._pool.admit(name, reason)
            events.setdefault(key, 0)
        events[key] += count

    def refuse(self, route: int, reason: str) -> None:
        """Count that a response was not stored: as the event `not_stored`, and under its route.

        A route has at most as many reasons as the event (I4).
        """
        self.event("not_stored", reason)
        refused = self.local.slot.refused
        key = (route, reason)
        if key not in refused:
            key = (route, self._pool.admit("not_stored", reason)[1])
        refused[key] = refused.get(key, 0) + 1

    def snapshot(self, gauges: Gauges | None = None) -> Stats:
        """Return the sums over all threads, and the values of the gauges."""
        slots = self._pool.all()
        return Stats(
            processes=1,
            requests=_requests(slots, self.route_names),
            failures=_failures(slots, self.route_names),
            durations=_durations(slots, self.route_names),
            events=_events(slots),
            refused=_refused(slots, self.route_names),
            gauges=gauges.read() if gauges else {},
        )


def _requests(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    # Route by route: one pass over everything would hold the interpreter lock for too long.
    by_route: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        start = index * WIDTH
        rows = [slot.cells[start : start + WIDTH] for slot in slots]
        totals = list(map(sum, zip(*rows, strict=True)))
        if any(totals):
            by_route[name] = {o.label: n for o, n in zip(Outcome, totals, strict=True) if n}
    return by_route


def _failures(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    by_route: dict[str, dict[str, int]] = {}
    for slot in slots:
        for cell, count in slot.failures.copy().items():
            route, outcome = divmod(cell, WIDTH)
            label = Outcome(outcome).label
            by_label = by_route.setdefault(names[route], {})
            by_label[label] = by_label.get(label, 0) + count
    return by_route


def _durations(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, Histogram]]:
    rows: dict[int, list[list[float]]] = {}
    for slot in slots:
        # `dict.copy` is atomic under the interpreter lock, so another thread may add a key meanwhile.
        for cell, row in slot.rows.copy().items():
            rows.setdefault(cell % (len(names) * WIDTH), []).append(row)
    by_route: dict[str, dict[str, Histogram]] = {}
    for cell in sorted(rows):
        route, outcome = divmod(cell, WIDTH)
        *buckets, seconds = map(sum, zip(*rows[cell], strict=True))
        histogram = Histogram(tuple(map(int, buckets)), round(seconds * 1e9))
        by_route.setdefault(names[route], {})[Outcome(outcome).label] = histogram
    return by_route


def _events(slots: list[_Slot]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {name: {} for name in EVENTS}
    for slot in slots:
        for (name, reason), count in slot.events.copy().items():
            reasons = totals.setdefault(name, {})
            reasons[reason] = reasons.get(reason, 0) + count
    return {name: reasons for name, reasons in totals.items() if reasons}


def _refused(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    by_route: dict[str, dict[str, int]] = {}
    for slot in slots:
        for (route, reason), count in slot.refused.copy().items():
            by_reason = by_route.setdefault(names[route], {})
            by_reason[reason] = by_reason.get(reason, 0) + count
    return by_route
