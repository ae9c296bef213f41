"""A pool for one event loop that hands out open connections only: see `thread_pool` for its rules.

A loop may live for one request only (`asgiref.async_to_sync`). A connection that is opened in its
background would never be used. So in a loop that has opened none yet, a command waits for the first
one for most of its deadline.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cachemw.connections.opening.thread_pool import AT_ONCE, POOL_EMPTY, Failure, Waits

__all__ = ["LoopPool"]


class LoopPool(redis.asyncio.ConnectionPool):
    """Open connections of one event loop."""

    def __init__(self, waits: Waits, max_connections: int, **options: Any) -> None:
        """Take redis-py's `connection_class` and the options of its connections."""
        self._waits = waits
        super().__init__(max_connections=max_connections, **options)
        self.reset()

    def reset(self) -> None:
        """Start without connections; those that are open are forgotten, and not closed."""
        super().reset()  # type: ignore[no-untyped-call]
        self._free: list[Any] = []
        self._all: set[Any] = set()
        self._old: set[Any] = set()
        self._waiters: deque[asyncio.Future[Any]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._has_opened = False
        self._failure: Failure | None = None

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Return an open connection. Raises redis-py's ConnectionError if none is open in time."""
        while True:
            connection = self._free.pop() if self._free else await self._await(None)
            if await _is_usable(connection):
                return connection
            await self._drop(connection)

    async def ensure(self, wait: float) -> None:
        """Wait at most `wait` seconds until a connection is open. Raises ConnectionError if none is."""
        outdated = [each for each in self._free if each.is_outdated()]
        self._free = [each for each in self._free if each not in outdated]
        for connection in outdated:
            await self._drop(connection)
        if not self._all:
            await self.release(await self._await_twice(wait))

    async def _await_twice(self, wait: float) -> Any:
        """Return a connection; what an attempt met that had begun before says nothing of the server now."""
        ends = time.monotonic() + wait
        is_old = bool(self._opening) or (self._failure is not None and self._failure.is_news())
        try:
            return await self._await(wait)
        except RedisConnectionError:
            left = ends - time.monotonic()
            if not is_old or left <= 0.0:
                raise
        return await self._await(left)

    async def release(self, connection: Any) -> None:
        """Take a connection back."""
        if (
            connection in self._all
            and connection not in self._old
            and connection.is_connected
            and not connection.should_reconnect()
        ):
            self._hand_out(connection)
        else:
            await self._drop(connection)

    def renew(self) -> None:
        """Replace each connection after its next use: there are new credentials."""
        self._old = set(self._all)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections, and stop opening others."""
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        closing = set(self._all if inuse_connections else self._free)
        self._all -= closing
        self._old -= closing
        self._free.clear()
        await asyncio.gather(*opening, return_exceptions=True)
        for connection in closing:
            await connection.disconnect()

    async def _drop(self, connection: Any) -> None:
        self._all.discard(connection)
        self._old.discard(connection)
        self._open_more()
        await connection.disconnect(nowait=True)

    async def _await(self, wait: float | None) -> Any:
        """Return a connection when one is free. Raises what hindered it from being opened."""
        failure = self._failure
        if wait is None:
            wait = self._usual_wait
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._open_more()
        try:
            if failure is not None and failure.is_news():
                self._failure = None
                raise failure.as_error()
            async with asyncio.timeout(wait):
                return await waiter
        except TimeoutError:
            self._take_back(waiter)
            raise RedisConnectionError(POOL_EMPTY) from None
        except BaseException:
            self._take_back(waiter)
            raise

    @property
    def _usual_wait(self) -> float:
        if not self._has_opened:
            return self._waits.first
        is_full = len(self._all) >= self.max_connections
        return self._waits.full if is_full else self._waits.opening

    def _take_back(self, waiter: asyncio.Future[Any]) -> None:
        """Forget a waiter that has given up. Hand on the connection that it may have got."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._hand_out(waiter.result())
        waiter.cancel()

    def _hand_out(self, connection: Any) -> None:
        """Hand a connection to who waits first, or keep it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._free.append(connection)

    # -- opening ---------------------------------------------------------------------------------

    def _open_more(self) -> None:
        """Start to open a connection for each waiter, up to the limits."""
        loop = asyncio.get_running_loop()
        while (
            len(self._opening) < min(len(self._waiters), AT_ONCE)
            and len(self._all) + len(self._opening) < self.max_connections
        ):
            # An empty context: the connection outlives the request that asked for it (I1).
            task = loop.create_task(self._open(), context=contextvars.Context())
            self._opening.add(task)

    async def _open(self) -> None:
        failed: Exception | None = None
        connection: Any = None
        try:
            connection = self.connection_class(**self.connection_kwargs)
            await connection.connect()
        except Exception as error:
            failed = error
        except BaseException:  # the loop ends
            if connection is not None:
                await connection.disconnect(nowait=True)
            raise
        finally:
            self._opening.discard(asyncio.current_task())
        if failed is not None:
            self._fail(failed)
            return
        self._failure = None
        self._has_opened = True
        self._all.add(connection)
        self._hand_out(connection)
        self._open_more()

    def _fail(self, error: Exception) -> None:
        waiters = [waiter for waiter in self._waiters if not waiter.done()]
        self._waiters.clear()
        self._failure = Failure.now(error, waited_for=bool(waiters))
        for waiter in waiters:
            waiter.set_exception(self._failure.as_error())


async def _is_usable(connection: Any) -> bool:
    """Tell whether an idle connection is still open, and nothing was left to be read from it."""
    try:
        is_open = connection.is_connected and not connection.is_outdated()
        return is_open and not await connection.can_read()
    except (RedisError, OSError):
        return False
