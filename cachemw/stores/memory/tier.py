"""The memory tier: the entries of this process, limited by their bytes.

Reading is one lookup in a dict, without a lock. All writers take one lock. `eviction` decides which
entries make room for others. At most once a second, after a change, it compares the memory that the process
or its container uses with the limits of `pressure`: it reports when pressure begins and ends, and keeps large
entries for a shorter time meanwhile. The callbacks (`on_…`) are called after the lock was released.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from cachemw.engine.model.entry import NEVER, Item
from cachemw.stores.memory.eviction import Sieve
from cachemw.stores.memory.pressure import (
    Limit,
    Pressure,
    PressureChange,
    PressureLevel,
    kept_until,
)

__all__ = ["MemoryTier"]

PUTS_PER_PRUNE = 16
EXAMINED_PER_PRUNE = 2 * PUTS_PER_PRUNE
"""Entries examined every `PUTS_PER_PRUNE` puts. So n/2 puts examine a whole tier of n entries."""
SLICE = 1000
"""Entries examined while the lock is held: about a millisecond."""
TRIM_SHARE = 16
"""Free memory is returned each time that removed large bodies add up to 1/16 of the tier."""
LEAST_TRIM = 2 << 20
"""Bytes. For less, it is not worth walking through all heaps of malloc."""
SECONDS_PER_SAMPLE = 1.0
"""Seconds between two readings of the memory in use. One takes about 50 µs."""


class _Get(Protocol):
    def __call__(self, key: bytes, /) -> Item | None:
        """Return the entry of a digest, or None."""


class MemoryTier:
    """Entries in at most `max_size` bytes of memory. Thread-safe."""

    def __init__(
        self,
        max_size: int,
        *,
        limit: Limit | None = None,
        clock: Callable[[], float] = time.monotonic,
        is_dead: Callable[[Item], bool] = lambda entry: False,
        on_evict: Callable[[int], object] = lambda count: None,
        on_refuse: Callable[[str], object] = lambda reason: None,
        on_pressure: Callable[[PressureChange], object] = lambda change: None,
        on_freed: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin empty.

        `limit` is the memory limit of the process or its container. Without one there is no pressure.
        `is_dead` tells whether an entry was purged.
        `on_freed` is called when a trim is worth it.
        """
        self._cache = Sieve(max_size)
        self._limit = limit
        self._pressure = None if limit is None else Pressure(limit.size)
        self._next_sample = -math.inf
        self._is_dead = is_dead
        self._on_evict = on_evict
        self._on_refuse = on_refuse
        self._on_pressure = on_pressure
        self._on_freed = on_freed
        self._lock = threading.Lock()
        self._clock = clock
        self._sweep: Iterator[bytes] = iter(())
        self._puts = 0
        self._cut_short = 0
        self._trimmed = 0
        self._worth_a_trim = max(max_size // TRIM_SHARE, LEAST_TRIM)
        self.max_size = max_size
        self.get: _Get = self._cache.get
        """Return the entry of a digest, or None. It is the `get` of the dict itself: no lock, no Python.

        It does not mark the entry. A caller that serves the entry sets `entry.visited = True`.
        """

    def put(self, entry: Item) -> bool:
        """Store the entry under its key, replace an older one, and evict others to make room.

        Return False if it was refused: it is larger than an eighth of the tier, or there is no room
        and it is a large entry that comes for the first time. The older entry is removed then too.
        """
        refused = None
        with self._lock:
            self._puts += 1
            if self._puts % PUTS_PER_PRUNE == 0:
                self._prune(self._clock(), EXAMINED_PER_PRUNE)
            before = self._cache.evictions
            try:
                self._cache[entry.key] = entry
                entry.leaves_at = self._leaves_at(entry, self._clock()) if self.pressure else NEVER
            except ValueError as refusal:
                self._discard(entry.key)
                refused = str(refusal)
            evicted = self._cache.evictions - before
        if evicted:
            self._on_evict(evicted)
        if refused:
            self._on_refuse(refused)
        self._check_size()
        return refused is None

    def reset_after_fork(self) -> None:
        """Make a new lock: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def discard(self, key: bytes) -> None:
        """Remove the entry of this digest, if there is one."""
        with self._lock:
            self._discard(key)
        self._check_size()

    def discard_if(self, key: bytes, entry: Item) -> None:
        """Remove the entry of this digest only if it is this object, and not a newer one."""
        with self._lock:
            if self._cache.get(key) is entry:
                del self._cache[key]
        self._check_size()

    def prune(self, now: float, limit: int = SLICE) -> int:
        """Examine at most `limit` entries, and remove those that are useless after `now`.

        Useless entries are those that are over, were purged, or have been kept long enough under
        pressure. Return how many were removed. Each call continues where the last one ended, and
        starts again after the last entry.
        """
        with self._lock:
            gone = self._prune(now, limit)
        self._check_size()
        return gone

    def tidy(self) -> None:
        """Prune as long as most examined entries are useless. Slow: call it in a background thread."""
        while self.prune(self._clock()) > SLICE // 2:
            pass

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._cache.clear()
            self._sweep = iter(())
        self._check_size()

    def entries(self) -> list[Item]:
        """Return the present entries. The tier may change while the caller uses the list."""
        with self._lock:
            keys = list(self._cache)
        return [entry for key in keys if (entry := self.get(key)) is not None]

    @property
    def size(self) -> int:
        """The bytes in use, by `cost`."""
        return self._cache.currsize

    @property
    def evictions(self) -> int:
        """How many entries were evicted so far."""
        return self._cache.evictions

    @property
    def pressure(self) -> PressureLevel:
        """The present level of memory pressure."""
        return self._pressure.level if self._pressure else PressureLevel.NONE

    def __len__(self) -> int:
        return len(self._cache)

    def _discard(self, key: bytes) -> None:
        if key in self._cache:
            del self._cache[key]

    def _prune(self, now: float, limit: int) -> int:
        before = len(self._cache)
        pressed, is_dead = self.pressure is not PressureLevel.NONE, self._is_dead
        for _ in range(min(limit, before)):
            key = next(self._sweep, None)
            if key is None:
                # A copy of the keys, because the dict will change: 40 ms for a million, once per round.
                self._sweep = iter(list(self._cache))
                key = next(self._sweep)
            entry = self._cache.get(key)
            if entry and (
                entry.dies_at <= now
                or is_dead(entry)
                or (pressed and self._stay_is_over(entry, now))
            ):
                del self._cache[key]
        return before - len(self._cache)

    def _stay_is_over(self, entry: Item, now: float) -> bool:
        """Tell whether an entry was kept long enough under pressure. Its time starts now if unset."""
        if entry.leaves_at == NEVER:
            entry.leaves_at = self._leaves_at(entry, now)
            return False
        if entry.leaves_at > now:
            return False
        self._cut_short += 1
        return True

    def _leaves_at(self, entry: Item, now: float) -> float:
        return kept_until(
            now,
            entry.fresh_until,
            entry.dies_at,
            size=len(entry.body),
            mean=self._cache.mean,
            level=self.pressure,
        )

    def _check_size(self) -> None:
        """After a change: report a new level of pressure, and that a trim is worth it."""
        if self._limit and self._pressure:
            self._check_pressure(self._limit, self._pressure)
        if self._cache.freed - self._trimmed >= self._worth_a_trim:
            self._trimmed = self._cache.freed
            self._on_freed()

    def _check_pressure(self, limit: Limit, pressure: Pressure) -> None:
        now = self._clock()
        with self._lock:
            if now < self._next_sample:
                return
            self._next_sample = now + SECONDS_PER_SAMPLE
        used = limit.used()
        if used is None:
            return
        with self._lock:
            change = pressure.step(used, self._cache.evictions + self._cut_short, now)
        if change:
            self._on_pressure(change)
