"""Count requests on plain per-thread integers: counting costs nanoseconds and takes no lock.

Only the thread that holds a slot writes to it; a snapshot adds all slots up. When a thread ends its
slot, counts and all, is handed to the next new thread: nothing is lost or copied, and the number of
slots is the largest number of threads that ever ran at once, also in thread-per-request servers.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.events import BOUNDS, EVENT_LABELS, EventName
from cachemw.telemetry.stats import Gauges, Histogram, Stats

__all__ = [
    "MAX_REASONS",
    "OTHER",
    "UNLISTED",
    "UNLISTED_NAME",
    "Counters",
    "Gauges",
    "Histogram",
    "Outcome",
    "Stats",
]

WIDTH: Final = len(Outcome)
"""Cells per route."""

UNLISTED: Final = -1
"""The route index of requests that match no route; the last row of cells is theirs."""

UNLISTED_NAME: Final = "(unlisted)"
"""Their name in statistics: no route can be called so."""

MAX_REASONS: Final = 32
"""Distinct reasons kept per event, so that a reason made from input cannot grow memory (I4)."""

OTHER: Final = "other"
"""Where the reasons beyond MAX_REASONS are counted."""

_ROW: Final = len(BOUNDS) + 2  # a cell per bucket, one for what is longer, and the sum of seconds

EventKey = tuple[EventName, str]


class _Slot:
    """The cells that one thread at a time writes."""

    __slots__ = ("cells", "events", "failures", "refused", "rows")

    def __init__(self, routes: int) -> None:
        self.cells = [0] * (routes * WIDTH)
        self.failures: dict[int, int] = {}
        """Of the cells that count any, by their index."""
        self.rows: dict[int, list[float]] = {}
        """Histograms by the index of their cell, made at the first observation."""
        self.events: dict[EventKey, int] = {}
        self.refused: dict[tuple[int, str], int] = {}
        """By the index of the route, and the reason."""


class _Lease:
    """Gives the slot back when the thread's locals are dropped.

    The finaliser may run at any point of any thread, so it takes no lock: `deque.append` is atomic.
    """

    __slots__ = ("free", "slot")

    def __init__(self, slot: _Slot, free: deque[_Slot]) -> None:
        self.slot = slot
        self.free = free

    def __del__(self) -> None:
        self.free.append(self.slot)


class _Local(threading.local):
    """What the running thread counts on; `__init__` runs once in every thread that looks."""

    def __init__(self, pool: _Pool) -> None:
        self.slot = pool.take()
        self.cells = self.slot.cells
        self.lease = _Lease(self.slot, pool.free)


class _Pool:
    """All slots of one process life."""

    def __init__(self, routes: int) -> None:
        self.routes = routes
        self.lock = threading.Lock()
        self.slots: list[_Slot] = []
        self.free: deque[_Slot] = deque()
        self.known: set[EventKey] = set()

    def take(self) -> _Slot:
        """Return a slot that an ended thread left, or a new one."""
        try:
            return self.free.popleft()
        except IndexError:
            slot = _Slot(self.routes)
        with self.lock:
            self.slots.append(slot)
        return slot

    def admit(self, name: EventName, reason: str) -> EventKey:
        """Return the key to count under: OTHER once the event has MAX_REASONS of them."""
        key = (name, reason)
        with self.lock:
            if key not in self.known:
                if sum(known == name for known, _ in self.known) >= MAX_REASONS:
                    return name, OTHER
                self.known.add(key)
        return key

    def all(self) -> list[_Slot]:
        with self.lock:
            return self.slots.copy()


class Counters:
    """The counts of one process.

    `counters.local.cells[route * len(Outcome) + outcome] += 1` is the cheapest way to count; fetch
    `local` anew each time, since another thread's cells must not be written and a fork replaces it.
    """

    def __init__(self, route_names: Sequence[str]) -> None:
        self.route_names = (*route_names, UNLISTED_NAME)
        """Names by route index, the last one for UNLISTED."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start from zero: what the parent counted is in the parent's statistics.

        Also replaces the lock, which a thread that the fork did not copy may have held.
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
        """Add a duration to the histogram of the route and the outcome."""
        rows = self.local.slot.rows
        cell = route * WIDTH + outcome
        try:
            row = rows[cell]
        except KeyError:
            row = rows[cell] = [0] * _ROW
        row[bisect_left(BOUNDS, seconds)] += 1
        row[-1] += seconds

    def record(self, route: int, outcome: int, seconds: float) -> None:
        """Count one request and its duration: `count` and `observe` in one call."""
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
        """Count that a request, which is counted already, was answered with a failure."""
        slot = self.local.slot
        cell = (route % len(self.route_names)) * WIDTH + outcome
        slot.failures[cell] = slot.failures.get(cell, 0) + 1

    def event(self, name: EventName, reason: str = "", count: int = 1) -> None:
        """Count something that happened beside the requests; `reason` is a short, stable word."""
        events = self.local.slot.events
        key = (name, reason)
        if key not in events:
            key = self._pool.admit(name, reason)
            events.setdefault(key, 0)
        events[key] += count

    def refuse(self, route: int, reason: str) -> None:
        """Count that an answer of the route was not kept: as an event, and under its route.

        There are as many reasons of a route at most as there are of the event.
        """
        self.event("not_stored", reason)
        refused = self.local.slot.refused
        key = (route, reason)
        if key not in refused:
            key = (route, self._pool.admit("not_stored", reason)[1])
        refused[key] = refused.get(key, 0) + 1

    def snapshot(self, gauges: Gauges | None = None) -> Stats:
        """Add up all threads' cells and read the gauges."""
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
    # Route by route: one pass over everything would keep the interpreter from other threads.
    found: dict[str, dict[str, int]] = {}
    for index, name in enumerate(names):
        start = index * WIDTH
        rows = [slot.cells[start : start + WIDTH] for slot in slots]
        totals = list(map(sum, zip(*rows, strict=True)))
        if any(totals):
            found[name] = {o.label: n for o, n in zip(Outcome, totals, strict=True) if n}
    return found


def _failures(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for slot in slots:
        for cell, count in slot.failures.copy().items():
            route, outcome = divmod(cell, WIDTH)
            label = Outcome(outcome).label
            by_label = found.setdefault(names[route], {})
            by_label[label] = by_label.get(label, 0) + count
    return found


def _durations(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, Histogram]]:
    rows: dict[int, list[list[float]]] = {}
    for slot in slots:
        # `copy` is one step of the interpreter, so a thread adding a key meanwhile does no harm.
        for cell, row in slot.rows.copy().items():
            rows.setdefault(cell % (len(names) * WIDTH), []).append(row)
    found: dict[str, dict[str, Histogram]] = {}
    for cell in sorted(rows):
        route, outcome = divmod(cell, WIDTH)
        *buckets, seconds = map(sum, zip(*rows[cell], strict=True))
        histogram = Histogram(tuple(map(int, buckets)), round(seconds * 1e9))
        found.setdefault(names[route], {})[Outcome(outcome).label] = histogram
    return found


def _events(slots: list[_Slot]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {name: {} for name in EVENT_LABELS}
    for slot in slots:
        for (name, reason), count in slot.events.copy().items():
            reasons = totals.setdefault(name, {})
            reasons[reason] = reasons.get(reason, 0) + count
    return {name: reasons for name, reasons in totals.items() if reasons}


def _refused(slots: list[_Slot], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for slot in slots:
        for (route, reason), count in slot.refused.copy().items():
            by_reason = found.setdefault(names[route], {})
            by_reason[reason] = by_reason.get(reason, 0) + count
    return found
