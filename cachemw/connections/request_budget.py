"""How long one request may wait in vain for Redis: one deadline in all.

A request may use Redis several times: look up, take a lease, purge, store, release the lease. Each has a
deadline, and until the breaker opens, a server that hangs would hold the request for each of them. So a
request has a budget, which every wait in vain reduces. When not enough is left for another one, the
request goes on without Redis, and its writes are made in the background.

The budget is in a context variable: one for each thread, and one for each task.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

from cachemw.config.model import RedisSettings as RedisConfig

__all__ = ["RequestBudget", "begin_request", "has_begun", "is_spent", "note_wait"]


_VALID = 1.0
"""Seconds for which a wait in vain counts. By then the breaker is open, or the server is back. A thread may
do something else after its request, and a request may last for minutes."""


class RequestBudget:
    """The seconds for which one request may still wait in vain."""

    __slots__ = ("_left", "_valid_until", "redis")

    def __init__(self, redis: RedisConfig) -> None:
        self.redis = redis
        """The Redis of the cache that the request came to. A process may have several caches."""
        self._left = redis.deadline
        self._valid_until = 0.0

    @property
    def spent(self) -> bool:
        """Whether not enough is left for another wait."""
        return self._left < self.redis.deadline / 2 and time.monotonic() < self._valid_until

    def note(self, began: float) -> None:
        """Note a wait in vain since a time on the monotonic clock."""
        now = time.monotonic()
        self._left -= now - began
        self._valid_until = now + _VALID


_current: ContextVar[RequestBudget | None] = ContextVar("cachemw_request_budget", default=None)


def begin_request(redis: RedisConfig) -> None:
    """Start the budget of the request that begins in this thread or task."""
    _current.set(RequestBudget(redis))


def is_spent(redis: RedisConfig) -> bool:
    """Tell whether the request of this thread or task has waited in vain for long enough for this Redis."""
    budget = _current.get()
    return budget is not None and budget.redis is redis and budget.spent


def has_begun() -> bool:
    """Tell whether a request has begun in this thread or task: then its time counts."""
    return _current.get() is not None


def note_wait(began: float) -> None:
    """Note a wait in vain since a time on the monotonic clock."""
    budget = _current.get()
    if budget is not None:
        budget.note(began)
