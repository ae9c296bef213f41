"""The memory tier: entries of this process, bounded by bytes, evicted by SIEVE.

SIEVE (Zhang et al., NSDI 2024) keeps entries in order of arrival and moves none of them. A hit sets
one bit. When room is needed, a hand walks from the oldest towards the newest: an entry with the bit
set loses it and stays where it is, one without is evicted; past the newest, the hand starts again
at the oldest. One pass of requests that never come back (a crawler, random keys) evicts itself and
leaves what is hit in place. A hit takes no lock and writes nothing that other threads wait for.

The order is two queues of keys, split where the hand stands:

    oldest ── behind (passed by the hand) ── hand ── ahead (not yet passed) ── newest

The hand takes the left end of `ahead` and either evicts it or appends it to `behind`; a new key is
appended to `ahead`; as soon as `ahead` is empty, the queues swap. Every step is O(1), and a place
costs 8 bytes. A key that is discarded leaves its place as a *ghost*, which the hand drops when it
comes by; a ghost's key that is put again before that takes its old place. When ghosts outnumber
entries, the queues are rebuilt without them, so that purging and filling cannot make them grow.

Reads are one lookup in a dict, without a lock; all writers take the one lock. Sizes are not stored:
`cost` of an entry never changes while it is here (see `interning`), so it is worked out again on
the way out. That holds as long as nobody replaces an entry's body, fields or tags after `put`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, cast

import cachetools

from cachemw.engine.entry import Entry
from cachemw.stores.interning import is_shared_name, own_pairs

__all__ = ["MemoryTier", "cost"]

LARGEST_SHARE = 8
"""An entry may take at most this fraction (one eighth) of the tier: one body must not empty it."""
PUTS_PER_PRUNE = 16
EXAMINED_PER_PRUNE = 2 * PUTS_PER_PRUNE
"""Entries looked at for expiry once in so many puts: n/2 puts sweep a tier of n."""
FEW_GHOSTS = 64
"""Below this many, ghosts are not worth a rebuild."""

# Bytes on a 64-bit CPython, each rounded up to the allocator's 16.
_BYTES_OVERHEAD = 33
_TEXT_OVERHEAD = 49
_TUPLE_OVERHEAD = 40  # with the garbage collector's 16
_PAIR = 64  # a tuple of two
_FLOAT = 32
_POSITION = 48  # 80 with its 128-bit integer, shared by all that was begun between two purges
_ENTRY_OBJECT = 144
_INDEX_SLOT = 56  # dict: 24 bytes an entry and 4-8 an index, between 1/3 and 2/3 full
_ORDER_SLOT = 16  # a place in the queues, one in the sweep
FIXED_COST = _ENTRY_OBJECT + 4 * _FLOAT + _POSITION + _INDEX_SLOT + _ORDER_SLOT


def cost(entry: Entry) -> int:
    """Estimate the bytes of memory that this entry alone keeps, the tier's own structures included.

    What it shares with other entries (interned fields, the route's name, the epoch) is not counted.
    """
    total = FIXED_COST + _sized(entry.body) + _sized(entry.key) + _tuple(len(entry.headers))
    for name, value in own_pairs(entry.headers):
        total += _PAIR + _sized(value)
        if not is_shared_name(name):
            total += _sized(name)
    if entry.tags:
        total += _tuple(len(entry.tags))
        for tag in entry.tags:
            total += (_TEXT_OVERHEAD + len(tag) + 15) & ~15
    if entry.vary:
        total += _tuple(len(entry.vary))
        for name, selected in entry.vary:
            total += _PAIR + _sized(name) + (_sized(selected) if selected else 0)
    return total


def _sized(value: bytes) -> int:
    return (_BYTES_OVERHEAD + len(value) + 15) & ~15


def _tuple(length: int) -> int:
    return (_TUPLE_OVERHEAD + 8 * length + 15) & ~15


class _Sieve(cachetools.Cache[bytes, Entry]):
    """cachetools' mapping with SIEVE as its policy and bytes as its size. Not thread-safe to write.

    cachetools is left to believe that every entry counts one, for then it keeps no second dict of
    sizes; the count cannot reach `maxsize`, since no entry costs a single byte.
    """

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._bytes = 0
        self._ahead: deque[bytes] = deque()
        self._behind: deque[bytes] = deque()
        self._ghosts: set[bytes] = set()
        self.evictions = 0

    @property
    def currsize(self) -> int:
        """The bytes that all entries cost."""
        return self._bytes

    def __missing__(self, key: bytes) -> Entry:
        return None  # type: ignore[return-value]  # `cache[key]` is the tier's lookup, see MemoryTier.get

    def __setitem__(self, key: bytes, entry: Entry) -> None:
        """Store the entry; raises ValueError, as cachetools does, when it is too large."""
        size = cost(entry)
        if size * LARGEST_SHARE > self.maxsize:
            raise ValueError("value too large")
        old = self[key]
        freed = cost(old) if old else 0
        while old and self._bytes - freed + size > self.maxsize:
            self.popitem()
            old = self[key]
        if old:
            self._bytes -= freed
        else:
            while self._bytes + size > self.maxsize:
                self.popitem()
            if key in self._ghosts:
                self._ghosts.remove(key)
            else:
                self._ahead.append(key)
        # A replacement was asked for, or would not have been made; a new key has it all to prove.
        entry.visited = old is not None
        super().__setitem__(key, entry)
        self._bytes += size

    def __delitem__(self, key: bytes) -> None:
        """Remove the entry and leave its place in the order as a ghost."""
        self._remove(key)
        self._ghosts.add(key)
        if len(self._ghosts) > len(self) + FEW_GHOSTS:
            self._ahead = deque(k for k in self._ahead if k not in self._ghosts)
            self._behind = deque(k for k in self._behind if k not in self._ghosts)
            self._ghosts.clear()
            self._turn()

    def popitem(self) -> tuple[bytes, Entry]:
        """Move the hand on to an entry that was not hit since it last came by, and evict it."""
        while self:
            key = self._ahead.popleft()
            if key in self._ghosts:
                self._ghosts.remove(key)
            elif (entry := self[key]).visited:
                entry.visited = False
                self._behind.append(key)
            else:
                self._remove(key)
                self._turn()
                self.evictions += 1
                return key, entry
            self._turn()
        raise KeyError("the tier is empty")

    def clear(self) -> None:
        """Drop everything."""
        evictions = self.evictions
        super().clear()  # by popitem() in older releases of cachetools
        self.evictions = evictions
        self._ahead.clear()
        self._behind.clear()
        self._ghosts.clear()
        self._bytes = 0

    def _turn(self) -> None:
        """Start again at the oldest once the hand is past the newest, before a key is added."""
        if not self._ahead:
            self._ahead, self._behind = self._behind, self._ahead

    def _remove(self, key: bytes) -> None:
        self._bytes -= cost(self[key])
        super().__delitem__(key)


class _Get(Protocol):
    def __call__(self, key: bytes) -> Entry | None:
        """Look up one digest."""


class MemoryTier:
    """Keep entries in at most `max_size` bytes of memory. Thread-safe."""

    def __init__(
        self,
        max_size: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_evict: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._cache = _Sieve(max_size)
        self._on_evict = on_evict
        self._lock = threading.Lock()
        self._clock = clock
        self._sweep: Iterator[bytes] = iter(())
        self._puts = 0
        self.max_size = max_size
        self.get = cast(_Get, self._cache.__getitem__)
        """Return the entry under a digest, or None. Lock-free.

        It marks nothing: a caller that serves the entry sets `entry.visited = True`.
        """

    def put(self, entry: Entry) -> bool:
        """Store the entry under its key, in place of an older one, evicting others for room.

        Return False when it is larger than an eighth of the tier: then the older one goes too.
        """
        with self._lock:
            self._puts += 1
            if self._puts % PUTS_PER_PRUNE == 0:
                self._prune(self._clock(), EXAMINED_PER_PRUNE)
            before = self._cache.evictions
            try:
                self._cache[entry.key] = entry
            except ValueError:
                self._discard(entry.key)
                return False
            if evicted := self._cache.evictions - before:
                self._on_evict(evicted)
            return True

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def discard(self, key: bytes) -> None:
        """Remove the entry under this digest, if there is one."""
        with self._lock:
            self._discard(key)

    def discard_if(self, key: bytes, entry: Entry) -> None:
        """Remove the entry under this digest only while it is this very object, not a newer one."""
        with self._lock:
            if self._cache[key] is entry:
                del self._cache[key]

    def prune(self, now: float, limit: int = 1000) -> int:
        """Remove entries that are of no use after `now`, looking at `limit` at most.

        Return how many went. Successive calls go on where the last one ended, round and round.
        """
        with self._lock:
            return self._prune(now, limit)

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._cache.clear()
            self._sweep = iter(())

    def entries(self) -> list[Entry]:
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

    def __len__(self) -> int:
        return len(self._cache)

    def _discard(self, key: bytes) -> None:
        if key in self._cache:
            del self._cache[key]

    def _prune(self, now: float, limit: int) -> int:
        before = len(self._cache)
        for _ in range(min(limit, before)):
            key = next(self._sweep, None)
            if key is None:
                # A copy of the keys, since the dict will change: 40 ms for a million, once a round.
                self._sweep = iter(list(self._cache))
                key = next(self._sweep)
            entry = self._cache[key]
            if entry and entry.dies_at <= now:
                del self._cache[key]
        return before - len(self._cache)
