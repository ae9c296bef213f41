"""Which entries memory keeps: SIEVE, with a door for what is large.

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

**The door.** An eviction for one large entry may cost many small ones that are asked for as often. So
where there is no room, an entry larger than twice the mean is let in the second time that it comes, as a
CDN does with everything ("cache on second hit": Maggs and Sitaraman, CCR 2015); its memory of what
came is a filter of two generations, as TinyLFU's doorkeeper is (Einziger et al., ACM ToS 2017). In
`bench/policies.py` it gives more hits than SIEVE alone, and more bytes from hits, for every trace.

Sizes are not stored: `cost` of an entry never changes while it is here (see `interning`), so it is
worked out again on the way out. That holds as long as nobody replaces an entry's body, fields or
tags after it was put.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from cachemw.engine.model.entry import Item
from cachemw.stores.memory.cost import PAGE, cost

__all__ = ["Sieve"]

LARGEST_SHARE = 8
"""An entry may take at most this fraction (one eighth) of the tier: one body must not empty it."""
LARGE = 2
"""Times the mean beyond which an entry is large."""
FEW_GHOSTS = 64
"""Below this many, ghosts are not worth a rebuild."""


class Door:
    """Remembers in 64 KiB which keys came by lately: one bit for each, in two generations.

    Keys are keyed digests: nobody outside can choose which bits theirs are. At worst an eighth of a
    generation's bits are set, and so at most a quarter of strangers taken for acquaintances.
    """

    BITS = 1 << 18
    KEPT = BITS // 8

    def __init__(self) -> None:
        self._young = bytearray(self.BITS // 8)
        self._old = bytearray(self.BITS // 8)
        self._count = 0

    def knows(self, key: bytes) -> bool:
        """Say whether this key came by lately, and remember it from now on."""
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
    """A dict that holds at most so many bytes of entries. Not thread-safe to write.

    It is no mapping of a library's: a lookup is the dict's own, which calls no Python, for the path
    that must cost nothing has one in it.
    """

    def __init__(self, maxsize: int) -> None:
        self.maxsize = maxsize
        self._entries: dict[bytes, Item] = {}
        self.get = self._entries.get
        """Give the entry under a digest, or None."""
        self._bytes = 0
        self._ahead: deque[bytes] = deque()
        self._behind: deque[bytes] = deque()
        self._ghosts: set[bytes] = set()
        self._door = Door()
        self.evictions = 0
        self.freed = 0
        """Bytes of entries that went, and whose bodies were larger than a page."""

    @property
    def currsize(self) -> int:
        """The bytes that all entries cost."""
        return self._bytes

    @property
    def mean(self) -> float:
        """What an entry costs on average."""
        return self._bytes / max(1, len(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __setitem__(self, key: bytes, entry: Item) -> None:
        """Store the entry; raises ValueError with the reason why it may not come in."""
        size = cost(entry)
        if size * LARGEST_SHARE > self.maxsize:
            raise ValueError("too-large")
        old = self.get(key)
        if not old and self._bytes + size > self.maxsize and not self._is_let_in(key, size):
            raise ValueError("first-time")
        freed = cost(old) if old else 0
        while old and self._bytes - freed + size > self.maxsize:
            self.popitem()
            old = self.get(key)
        if old:
            self._take_off(old, freed)
        else:
            while self._bytes + size > self.maxsize:
                self.popitem()
            if key in self._ghosts:
                self._ghosts.remove(key)
            else:
                self._ahead.append(key)
        # A replacement was asked for, or would not have been made; a new key has it all to prove.
        entry.visited = old is not None
        self._entries[key] = entry
        self._bytes += size

    def _is_let_in(self, key: bytes, size: int) -> bool:
        """Say whether a new key may have others evicted for it; a ghost's was here a moment ago."""
        return size <= LARGE * self.mean or key in self._ghosts or self._door.knows(key)

    def __delitem__(self, key: bytes) -> None:
        """Remove the entry and leave its place in the order as a ghost."""
        self._remove(key)
        self._ghosts.add(key)
        if len(self._ghosts) > len(self._entries) + FEW_GHOSTS:
            self._ahead = deque(k for k in self._ahead if k not in self._ghosts)
            self._behind = deque(k for k in self._behind if k not in self._ghosts)
            self._ghosts.clear()
            self._turn()

    def popitem(self) -> tuple[bytes, Item]:
        """Move the hand on to an entry that was not hit since it last came by, and evict it."""
        while self._entries:
            key = self._ahead.popleft()
            if key in self._ghosts:
                self._ghosts.remove(key)
            elif (entry := self._entries[key]).visited:
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
        self.freed += self._bytes
        self._entries.clear()  # the very dict: `get` is bound to it
        self._ahead.clear()
        self._behind.clear()
        self._ghosts.clear()
        self._bytes = 0

    def _turn(self) -> None:
        """Start again at the oldest once the hand is past the newest, before a key is added."""
        if not self._ahead:
            self._ahead, self._behind = self._behind, self._ahead

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key)
        self._take_off(entry, cost(entry))

    def _take_off(self, entry: Item, size: int) -> None:
        self._bytes -= size
        if len(entry.body) > PAGE:
            self.freed += size
