"""What a fault may cost: the bounds of I3, against the same traffic without a cache in the same test."""

from __future__ import annotations

from tests.support.traffic import Asked, Traffic, share

__all__ = ["BACK", "CLIENTS", "WAITED_AT_MOST", "assert_bounded", "assert_harmless", "baseline"]

CLIENTS = 4
BOUND = 0.075
"""Seconds: what the promise I3 allows to be added while the breaker is closed."""
NOISE = 0.05
"""Seconds that a busy machine may add to a few of the slowest requests, with or without a cache."""
WAITED_AT_MOST = 25
"""Requests that may have waited when Redis went: without the breaker about 60 do, until the log's
follower gives up."""
BACK = 3.0
"""Seconds after which Redis is in use again once it is back."""


def baseline(kind: type[Traffic]) -> list[Asked]:
    """Return the same traffic without a cache."""
    bare = kind(None, CLIENTS)
    with bare.flowing():
        return bare.await_more(400)


def assert_harmless(asked: list[Asked]) -> None:
    """Assert that every request got its own answer, and none that had been purged."""
    assert [each for each in asked if not each.right] == []
    assert [each for each in asked if each.stale] == []


def assert_bounded(asked: list[Asked], bare: list[Asked]) -> None:
    """Assert I3's bounds: while the breaker was closed, and once it was open."""
    waited = [each for each in asked if each.closed]
    if waited:
        assert share(waited, 0.5) - share(bare, 0.5) <= BOUND
        assert share(waited, 0.95) - share(bare, 0.95) <= BOUND + NOISE
    spared = [each for each in asked if not each.closed]
    if len(spared) >= 100:
        assert share(spared, 0.5) - share(bare, 0.5) <= 0.001
        assert share(spared, 0.99) - share(bare, 0.99) <= 0.001 + NOISE
