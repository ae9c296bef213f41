"""The memory tier: entries of this process, bounded by bytes of it. What goes first is in `sieve`.

Reads are one lookup in a dict, without a lock; all writers take the one lock. The tier watches its
own size: it says when pressure begins and ends (`engine/pressure.py`), and shortens the stay of what
is large meanwhile. Whatever calls back (`on_…`) does so when the lock is free again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from cachemw.engine.model.entry import NEVER, Item
from cachemw.stores.memory.eviction import Sieve
from cachemw.stores.memory.pressure import Change, Level, Pressure, kept_until

__all__ = ["MemoryTier"]

PUTS_PER_PRUNE = 16
EXAMINED_PER_PRUNE = 2 * PUTS_PER_PRUNE
"""Entries looked at once in so many puts: n/2 puts sweep a tier of n."""
SLICE = 1000
"""Entries looked at under one hold of the lock: about a millisecond."""
TRIM_SHARE = 16
"""Each time that large bodies of this fraction of the tier have gone, memory is given back."""
LEAST_TRIM = 2 << 20
"""Bytes below which that is not worth a walk through all that malloc has."""


class _Get(Protocol):
    def __call__(self, key: bytes, /) -> Item | None:
        """Look up one digest."""


class MemoryTier:
    """Keep entries in at most `max_size` bytes of memory. Thread-safe."""

    def __init__(
        self,
        max_size: int,
        *,
        planned_size: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        is_dead: Callable[[Item], bool] = lambda entry: False,
        on_evict: Callable[[int], object] = lambda count: None,
        on_refuse: Callable[[str], object] = lambda reason: None,
        on_pressure: Callable[[Change], object] = lambda change: None,
        on_freed: Callable[[], object] = lambda: None,
    ) -> None:
        """`is_dead` says whether an entry was purged; `on_freed` hears when a `trim` is worth it."""
        self._cache = Sieve(max_size)
        self._pressure = Pressure(max_size, planned_size)
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
        """Return the entry under a digest, or None. Lock-free.

        It marks nothing: a caller that serves the entry sets `entry.visited = True`.
        """

    def put(self, entry: Item) -> bool:
        """Store the entry under its key, in place of an older one, evicting others for room.

        Return False when it is larger than an eighth of the tier: then the older one goes too. Or
        when it is larger than most, there is no room, and nobody asked for it before.
        """
        refused = None
        with self._lock:
            self._puts += 1
            if self._puts % PUTS_PER_PRUNE == 0:
                self._prune(self._clock(), EXAMINED_PER_PRUNE)
            before = self._cache.evictions
            try:
                self._cache[entry.key] = entry
                pressed = self._pressure.level
                entry.leaves_at = self._leaves_at(entry, self._clock()) if pressed else NEVER
            except ValueError as refusal:
                self._discard(entry.key)
                refused = str(refusal)
            evicted = self._cache.evictions - before
        if evicted:
            self._on_evict(evicted)
        if refused:
            self._on_refuse(refused)
        self._look()
        return refused is None

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def discard(self, key: bytes) -> None:
        """Remove the entry under this digest, if there is one."""
        with self._lock:
            self._discard(key)
        self._look()

    def discard_if(self, key: bytes, entry: Item) -> None:
        """Remove the entry under this digest only while it is this very object, not a newer one."""
        with self._lock:
            if self._cache.get(key) is entry:
                del self._cache[key]
        self._look()

    def prune(self, now: float, limit: int = SLICE) -> int:
        """Remove entries that are of no use after `now`, looking at `limit` at most.

        Of no use is what is over, was purged, or under pressure has had its time. Return how many
        went. Successive calls go on where the last one ended, round and round.
        """
        with self._lock:
            gone = self._prune(now, limit)
        self._look()
        return gone

    def tidy(self) -> None:
        """Prune for as long as most of what is looked at goes; that may take long, so do it in a thread."""
        while self.prune(self._clock()) > SLICE // 2:
            pass

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._cache.clear()
            self._sweep = iter(())
        self._look()

    def entries(self) -> list[Item]:
        """Return the entries of this moment; others may come and go while the caller looks."""
        with self._lock:
            keys = list(self._cache)
        return [entry for key in keys if (entry := self.get(key)) is not None]

    @property
    def size(self) -> int:
        """The bytes in use, by `cost`."""
        return self._cache.currsize

    @property
    def evictions(self) -> int:
        """How many entries had to make room for others so far."""
        return self._cache.evictions

    @property
    def pressure(self) -> Level:
        """How hard memory is pressed."""
        return self._pressure.level

    def __len__(self) -> int:
        return len(self._cache)

    def _discard(self, key: bytes) -> None:
        if key in self._cache:
            del self._cache[key]

    def _prune(self, now: float, limit: int) -> int:
        before = len(self._cache)
        pressed, is_dead = self._pressure.level is not Level.NONE, self._is_dead
        for _ in range(min(limit, before)):
            key = next(self._sweep, None)
            if key is None:
                # A copy of the keys, since the dict will change: 40 ms for a million, once a round.
                self._sweep = iter(list(self._cache))
                key = next(self._sweep)
            entry = self._cache.get(key)
            if entry and (
                entry.dies_at <= now or is_dead(entry) or (pressed and self._is_over(entry, now))
            ):
                del self._cache[key]
        return before - len(self._cache)

    def _is_over(self, entry: Item, now: float) -> bool:
        """Say whether pressure ends an entry's stay; one from before the pressure has it from now on."""
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
            level=self._pressure.level,
        )

    def _look(self) -> None:
        """See what a change of the size, or what has gone since the last look, calls for."""
        if not self._pressure.low <= self._cache.currsize < self._pressure.high:
            with self._lock:
                shed = self._cache.evictions + self._cut_short
                change = self._pressure.step(self._cache.currsize, shed, self._clock())
            if change:
                self._on_pressure(change)
        if self._cache.freed - self._trimmed >= self._worth_a_trim:
            self._trimmed = self._cache.freed
            self._on_freed()
