"""Redis commands with a deadline and a circuit breaker.

Every use of Redis during a request goes through `Commands`, so that Redis cannot delay a request (I3).
"""

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
"""The message of redis-py when all connections are in use. That is our own load: the server works."""
WRONG_TYPE = "WRONGTYPE"
"""The start of the server's error for a key that holds another type, such as a list."""


class Commands:
    """Commands that raise StoreUnavailable on every failure, and count it. Thread-safe.

    Only for a value of a wrong type, EntryRejected("type") is raised: the server itself works.
    """

    def __init__(
        self,
        nodes: Nodes,
        count: Callable[[EventName, str], None],
        failed: Callable[[BaseException, str], None] = lambda error, server: None,
    ) -> None:
        """Call `count` for each failure, and `failed` for some, with the error and the server.

        Those are the error that opens a breaker, and each write that a server refuses.
        """
        self._nodes = nodes
        self._count = count
        self._tell = failed
        self._deadline = nodes.config.deadline
        from redis.exceptions import RedisError, ResponseError

        self._errors = (RedisError, OSError, TimeoutError)
        self._refusal = ResponseError

    def is_reachable(self, key: bytes) -> bool:
        """Tell whether the server of a key is known and its breaker is closed."""
        try:
            return self._nodes.of(key).breaker.closed
        except StoreUnavailable:
            return False

    def run(self, operation: Operation, key: bytes, *command: Any) -> Any:
        """Run a command on the server of a key and return its answer. For threads."""
        node = self._healthy_node(key)
        try:
            answer = node.sync().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, key, node, error) from error
        node.breaker.success()
        return answer

    async def arun(self, operation: Operation, key: bytes, *command: Any) -> Any:
        """Run a command on the server of a key and return its answer. For event loops."""
        node = self._healthy_node(key)
        try:
            async with asyncio.timeout(self._deadline):
                answer = await node.aio().execute_command(*command)
        except self._errors as error:
            raise self._failed(operation, key, node, error) from error
        node.breaker.success()
        return answer

    def _healthy_node(self, key: bytes) -> Node:
        """Return the node of a key. Raises StoreUnavailable while its breaker is not closed."""
        node = self._nodes.of(key)
        if not node.breaker.closed:
            raise StoreUnavailable(_OPEN)
        return node

    def _failed(
        self, operation: Operation, key: bytes, node: Node, error: BaseException
    ) -> StoreError:
        """Count a failure, report it to the breaker, and return the error to raise.

        These failures do not open the breaker: an error answer to a write (the server is full or
        read-only, but still answers reads), and an answer that tells where the key is now.
        """
        if operation == "get" and str(error).startswith(WRONG_TYPE):
            node.breaker.success()
            return EntryRejected("type")
        self._count("store_error", operation)
        elsewhere = self._nodes.learn_from_error(key, error)
        refused_write = operation != "get" and isinstance(error, self._refusal)
        if refused_write and not elsewhere:
            self._tell(error, self._nodes.name_of(node))
        if not elsewhere and not refused_write and _POOL_EMPTY not in str(error):
            was_closed = node.breaker.closed
            node.breaker.failure()
            if was_closed and not node.breaker.closed:
                self._nodes.mark_doubtful()
                self._tell(error, self._nodes.name_of(node))
                self._count("breaker_opened", "")
        return StoreUnavailable(f"{operation}: {type(error).__name__}")
