"""Waiting for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["LIMIT", "until"]

LIMIT = 20.0
"""Seconds after which a condition that has not come true will not: generous, the machine may be busy."""


def until(condition: Callable[[], object], limit: float = LIMIT) -> float:
    """Wait for a condition; return the seconds that it took, fail after `limit` of them."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit, f"not within {limit} s"
        time.sleep(0.002)
    return time.monotonic() - began
