"""Memory pressure: when it begins and ends, and how long entries are kept meanwhile.

It is the pressure on the process or its container, not on the tier. A tier that is full evicts as it
should, and that is no pressure. A process that comes near the limit of its memory is killed.

The rules:

1. The level is **warning** from 70 % of the memory limit on, and **alert** from 90 % on.
2. An *episode* lasts from the first warning until the use is below six sevenths of where it began
   (60 % of the limit). During an episode the level only rises. Without this hysteresis, a use that
   varies a little would start one episode after another.
3. During an episode, an entry whose body is larger than some multiple of the mean (`_FULL_LIFETIME`)
   is kept for only a part of its freshness lifetime: twice as large, half as long. But every entry is
   kept for at least `FLOOR`, and none for longer than without pressure.

Only the time in this process's memory is shortened. Freshness is not changed, so `Age` and the `ttl` of
Cache-Status are the same with and without pressure.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from msgspec import Struct

__all__ = ["FLOOR", "Limit", "Pressure", "PressureChange", "PressureLevel", "kept_until"]

FLOOR = 10.0
"""Seconds that every entry is kept, within its lifetime. A burst of requests is over by then."""


class Limit(Protocol):
    """A memory limit. `process.memory_limit.MemoryLimit` has this form."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def used(self) -> Callable[[], int | None]:
        """Return the bytes in use, or None if they cannot be read."""


class PressureLevel(IntEnum):
    """The level of memory pressure."""

    NONE = 0
    WARNING = 1
    ALERT = 2


_FULL_LIFETIME = {PressureLevel.WARNING: 4.0, PressureLevel.ALERT: 1.0}
"""An entry of at most this many times the mean is kept for its full lifetime."""


def kept_until(
    now: float, fresh_until: float, dies_at: float, *, size: int, mean: float, level: PressureLevel
) -> float:
    """Return the time until which memory keeps an entry that is stored, or examined, now."""
    if level is PressureLevel.NONE or size <= _FULL_LIFETIME[level] * mean:
        return dies_at
    part = _FULL_LIFETIME[level] * mean / size
    return min(dies_at, now + max(FLOOR, (fresh_until - now) * part))


class PressureChange(Struct, frozen=True, kw_only=True):
    """A change of the level: an episode has begun, has risen to the next level, or is over."""

    level: PressureLevel
    """The level that was reached. At the end of an episode, the highest level of it."""
    over: bool
    used: int
    """The bytes in use by the process or its container."""
    limit: int
    """The use, in bytes, at which this level begins."""
    shed: int = 0
    """Entries that were evicted or cut short since the episode began."""
    seconds: float = 0.0
    """The time since the episode began."""


class Pressure:
    """The present level of pressure. The caller holds a lock around each step."""

    def __init__(self, limit: int) -> None:
        self._begins = {
            PressureLevel.WARNING: limit * 7 // 10,
            PressureLevel.ALERT: limit * 9 // 10,
        }
        self._relief = self._begins[PressureLevel.WARNING] * 6 // 7
        self._began = 0.0
        self._shed_before = 0
        self._set(PressureLevel.NONE)

    def _set(self, level: PressureLevel) -> None:
        self.level = level
        self.low = self._relief if level else 0
        """The level changes below this use."""
        above = PressureLevel.ALERT if level else PressureLevel.WARNING
        self.high: float = float("inf") if level is PressureLevel.ALERT else self._begins[above]
        """The level changes from this use on."""

    def step(self, used: int, shed: int, now: float) -> PressureChange | None:
        """Note the present use and the count of all entries ever shed. Return a change, if any."""
        if used >= self.high:
            return self._rise(used, shed, now)
        return self._end(used, shed, now) if used < self.low else None

    def _rise(self, used: int, shed: int, now: float) -> PressureChange:
        if self.level is PressureLevel.NONE:
            self._began, self._shed_before = now, shed
        self._set(
            PressureLevel.ALERT
            if used >= self._begins[PressureLevel.ALERT]
            else PressureLevel.WARNING
        )
        return self._change(self.level, used, shed, now, over=False)

    def _end(self, used: int, shed: int, now: float) -> PressureChange:
        highest = self.level
        self._set(PressureLevel.NONE)
        return self._change(highest, used, shed, now, over=True)

    def _change(
        self, level: PressureLevel, used: int, shed: int, now: float, *, over: bool
    ) -> PressureChange:
        return PressureChange(
            level=level,
            over=over,
            used=used,
            limit=self._begins[level],
            shed=shed - self._shed_before,
            seconds=now - self._began,
        )
