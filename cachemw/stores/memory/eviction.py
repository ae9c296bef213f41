"""Eviction: SIEVE, with an admission filter for large entries.

Theory of operation. SIEVE is from Zhang et al., "SIEVE is Simpler than LRU: an Efficient Turn-Key Eviction
Algorithm for Web Caches", NSDI 2024. Entries stay in the order of their arrival. A hit only sets one
bit, `visited`. When room is needed, a *hand* moves from the oldest entry towards the newest:

- If the entry is visited, the hand clears the bit and moves on. The entry keeps its place.
- If not, the entry is evicted.
- After the newest entry, the hand continues at the oldest.

So requests for keys that are asked for only once (a crawler, random keys) evict each other, and entries
that are hit stay. A hit takes no lock and moves nothing, unlike LRU.

The order is kept in two queues of keys, split at the hand:

    oldest ── behind (passed by the hand) ── hand ── ahead (not yet passed) ── newest

The hand takes the left end of `ahead`, and either evicts it or appends it to `behind`. A new key is
appended to `ahead`. When `ahead` is empty, the two queues are swapped. Each step is O(1), and a place in
a queue costs 8 bytes.

A key that is removed (purged, expired) is not searched for in the queues: its place remains as a
*ghost*, and the hand drops it when it comes to it. If the same key is stored again before that, it gets
its old place. When there are more ghosts than entries, the queues are rebuilt without them, so they
cannot grow without limit (I4).

Admission. One large entry may evict many small ones that are asked for just as often. So when there is no
room, an entry larger than twice the mean is stored only the second time that it comes. CDNs do the same
with all entries ("cache on second hit": Maggs and Sitaraman, CCR 2015). The memory of first times is a
filter with two generations, like the doorkeeper of TinyLFU (Einziger et al., ACM ToS 2017). In
`bench/policies.py` this gives more hits than SIEVE alone, and more bytes from hits, for every trace.

Sizes are not stored. The `cost` of an entry does not change while it is stored (see `interning`), so
it is computed again when the entry is removed. Nobody may therefore replace the body, the headers or
the tags of a stored entry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from cachemw.engine.model.entry import Item
from cachemw.stores.memory.cost import PAGE, cost

__all__ = ["Sieve"]

LARGEST_SHARE = 8
"""An entry may take at most one eighth of the tier, so that one body cannot empty it."""
LARGE = 2
"""An entry is large if it costs more than this many times the mean."""
FEW_GHOSTS = 64
"""Fewer ghosts than this are not worth a rebuild."""


class Doorkeeper:
    """A filter of 64 KiB that remembers recent keys: one bit for each, in two generations.

    Keys are keyed digests, so nobody outside can choose which bit a key sets. At most one eighth of
    the bits of a generation are set. So at most a quarter of the new keys seem to be known.
    """

    BITS = 1 << 18
    KEPT = BITS // 8

    def __init__(self) -> None:
        self._young = bytearray(self.BITS // 8)
        self._old = bytearray(self.BITS // 8)
        self._count = 0

    def seen_before(self, key: bytes) -> bool:
        """Tell whether this key came recently, and remember it."""
        number = int.from_bytes(key[:4], "big") % self.BITS
        byte, bit = number >> 3, 1 << (number & 7)
        known = bool((self._young[byte] | self._old[byte]) & bit)
        if not self._young[byte] & bit:
            if self._count >= self.KEPT:
                self._old, self._young, self._count = self._young, bytearray(self.BITS // 8), 0
            self._young[byte] |= bit
            self._count += 1
        return known


class Sieve:
    """A dict that holds entries of at most `maxsize` bytes. Writers need a lock of their own.

    It is not a cache class of a library, so that `get` can be the method of the dict itself. A memory
    hit calls it, and no Python code runs for it.
    """

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self._entries: dict[bytes, Item] = {}
        self.get = self._entries.get
        """Return the entry of a digest, or None."""
        self._bytes = 0
        self._ahead: deque[bytes] = deque()
        self._behind: deque[bytes] = deque()
        self._ghosts: set[bytes] = set()
        self._doorkeeper = Doorkeeper()
        self.evictions = 0
        self.freed = 0
        """Bytes of removed entries with bodies larger than a page. Only those leave holes in the heap."""

    @property
    def currsize(self) -> int:
        """The bytes that all entries cost together."""
        return self._bytes

    @property
    def mean(self) -> float:
        """The average cost of an entry, in bytes."""
        return self._bytes / max(1, len(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __setitem__(self, key: bytes, entry: Item) -> None:
        """Store the entry. Raises ValueError with the reason if it is not admitted."""
        size = cost(entry)
        if size * LARGEST_SHARE > self.maxsize:
            raise ValueError("too-large")
        old = self.get(key)
        if not old and self._bytes + size > self.maxsize and not self._is_admitted(key, size):
            raise ValueError("first-time")
        freed = cost(old) if old else 0
        while old and self._bytes - freed + size > self.maxsize:
            self.popitem()
            old = self.get(key)
        if old:
            self._subtract(old, freed)
        else:
            while self._bytes + size > self.maxsize:
                self.popitem()
            if key in self._ghosts:
                self._ghosts.remove(key)
            else:
                self._ahead.append(key)
        # A replaced entry was asked for, or it would not have been made again. A new one starts unvisited.
        entry.visited = old is not None
        self._entries[key] = entry
        self._bytes += size

    def _is_admitted(self, key: bytes, size: int) -> bool:
        """Tell whether a new key may evict others. One that still has a ghost was stored recently."""
        return size <= LARGE * self.mean or key in self._ghosts or self._doorkeeper.seen_before(key)

    def __delitem__(self, key: bytes) -> None:
        """Remove the entry. Its place in the order remains as a ghost."""
        self._remove(key)
        self._ghosts.add(key)
        if len(self._ghosts) > len(self._entries) + FEW_GHOSTS:
            self._ahead = deque(k for k in self._ahead if k not in self._ghosts)
            self._behind = deque(k for k in self._behind if k not in self._ghosts)
            self._ghosts.clear()
            self._wrap_around()

    def popitem(self) -> tuple[bytes, Item]:
        """Move the hand to the next entry that is not visited, and evict it."""
        while self._entries:
            key = self._ahead.popleft()
            if key in self._ghosts:
                self._ghosts.remove(key)
            elif (entry := self._entries[key]).visited:
                entry.visited = False
                self._behind.append(key)
            else:
                self._remove(key)
                self._wrap_around()
                self.evictions += 1
                return key, entry
            self._wrap_around()
        raise KeyError("the tier is empty")

    def clear(self) -> None:
        """Remove all entries."""
        self.freed += self._bytes
        self._entries.clear()  # keep this dict object: `get` is bound to it
        self._ahead.clear()
        self._behind.clear()
        self._ghosts.clear()
        self._bytes = 0

    def _wrap_around(self) -> None:
        """Continue at the oldest entry once the hand is past the newest. Call it before a key is added."""
        if not self._ahead:
            self._ahead, self._behind = self._behind, self._ahead

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        self._subtract(entry, cost(entry))

    def _subtract(self, entry: Item, size: int) -> None:
        self._bytes -= size
        if len(entry.body) > PAGE:
            self.freed += size
