"""How far away Redis is, and what that asks of the deadline."""

from __future__ import annotations

import math
import time
from typing import Any

__all__ = ["RoundTrip", "advice", "round_trip_of"]

_TRIES = 3
_SLOWER = 1.2
"""Times by which the known round trip may grow each time."""
_NEAR = 0.7
"""Of the deadline: a longer round trip leaves too little for the server, and for a busy machine."""
_ENOUGH = 2.5
"""Round trips for a deadline: a first connection in an event loop takes two or three of them."""
_STEP = 0.01
"""Seconds. Advice is rounded up to this."""


class RoundTrip:
    """The round trip to Redis, as far as it is known."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def note(self, taken: float) -> None:
        """Note how long one took. One that a busy machine delayed says little."""
        before = self.seconds
        self.seconds = taken if before is None else min(taken, _SLOWER * before)


def round_trip_of(client: Any) -> float:
    """Return the seconds of the fastest of a few PINGs. Raises the errors of redis-py."""
    times = []
    for _ in range(_TRIES):
        began = time.monotonic()
        client.time()
        times.append(time.monotonic() - began)
    return min(times)


def advice(round_trip: float | None, deadline: float) -> str:
    """Return what to set where Redis is too far away for a deadline, or an empty text."""
    if round_trip is None or round_trip < _NEAR * deadline:
        return ""
    enough = math.ceil(_ENOUGH * round_trip / _STEP) * _STEP * 1000
    return (
        f"a round trip to it takes {round_trip * 1000:.0f} ms, so with a deadline of "
        f"{deadline * 1000:.0f} ms there are few shared hits or none: "
        f'set `deadline` in [redis] to at least "{enough:.0f}ms"'
    )
