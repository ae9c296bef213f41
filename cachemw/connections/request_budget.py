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

__all__ = ["RequestBudget", "begin_request", "has_begun", "is_spent", "note_wait"]


_VALID = 20
"""Times the deadline: how long a spent budget counts. By then the breaker is open, or the server is back.
A thread may do something else after its request, and a request may last for minutes."""


class RequestBudget:
    """The seconds for which one request may still wait in vain."""

    __slots__ = ("_deadline", "_left", "_valid_until")

    def __init__(self, deadline: float) -> None:
        self._deadline = self._left = deadline
        self._valid_until = 0.0

    @property
    def spent(self) -> bool:
        """Whether not enough is left for another wait."""
        return self._left < self._deadline / 2 and time.monotonic() < self._valid_until

    def note(self, began: float) -> None:
        """Note a wait in vain since a time on the monotonic clock."""
        now = time.monotonic()
        self._left -= now - began
        self._valid_until = now + _VALID * self._deadline


_current: ContextVar[RequestBudget | None] = ContextVar("cachemw_request_budget", default=None)


def begin_request(deadline: float) -> None:
    """Start the budget of the request that begins in this thread or task."""
    _current.set(RequestBudget(deadline))


def is_spent() -> bool:
    """Tell whether the request of this thread or task has waited in vain for long enough."""
    budget = _current.get()
    return budget is not None and budget.spent


def has_begun() -> bool:
    """Tell whether a request has begun in this thread or task: then its time counts."""
    return _current.get() is not None


def note_wait(began: float) -> None:
    """Note a wait in vain since a time on the monotonic clock."""
    budget = _current.get()
    if budget is not None:
        budget.note(began)
