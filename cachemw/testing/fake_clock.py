"""A clock that moves only when a test moves it."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """A replacement for `time.monotonic()` and `time.time()` that a test controls.

    Give it to a cache as `clock`. Lifetimes use the monotonic clock, so `advance` makes entries
    older, and `jump_wall` must not. With Redis, the breaker and the log use this clock too.
    """

    def __init__(self, *, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._monotonic = monotonic
        self._wall = wall

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; they never go back."""
        return self._monotonic

    def time(self) -> float:
        """Return seconds since 1970, as a wall clock shows them."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move both clocks forward; raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError(
                "seconds: expected 0 or more; to set the wall clock back, use jump_wall"
            )
        self._monotonic += seconds
        self._wall += seconds

    def jump_wall(self, seconds: float) -> None:
        """Change the wall clock alone, as an operator or NTP does; negative goes back."""
        self._wall += seconds
