"""A shared tier that fails at random, the same way for the same seed: no server is harmed by it.

It stands between the cache and its Redis tier, so what it does is what the cache must put up with:

    errors   a read or write raises StoreUnavailable, as when Redis is away
    delays   a read or write takes `delay`; past `redis.deadline` it is given up there, and is an error
    losses   a write is not made, and nobody is told
    misses   a read finds nothing, as after an eviction
    mixups   a read gets bytes that belong to another key, which the tier must refuse as it finds them

The breaker is left alone, so the faults go on however many there are in a row; a ChaosProxy shows
what the breaker does. The invalidation log and the leases do not pass through here.
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
class _Chances:
    """Probabilities of each fault, for one read or write."""

    errors: float
    delays: float
    losses: float
    misses: float
    mixups: float

    def __post_init__(self) -> None:
        for name in ("errors", "delays", "losses", "misses", "mixups"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1, got {getattr(self, name)}")
        if self.errors + self.losses > 1 or self.errors + self.misses + self.mixups > 1:
            raise ValueError("what can befall one read, or one write, adds up to more than 1")

    def on_read(self) -> tuple[tuple[str, float], ...]:
        return ("errors", self.errors), ("misses", self.misses), ("mixups", self.mixups)

    def on_write(self) -> tuple[tuple[str, float], ...]:
        return ("errors", self.errors), ("losses", self.losses)


class _Fate(NamedTuple):
    """What befalls one read or write."""

    fault: str
    """A name of the module's table, or nothing."""
    delayed: bool


class ChaosStore:
    """Stand around a shared tier and fail. Thread-safe; made by `chaos`."""

    def __init__(
        self, cache: Cache, tier: SharedTier, chances: _Chances, delay: float, seed: int
    ) -> None:
        self._tier = tier
        self._chances = chances
        self._count = cache._core.reporter.count
        deadline = cache.config.redis.deadline if cache.config.redis else delay
        self._pause = min(delay, deadline)
        self._too_slow = delay > deadline
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def reachable(self, key: Key) -> bool:
        """Say whether the tier may be asked about a key."""
        return self._tier.reachable(key)

    @property
    def counts(self) -> Mapping[str, int]:
        """How often it did what: `reads` and `writes` seen, and each fault by its name."""
        with self._lock:
            return Counter(self._counts)

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry, or suffer what the dice say."""
        fate = self._fate("reads", self._chances.on_read())
        if fate.delayed:
            time.sleep(self._pause)
        self._raise_for(fate, "get")
        return None if fate.fault == "misses" else self._tier.get(_asked(key, fate), epoch)

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry, or suffer what the dice say."""
        fate = self._fate("reads", self._chances.on_read())
        if fate.delayed:
            await asyncio.sleep(self._pause)
        self._raise_for(fate, "get")
        return None if fate.fault == "misses" else await self._tier.aget(_asked(key, fate), epoch)

    def put(self, key: Key, entry: Item) -> None:
        """Write an entry, or suffer what the dice say."""
        fate = self._fate("writes", self._chances.on_write())
        if fate.delayed:
            time.sleep(self._pause)
        self._raise_for(fate, "set")
        if fate.fault != "losses":
            self._tier.put(key, entry)

    async def aput(self, key: Key, entry: Item) -> None:
        """Write an entry, or suffer what the dice say."""
        fate = self._fate("writes", self._chances.on_write())
        if fate.delayed:
            await asyncio.sleep(self._pause)
        self._raise_for(fate, "set")
        if fate.fault != "losses":
            await self._tier.aput(key, entry)

    def _fate(self, operation: str, faults: tuple[tuple[str, float], ...]) -> _Fate:
        """Throw the dice: two for every operation, so that one setting does not shift another's."""
        with self._lock:
            delayed = self._random.random() < self._chances.delays
            fault = _drawn(self._random.random(), faults)
            self._counts.update([operation, *([fault] if fault else [])])
            if delayed:
                self._counts["delays"] += 1
            return _Fate(fault, delayed)

    def _raise_for(self, fate: _Fate, operation: str) -> None:
        if fate.fault == "errors" or (fate.delayed and self._too_slow):
            self._count("store_error", operation)
            raise StoreUnavailable(f"{operation}: chaos")


def _drawn(number: float, faults: tuple[tuple[str, float], ...]) -> str:
    for name, chance in faults:
        if number < chance:
            return name
        number -= chance
    return ""


def _asked(key: Key, fate: _Fate) -> Key:
    """Give the key to read by: the place is right, and for a mixup what is there is another key's."""
    return Key(key.digest, key.full + b"?") if fate.fault == "mixups" else key


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
    """Let a cache's shared tier fail with these probabilities until the block ends.

    The same seed deals the same faults in the same order; which request gets which depends on who
    comes first. `delay` is seconds, or a text such as "20ms". Raises ValueError for a cache without
    Redis, and for what is no probability.
    """
    tier = cache._core.effects.shared
    if tier is None:
        raise ValueError(
            "chaos needs a shared tier, and this cache has none: it is without `redis`"
        )
    chances = _Chances(errors=errors, delays=delays, losses=losses, misses=misses, mixups=mixups)
    store = ChaosStore(cache, tier, chances, duration(delay), seed)
    cache._core.effects.shared = store
    try:
        yield store
    finally:
        cache._core.effects.shared = tier
