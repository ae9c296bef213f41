"""One Redis server: its clients, which give up quickly, and its circuit breaker.

With its defaults, redis-py takes 4 to 55 seconds to give up (measured). The clients here do not retry,
read under a deadline, wait only briefly for a free connection, and send no extra commands when they
connect. They are made when they are first needed: one per process for threads, and one per event loop.
A connection must not be used in a forked child, nor in another event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.config.syntax.redis_url import Address
from cachemw.connections.breaker import Breaker
from cachemw.connections.deadline import reply_within_deadline
from cachemw.connections.renewal import Renewal

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["Node"]

# I3 allows 75 ms for one request: 50 to read, 10 to wait for the pool, 15 (0.3 of 50) to connect.
_CONNECT_SHARE = 0.3
_SHORTEST_CONNECT = 0.005
"""Seconds. Connecting gets at least this, however short the deadline is."""

_LoopClient = tuple["redis.asyncio.Redis", AsyncGenerator[None, None]]
"""The client of an event loop, and the generator that closes it when the loop ends."""


class Node:
    """The clients of one server, and its breaker."""

    def __init__(
        self, config: RedisConfig, url: str, address: Address | None, breaker: Breaker
    ) -> None:
        """Take the address from `address`, or from `url` where `address` is None."""
        self.breaker = breaker
        self.renewal = Renewal()
        """Which of the open connections are outdated."""
        self._config = config
        self._url = url
        self._address = {} if address is None else {"host": address[0], "port": address[1]}
        self._lock = threading.Lock()
        self._sync: redis.Redis | None = None
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    def sync(self) -> Any:
        """Return the client for threads."""
        client = self._sync
        if client is None:
            with self._lock:
                client = self._sync
                if client is None:
                    parser = reply_within_deadline()
                    client = self._sync = self._make_sync(
                        self._config.deadline, self._config.pool_size, parser_class=parser
                    )
        return client

    def aio(self) -> Any:
        """Return the client of the running event loop."""
        loop = asyncio.get_running_loop()
        loop_client = self._by_loop.get(loop)
        if loop_client is None:
            for other in list(self._by_loop):
                if other.is_closed():  # closed without `shutdown_asyncgens`
                    self._by_loop.pop(other, None)
            client = self._make_async()
            loop_client = self._by_loop[loop] = client, self._close_with_loop(loop, client)
            with suppress(StopIteration):
                # Run the generator up to its `yield`, which registers it with the loop.
                loop_client[1].__anext__().send(None)
        return loop_client[0]

    async def _close_with_loop(
        self, loop: asyncio.AbstractEventLoop, client: redis.asyncio.Redis
    ) -> AsyncGenerator[None, None]:
        """Close a loop's client when the loop ends: asyncio then closes its async generators.

        Nothing else would close it. The client refers to its loop, so neither is freed, and a loop
        may exist for one request only (`asgiref.async_to_sync`).
        """
        try:
            yield
        finally:
            self._by_loop.pop(loop, None)
            await client.aclose()

    def dedicated_client(self, read_timeout: float) -> redis.Redis:
        """Return a new client with one connection, which waits `read_timeout` seconds for a reply.

        The client does not connect again: a lost connection is an error of the next command.
        """
        return self._make_sync(read_timeout, connections=1, once=True)

    def close(self) -> None:
        """Close the client for threads. Clients of loops are closed by `aclose` or with their loop."""
        client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the client of the running event loop."""
        loop_client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if loop_client is not None:
            await loop_client[1].aclose()

    def retire(self) -> None:
        """Close all clients, from any thread. For a server that is no longer used."""
        self.close()
        for loop in list(self._by_loop):
            with suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(_close_in_loop, loop, self)

    def _make_sync(
        self, read_timeout: float, connections: int, *, once: bool = False, **further: Any
    ) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = redis.BlockingConnectionPool.from_url(
            self._url,
            **self._options(read_timeout, connections),
            retry=Retry(NoBackoff(), 0),
            **further,
        )
        self.renewal.apply(pool, in_loop=False, once=once)
        return redis.Redis.from_pool(self._with_address(pool))

    def _make_async(self) -> redis.asyncio.Redis:
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url,
            **self._options(self._config.deadline, self._config.pool_size),
            retry=Retry(NoBackoff(), 0),
        )
        self.renewal.apply(pool, in_loop=True)
        return redis.asyncio.Redis.from_pool(self._with_address(pool))

    def _with_address(self, pool: Any) -> Any:
        """Set the address of a pool. It cannot be an option: in redis-py, a URL overrides options."""
        pool.connection_kwargs.update(self._address)
        return pool

    def _options(self, read_timeout: float, connections: int) -> dict[str, Any]:
        return {
            "max_connections": connections,
            "timeout": self._config.pool_wait,
            "socket_timeout": read_timeout,
            "socket_connect_timeout": max(
                self._config.deadline * _CONNECT_SHARE, _SHORTEST_CONNECT
            ),
            "driver_info": None,
            "protocol": 2,
        }


_closing: set[asyncio.Task[None]] = set()
"""The tasks that close clients. Without a reference, a task may be collected before its end."""


def _close_in_loop(loop: asyncio.AbstractEventLoop, node: Node) -> None:
    task = loop.create_task(node.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
