"""A Redis tier that fails at random, in the same way for the same seed.

It sits between the cache and its Redis tier. The server itself is not changed. The faults are:

    errors   a read or write raises StoreUnavailable, as when Redis is away
    delays   a read or write takes `delay`; if that exceeds `redis.deadline`, it fails at the deadline
    losses   a write is not made, and no error is raised
    misses   a read finds nothing, as after an eviction
    mixups   a read gets bytes that belong to another key, which the tier must detect and reject

The breaker does not see these faults and never opens, however many there are in a row; use
ChaosProxy to test the breaker. The invalidation log and the leases do not pass through here.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from cachemw.config.syntax.units import duration
from cachemw.engine.model.entry import Item, Key
from cachemw.errors import StoreUnavailable

if TYPE_CHECKING:
    from cachemw.cache import Cache
    from cachemw.stores.base import SharedTier

__all__ = ["ChaosStore", "chaos"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probabilities:
    """The probability of each fault, for one read or write."""

    errors: float
    delays: float
    losses: float
    misses: float
    mixups: float

    def __post_init__(self) -> None:
        for name in ("errors", "delays", "losses", "misses", "mixups"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name}: expected a probability from 0 to 1, got {getattr(self, name)}"
                )
        if self.errors + self.losses > 1 or self.errors + self.misses + self.mixups > 1:
            raise ValueError(
                "the probabilities of all faults of a read (errors, misses, mixups), or of a write"
                " (errors, losses), must add up to at most 1"
            )

    def on_read(self) -> tuple[tuple[str, float], ...]:
        return ("errors", self.errors), ("misses", self.misses), ("mixups", self.mixups)

    def on_write(self) -> tuple[tuple[str, float], ...]:
        return ("errors", self.errors), ("losses", self.losses)


class _Fault(NamedTuple):
    """The fault of one read or write, if any."""

    kind: str
    """A name from the module's table; empty for none."""
    delayed: bool


class ChaosStore:
    """A shared tier that fails at random, around the real one. Thread-safe; made by `chaos`."""

    def __init__(
        self, cache: Cache, tier: SharedTier, probabilities: _Probabilities, delay: float, seed: int
    ) -> None:
        self._tier = tier
        self._probabilities = probabilities
        self._count = cache._core.reporter.count
        deadline = cache.config.redis.deadline if cache.config.redis else delay
        self._pause = min(delay, deadline)
        self._too_slow = delay > deadline
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def reachable(self, key: Key) -> bool:
        """Tell whether the tier may be asked for a key."""
        return self._tier.reachable(key)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of `reads` and `writes`, and of each fault by its name."""
        with self._lock:
            return Counter(self._counts)

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry, possibly with a fault."""
        fault = self._choose("reads", self._probabilities.on_read())
        if fault.delayed:
            time.sleep(self._pause)
        self._raise_for(fault, "get")
        return None if fault.kind == "misses" else self._tier.get(_key_to_read(key, fault), epoch)

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry, possibly with a fault."""
        fault = self._choose("reads", self._probabilities.on_read())
        if fault.delayed:
            await asyncio.sleep(self._pause)
        self._raise_for(fault, "get")
        return (
            None
            if fault.kind == "misses"
            else await self._tier.aget(_key_to_read(key, fault), epoch)
        )

    def put(self, key: Key, entry: Item) -> None:
        """Write an entry, possibly with a fault."""
        fault = self._choose("writes", self._probabilities.on_write())
        if fault.delayed:
            time.sleep(self._pause)
        self._raise_for(fault, "set")
        if fault.kind != "losses":
            self._tier.put(key, entry)

    async def aput(self, key: Key, entry: Item) -> None:
        """Write an entry, possibly with a fault."""
        fault = self._choose("writes", self._probabilities.on_write())
        if fault.delayed:
            await asyncio.sleep(self._pause)
        self._raise_for(fault, "set")
        if fault.kind != "losses":
            await self._tier.aput(key, entry)

    def _choose(self, operation: str, faults: tuple[tuple[str, float], ...]) -> _Fault:
        """Choose the fault of one operation.

        Every operation takes two random numbers, whatever the probabilities are. So changing one
        probability does not change which operations have the other faults.
        """
        with self._lock:
            delayed = self._random.random() < self._probabilities.delays
            kind = _pick(self._random.random(), faults)
            self._counts.update([operation, *([kind] if kind else [])])
            if delayed:
                self._counts["delays"] += 1
            return _Fault(kind, delayed)

    def _raise_for(self, fault: _Fault, operation: str) -> None:
        if fault.kind == "errors" or (fault.delayed and self._too_slow):
            self._count("store_error", operation)
            raise StoreUnavailable(f"{operation}: chaos")


def _pick(number: float, faults: tuple[tuple[str, float], ...]) -> str:
    for name, chance in faults:
        if number < chance:
            return name
        number -= chance
    return ""


def _key_to_read(key: Key, fault: _Fault) -> Key:
    """Return the key to read by. For a mixup, the stored bytes are then those of another key."""
    return Key(key.digest, key.full + b"?") if fault.kind == "mixups" else key


@contextmanager
def chaos(
    cache: Cache,
    *,
    errors: float = 0.0,
    delays: float = 0.0,
    losses: float = 0.0,
    misses: float = 0.0,
    mixups: float = 0.0,
    delay: str | float = "20ms",
    seed: int = 0,
) -> Iterator[ChaosStore]:
    """Make a cache's Redis tier fail with these probabilities until the block ends.

    The same seed gives the same faults in the same order. Which request gets which fault depends on
    the order of the requests. `delay` is seconds, or a text such as "20ms". Raises ValueError for a
    cache without Redis, and for a wrong probability.
    """
    tier = cache._core.effects.shared
    if tier is None:
        raise ValueError(
            "chaos() needs a cache with Redis: set `redis` in the configuration of this cache"
        )
    probabilities = _Probabilities(
        errors=errors, delays=delays, losses=losses, misses=misses, mixups=mixups
    )
    store = ChaosStore(cache, tier, probabilities, duration(delay), seed)
    cache._core.effects.shared = store
    try:
        yield store
    finally:
        cache._core.effects.shared = tier
