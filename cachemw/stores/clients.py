"""Redis clients that give up quickly, made when first needed: one per process, one per event loop.

Stock redis-py takes 4 to 55 seconds to give up. These do not retry, read under a deadline, wait
briefly for a free connection, and say nothing on connecting that costs a round trip. A connection
made before a fork must not be used after it, nor one loop's in another: `reset_after_fork` and the
table by loop see to that.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any

from cachemw.config.model import Redis as RedisConfig
from cachemw.errors import ConfigError, Problem
from cachemw.stores.replies import reply_within_deadline

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["Clients"]

# Of the 75 ms that a request may be kept waiting (I3): 50 to read, 10 for the pool, 15 to connect.
_CONNECT_SHARE = 0.3


def _require_redis() -> None:
    try:
        import redis  # noqa: F401
    except ImportError as error:
        message = 'needs redis-py: pip install "cachemw[redis]"'
        raise ConfigError([Problem("redis", message)]) from error


class Clients:
    """The clients of one Redis address."""

    def __init__(self, config: RedisConfig) -> None:
        _require_redis()
        self.config = config
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget every client without a word to its connections: they are the parent's."""
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
                    client = self._sync = self._make_sync(self.config.deadline, parser_class=parser)
        return client

    def aio(self) -> Any:
        """Give the running event loop's client."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = self._by_loop[loop] = self._make_async()
        return client

    def follower(self, read_timeout: float) -> redis.Redis:
        """Make a client for one thread that blocks in reads for up to `read_timeout` seconds."""
        return self._make_sync(read_timeout, connections=1)

    def _options(self, read_timeout: float) -> dict[str, Any]:
        connect = self.config.deadline * _CONNECT_SHARE
        return {
            "socket_timeout": read_timeout,
            "socket_connect_timeout": max(connect, 0.005),
            "driver_info": None,
            "protocol": 2,
        }

    def _make_sync(
        self, read_timeout: float, connections: int | None = None, **further: Any
    ) -> redis.Redis:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        pool = redis.BlockingConnectionPool.from_url(
            self.config.url,
            max_connections=connections or self.config.pool_size,
            timeout=self.config.pool_wait,
            retry=Retry(NoBackoff(), 0),
            **self._options(read_timeout),
            **further,
        )
        return redis.Redis(connection_pool=pool)

    def _make_async(self) -> redis.asyncio.Redis:
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self.config.url,
            max_connections=self.config.pool_size,
            timeout=self.config.pool_wait,
            retry=Retry(NoBackoff(), 0),
            **self._options(self.config.deadline),
        )
        return redis.asyncio.Redis(connection_pool=pool)

    def close(self) -> None:
        """Close the threads' client; loops close theirs by `aclose`, or when they are collected."""
        client, self._sync = self._sync, None
        if client is not None:
            client.close()
            client.connection_pool.disconnect()

    async def aclose(self) -> None:
        """Close the running loop's client."""
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()
