"""One Redis server: clients that give up quickly, and the breaker that says whether to ask it.

Stock redis-py takes 4 to 55 seconds to give up. These clients do not retry, read under a deadline,
wait briefly for a free connection, and say nothing on connecting that costs a round trip. They are
made when first needed: one per process for threads, one per event loop. A connection made before a
fork must not be used after it, nor one loop's in another.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cachemw.config.model import Redis as RedisConfig
from cachemw.config.redis_url import Address
from cachemw.stores.breaker import Breaker
from cachemw.stores.replies import reply_within_deadline

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["Node"]

# Of the 75 ms that a request may be kept waiting (I3): 50 to read, 10 for the pool, 15 to connect.
_CONNECT_SHARE = 0.3
_SHORTEST_CONNECT = 0.005
"""Seconds; the least that is given to connecting, however short the deadline."""


class Node:
    """The clients of one server, and its breaker."""

    def __init__(
        self, config: RedisConfig, url: str, address: Address | None, breaker: Breaker
    ) -> None:
        """`address` is where the server is; None: where `url` says."""
        self.breaker = breaker
        self._config = config
        self._url = url
        self._address = {} if address is None else {"host": address[0], "port": address[1]}
        self._lock = threading.Lock()
        self._sync: redis.Redis | None = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis]
        self._by_loop = weakref.WeakKeyDictionary()

    def sync(self) -> Any:
        """Give this process's client for threads."""
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
        """Give the running event loop's client."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = self._by_loop[loop] = self._make_async()
        return client

    def alone(self, read_timeout: float) -> redis.Redis:
        """Make a client of one connection that blocks in reads for up to `read_timeout` seconds."""
        return self._make_sync(read_timeout, connections=1)

    def close(self) -> None:
        """Close the threads' client; loops close theirs by `aclose`, or when they are collected."""
        client, self._sync = self._sync, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the running loop's client."""
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def retire(self) -> None:
        """Close everything, from any thread: nobody will ask this server any more."""
        self.close()
        for loop in list(self._by_loop):
            with suppress(RuntimeError):  # the loop is closed, and its connections with it
                loop.call_soon_threadsafe(_spawn, loop, self)

    def _make_sync(self, read_timeout: float, connections: int, **further: Any) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = redis.BlockingConnectionPool.from_url(
            self._url,
            **self._options(read_timeout, connections),
            retry=Retry(NoBackoff(), 0),
            **further,
        )
        return redis.Redis.from_pool(self._here(pool))

    def _make_async(self) -> redis.asyncio.Redis:
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self._url,
            **self._options(self._config.deadline, self._config.pool_size),
            retry=Retry(NoBackoff(), 0),
        )
        return redis.asyncio.Redis.from_pool(self._here(pool))

    def _here(self, pool: Any) -> Any:
        """Point a pool at the address: redis-py lets what stands in a URL win over options."""
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
"""Clients being closed; without a reference a task may be collected before it is done."""


def _spawn(loop: asyncio.AbstractEventLoop, node: Node) -> None:
    task = loop.create_task(node.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
