"""Asking Redis under a deadline and a breaker: what every use of it during a request goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from cachemw.errors import StoreUnavailable
from cachemw.stores.breaker import Breaker
from cachemw.stores.clients import Clients

__all__ = ["Commands", "Operation"]

Operation = Literal["get", "set", "lease"]

_OPEN = "the breaker is open"
_POOL_EMPTY = "No connection available"
"""redis-py's words when every connection is busy: our own load, no illness of the server's."""


class Commands:
    """Commands that fail with StoreUnavailable and nothing else, counted. Thread-safe."""

    def __init__(
        self, clients: Clients, breaker: Breaker, count: Callable[[str, str], None]
    ) -> None:
        self.breaker = breaker
        self._clients = clients
        self._count = count
        self._deadline = clients.config.deadline
        from redis.exceptions import RedisError, ResponseError

        self._errors = (RedisError, OSError, TimeoutError)
        self._refusal = ResponseError

    def ask(self, operation: Operation, *command: Any) -> Any:
        """Run a command from a thread."""
        if not self.breaker.closed:
            raise StoreUnavailable(_OPEN)
        try:
            answer = self._clients.sync().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, error) from error
        self.breaker.success()
        return answer

    async def aask(self, operation: Operation, *command: Any) -> Any:
        """Run a command from an event loop."""
        if not self.breaker.closed:
            raise StoreUnavailable(_OPEN)
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._clients.aio().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, error) from error
        self.breaker.success()
        return answer

    def _failed(self, operation: Operation, error: BaseException) -> StoreUnavailable:
        """Count a failure, tell the breaker, and give what the flow is to hear of it.

        A server that answers with an error to a write (full, read-only) still answers reads, so
        that is counted and does not open the breaker.
        """
        self._count("store_error", operation)
        refused_write = operation != "get" and isinstance(error, self._refusal)
        if not refused_write and _POOL_EMPTY not in str(error):
            was_closed = self.breaker.closed
            self.breaker.failure()
            if was_closed and not self.breaker.closed:
                self._count("breaker_opened", "")
        return StoreUnavailable(f"{operation}: {type(error).__name__}")
