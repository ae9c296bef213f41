"""Asking Redis under a deadline and a breaker: what every use of it during a request goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import EntryRejected, StoreError, StoreUnavailable

__all__ = ["WRONG_TYPE", "Commands", "Operation"]

Operation = Literal["get", "set", "lease"]

_OPEN = "the breaker is open"
_POOL_EMPTY = "No connection available"
"""redis-py's words when every connection is busy: our own load, no illness of the server's."""
WRONG_TYPE = "WRONGTYPE"
"""What a server's answer begins with where a list, say, stands under the name of an entry."""


class Commands:
    """Commands that fail with StoreUnavailable, counted. Thread-safe.

    A read of what is no string raises EntryRejected("type"): the server is well, the value is not.
    """

    def __init__(self, nodes: Nodes, count: Callable[[EventName, str], None]) -> None:
        self._nodes = nodes
        self._count = count
        self._deadline = nodes.config.deadline
        from redis.exceptions import RedisError, ResponseError

        self._errors = (RedisError, OSError, TimeoutError)
        self._refusal = ResponseError

    def reaches(self, key: bytes) -> bool:
        """Say whether the server that has a key may be asked."""
        try:
            return self._nodes.of(key).breaker.closed
        except StoreUnavailable:
            return False

    def ask(self, operation: Operation, key: bytes, *command: Any) -> Any:
        """Run a command about a key from a thread."""
        node = self._well(key)
        try:
            answer = node.sync().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, key, node, error) from error
        node.breaker.success()
        return answer

    async def aask(self, operation: Operation, key: bytes, *command: Any) -> Any:
        """Run a command about a key from an event loop."""
        node = self._well(key)
        try:
            async with asyncio.timeout(self._deadline):
                answer = await node.aio().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, key, node, error) from error
        node.breaker.success()
        return answer

    def _well(self, key: bytes) -> Node:
        """Give the node of a key, unless it is ill."""
        node = self._nodes.of(key)
        if not node.breaker.closed:
            raise StoreUnavailable(_OPEN)
        return node

    def _failed(
        self, operation: Operation, key: bytes, node: Node, error: BaseException
    ) -> StoreError:
        """Count a failure, tell the breaker, and give what the flow is to hear of it.

        A server that answers with an error to a write (full, read-only) still answers reads, so
        that is counted and does not open the breaker; nor does one that says where the key is now.
        """
        if operation == "get" and str(error).startswith(WRONG_TYPE):
            node.breaker.success()
            return EntryRejected("type")
        self._count("store_error", operation)
        elsewhere = self._nodes.heard(key, error)
        refused_write = operation != "get" and isinstance(error, self._refusal)
        if not elsewhere and not refused_write and _POOL_EMPTY not in str(error):
            was_closed = node.breaker.closed
            node.breaker.failure()
            if was_closed and not node.breaker.closed:
                self._nodes.suspect()
                self._count("breaker_opened", "")
        return StoreUnavailable(f"{operation}: {type(error).__name__}")
