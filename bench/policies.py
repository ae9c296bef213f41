"""The hit rate of the memory tier, beside other eviction policies, on traces of mixed sizes.

Measured in per cent: hits over requests, and bytes from hits over all bytes. Popularity follows
Zipf's law over 50,000 URLs. Sizes are log-normal (median 8 kB, mean 19 kB), independent of
popularity. In a scan, half of the requests are for URLs that are requested once. The first quarter
of a trace fills the tier and is not counted.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

import cachetools

from bench.effort import Effort
from bench.rows import Row
from cachemw.engine.model.entry import Entry, Position
from cachemw.stores.memory.cost import cost
from cachemw.stores.memory.eviction import Sieve

__all__ = ["POLICIES", "TRACES", "Ratios", "policies", "replay"]

CAP = 64 << 20
_ADDRESSES = 50_000
_LARGEST, _SMALLEST = 2_000_000, 600
_POSITION = Position(bytes(8), 0)
_BODY = bytes(_LARGEST)

Trace = list[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Ratios:
    """Hits over requests, and bytes of bodies from hits over all bytes."""

    objects: float
    bytes: float


class Policy(Protocol):
    """A cache with an eviction policy."""

    def __init__(self, cap: int) -> None: ...

    def request(self, key: bytes, size: int) -> bool:
        """Tell whether the key was there; store it if it was not."""


def _entry(key: bytes, size: int) -> Entry:
    return Entry(
        key=key,
        status=200,
        headers=(),
        body=_BODY[:size],
        route="",
        born=0.0,
        fresh_until=1e9,
        stale_until=1e9,
        stale_error_until=1e9,
        dies_at=1e9,
        position=_POSITION,
    )


class _Plain(Sieve):
    """SIEVE as published, which admits every entry."""

    def _is_let_in(self, key: bytes, size: int) -> bool:
        return True


class _SieveCache:
    kind: type[Sieve]

    def __init__(self, cap: int) -> None:
        self.cache = self.kind(cap)

    def request(self, key: bytes, size: int) -> bool:
        entry = self.cache.get(key)
        if entry:
            entry.visited = True
            return True
        with suppress(ValueError):
            self.cache[key] = _entry(key, size)
        return False


class PlainSieve(_SieveCache):
    """SIEVE without the admission filter."""

    kind = _Plain


class Ours(_SieveCache):
    """SIEVE with the admission filter: the memory tier of cachemw."""

    kind = Sieve


class LRU:
    """Evicts the least recently used entry."""

    def __init__(self, cap: int) -> None:
        self.cache = cachetools.LRUCache[bytes, Entry](cap, getsizeof=cost)

    def request(self, key: bytes, size: int) -> bool:
        if self.cache.get(key):
            return True
        self.cache[key] = _entry(key, size)
        return False


class GDSF:
    """Evicts the entry with the fewest hits per byte (Cherkasova 1998), with a heap, on every hit."""

    def __init__(self, cap: int) -> None:
        self.cap, self.used, self.age = cap, 0, 0.0
        self.kept: dict[bytes, tuple[int, int, float]] = {}
        self.heap: list[tuple[float, bytes]] = []

    def request(self, key: bytes, size: int) -> bool:
        size, count, _ = self.kept.get(key, (cost(_entry(key, size)), 0, 0.0))
        if not count:
            self._make_room(size)
            self.used += size
        value = self.age + (count + 1) / size
        self.kept[key] = (size, count + 1, value)
        heapq.heappush(self.heap, (value, key))
        return count > 0

    def _make_room(self, size: int) -> None:
        while self.used + size > self.cap:
            value, key = heapq.heappop(self.heap)
            if key in self.kept and self.kept[key][2] == value:
                self.age = value
                self.used -= self.kept.pop(key)[0]


POLICIES: dict[str, type[Policy]] = {
    "LRU": LRU,
    "SIEVE": PlainSieve,
    "SIEVE with admission filter": Ours,
    "GDSF": GDSF,
}
TRACES = {
    "Zipf 0.7": (0.7, 0.0),
    "Zipf 0.9": (0.9, 0.0),
    "Zipf 1.1": (1.1, 0.0),
    "Zipf 0.9, and a scan": (0.9, 0.5),
}


def make_trace(name: str, length: int) -> Trace:
    """Return the requests of a trace: keys and sizes."""
    exponent, scan = TRACES[name]
    chance = random.Random(1)
    weights = list(accumulate(1 / (rank + 1) ** exponent for rank in range(_ADDRESSES)))
    sizes: dict[int, int] = {}
    trace = []
    for number in range(length):
        if chance.random() < scan:
            rank = _ADDRESSES + number
        else:
            rank = bisect_left(weights, chance.random() * weights[-1])
        if rank not in sizes:
            drawn = int(chance.lognormvariate(9, 1.3))
            sizes[rank] = min(max(drawn, _SMALLEST), _LARGEST)
        trace.append((random.Random(rank).randbytes(16), sizes[rank]))
    return trace


def replay(trace: Trace, policy: Policy) -> Ratios:
    """Send the requests of a trace to a cache, and return its hit rates."""
    hits = hit_bytes = requested = requested_bytes = 0
    for number, (key, size) in enumerate(trace):
        hit = policy.request(key, size)
        if number >= len(trace) // 4:
            requested, requested_bytes = requested + 1, requested_bytes + size
            hits, hit_bytes = hits + hit, hit_bytes + hit * size
    return Ratios(hits / requested, hit_bytes / requested_bytes)


def policies(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    for trace_name in TRACES:
        trace = make_trace(trace_name, effort.trace)
        found = {name: replay(trace, make(CAP)) for name, make in POLICIES.items()}
        ours, plain = found["SIEVE with admission filter"], found["SIEVE"]
        least = min(ours.objects / plain.objects, ours.bytes / plain.bytes)
        yield Row(
            what=f"hits, and bytes from hits, of a trace: {trace_name}",
            measured="; ".join(
                f"{name} {r.objects:.1%}, {r.bytes:.1%}" for name, r in found.items()
            ),
            must="both ≥ SIEVE",
            verdict="reached" if least >= 1 else "NOT REACHED",
            figures={name: [r.objects, r.bytes] for name, r in found.items()},
        )
