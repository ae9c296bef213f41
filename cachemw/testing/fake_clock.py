"""A clock that moves only when told to."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """Stand in for the two clocks of `time`: both advance, and only wall time can jump.

    Hand it to a cache as `clock`. Lifetimes run on the monotonic clock, so `advance` ages what is
    stored and `jump_wall` must not. With Redis the breaker and the log run on it too.
    """

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, which never go back."""
        return self._monotonic

    def time(self) -> float:
        """Return seconds since 1970, as a wall clock would show them."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not pass backwards; use jump_wall to step the wall clock")
        self._monotonic += seconds
        self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an operator or NTP does; negative goes back."""
        self._wall += seconds
