"""Memory under pressure: when it is said to be, and how long entries are kept then.

1. Pressure begins at 70 % of the tier's cap, or at the planned size where that is less: **warning**.
   At 90 % of the cap, or 120 % of the plan, it is an **alert**.
2. In an episode the level only rises; the episode ends below six sevenths of where it began (60 % of
   the cap), so that a tier whose size goes up and down a little does not begin one after another.
3. While it lasts, an entry with a body larger than so many mean entries is kept for a part of its freshness
   lifetime only, the smaller the larger it is: twice as large, half as long. No entry is kept for
   less than `FLOOR`, and none for longer than it would be without pressure.

What is shortened is the stay in this process's memory. Freshness itself is as the response says, so
`Age` and the `ttl` of Cache-Status are the same with and without pressure.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct

__all__ = ["FLOOR", "Pressure", "PressureChange", "PressureLevel", "kept_until"]

FLOOR = 10.0
"""Seconds that any entry is kept, within its lifetime: a burst of requests for it is over by then."""


class PressureLevel(IntEnum):
    """How hard memory is pressed."""

    NONE = 0
    WARNING = 1
    ALERT = 2


_FULL_LIFETIME = {PressureLevel.WARNING: 4.0, PressureLevel.ALERT: 1.0}
"""Up to how many times the mean of all entries one is kept for the whole of its lifetime."""


def kept_until(
    now: float, fresh_until: float, dies_at: float, *, size: int, mean: float, level: PressureLevel
) -> float:
    """Give the time until which memory keeps an entry that comes in, or is looked at, now."""
    if level is PressureLevel.NONE or size <= _FULL_LIFETIME[level] * mean:
        return dies_at
    part = _FULL_LIFETIME[level] * mean / size
    return min(dies_at, now + max(FLOOR, (fresh_until - now) * part))


class PressureChange(Struct, frozen=True, kw_only=True):
    """An episode has begun, has risen to the next level, or is over."""

    level: PressureLevel
    """The level that was reached; at the end, the highest there was."""
    over: bool
    size: int
    limit: int
    """The bytes at which this level begins."""
    shed: int = 0
    """Entries that went before their time since the episode began."""
    seconds: float = 0.0
    """Since it began."""


class Pressure:
    """The level, from one size to the next. The caller sees to it that threads take turns."""

    def __init__(self, max_size: int, planned_size: int | None = None) -> None:
        planned = max_size if planned_size is None else planned_size
        self._begins = {
            PressureLevel.WARNING: min(max_size * 7 // 10, planned),
            PressureLevel.ALERT: min(max_size * 9 // 10, planned * 12 // 10),
        }
        self._relief = self._begins[PressureLevel.WARNING] * 6 // 7
        self._began = 0.0
        self._shed_before = 0
        self._set(PressureLevel.NONE)

    def _set(self, level: PressureLevel) -> None:
        self.level = level
        self.low = self._relief if level else 0
        """Below this size the level changes,"""
        above = PressureLevel.ALERT if level else PressureLevel.WARNING
        self.high: float = float("inf") if level is PressureLevel.ALERT else self._begins[above]
        """and from this one on: in between there is nothing to be done."""

    def step(self, size: int, shed: int, now: float) -> PressureChange | None:
        """Take the present size, and how many entries were ever shed; say what has changed."""
        if size >= self.high:
            return self._rise(size, shed, now)
        return self._end(size, shed, now) if size < self.low else None

    def _rise(self, size: int, shed: int, now: float) -> PressureChange:
        if self.level is PressureLevel.NONE:
            self._began, self._shed_before = now, shed
        self._set(
            PressureLevel.ALERT
            if size >= self._begins[PressureLevel.ALERT]
            else PressureLevel.WARNING
        )
        return self._change(self.level, size, shed, now, over=False)

    def _end(self, size: int, shed: int, now: float) -> PressureChange:
        highest = self.level
        self._set(PressureLevel.NONE)
        return self._change(highest, size, shed, now, over=True)

    def _change(
        self, level: PressureLevel, size: int, shed: int, now: float, *, over: bool
    ) -> PressureChange:
        return PressureChange(
            level=level,
            over=over,
            size=size,
            limit=self._begins[level],
            shed=shed - self._shed_before,
            seconds=now - self._began,
        )
