"""One Redis server: its clients, which give up quickly, and its circuit breaker.

With its defaults, redis-py takes 4 to 55 seconds to give up (measured). The clients here do not retry,
read under a deadline, wait only briefly for an open connection, and send no extra commands when they
connect. They are made when they are first needed: one per process for threads, and one per event loop.
A connection must not be used in a forked child, nor in another event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from cachemw.config.syntax.redis_url import Address
from cachemw.connections.breaker import Breaker
from cachemw.connections.opening.settings import Opening
from cachemw.connections.renewal import Renewal

if TYPE_CHECKING:
    import redis
    import redis.asyncio

__all__ = ["Node"]

_LoopClient = tuple[Any, AsyncGenerator[None, None]]
"""The client of an event loop, and the generator that closes it when the loop ends."""


class Node:
    """The clients of one server, and its breaker."""

    def __init__(self, opening: Opening, address: Address | None, breaker: Breaker) -> None:
        """Take the address from `address`, or from the URL where `address` is None."""
        self.breaker = breaker
        self.renewal = Renewal(lambda: opening.look_up_again(address))
        """Which of the open connections are outdated."""
        self._opening = opening
        self._address = address
        self._lock = threading.Lock()
        self._sync: Any = None
        self._by_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        self._dedicated: WeakSet[Any] = WeakSet()

    def sync(self) -> Any:
        """Return the client for threads. Its connections are opened in the background."""
        client = self._sync
        if client is None:
            with self._lock:
                client = self._sync
                if client is None:
                    client = self._opening.thread_client(self._address)
                    self.renewal.apply(client.connection_pool, in_loop=False)
                    self._sync = client
        return client

    def connected(self, wait: float | None = None) -> Any:
        """Return the client for threads, with an open connection; wait at most `wait` seconds for it.

        Without `wait` it is the time that opening a connection may take: not for requests. Raises the
        errors of redis-py.
        """
        client = self.sync()
        client.connection_pool.ensure(self._opening.limit if wait is None else wait)
        return client

    def aio(self) -> Any:
        """Return the client of the running event loop."""
        loop = asyncio.get_running_loop()
        loop_client = self._by_loop.get(loop)
        if loop_client is None:
            for other in list(self._by_loop):
                if other.is_closed():  # closed without `shutdown_asyncgens`
                    self._by_loop.pop(other, None)
            client = self._opening.loop_client(self._address)
            self.renewal.apply(client.connection_pool, in_loop=True)
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

    async def aconnected(self, wait: float | None = None) -> Any:
        """Return the client of the running event loop as `connected` does."""
        client = self.aio()
        await client.connection_pool.ensure(self._opening.limit if wait is None else wait)
        return client

    def dedicated_client(self, read_timeout: float) -> redis.Redis:
        """Return a new client with one connection, which waits `read_timeout` seconds for a reply.

        The client does not connect again: a lost connection is an error of the next command.
        """
        client = self._opening.dedicated_client(self._address, read_timeout)
        self.renewal.apply(client.connection_pool, in_loop=False, once=True)
        self._dedicated.add(client)
        return client

    def renew(self) -> None:
        """Replace each connection after its next use, from any thread: there are new credentials."""
        for client in list(self._dedicated):
            client.connection_pool.renew()
        if self._sync is not None:
            self._sync.connection_pool.renew()
        for loop, (of_loop, _) in list(self._by_loop.items()):
            with suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(of_loop.connection_pool.renew)

    def close(self) -> None:
        """Close the client for threads. Clients of loops are closed by `aclose` or with their loop."""
        self._opening.look_up_again(self._address)
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


_closing: set[asyncio.Task[None]] = set()
"""The tasks that close clients. Without a reference, a task may be collected before its end."""


def _close_in_loop(loop: asyncio.AbstractEventLoop, node: Node) -> None:
    task = loop.create_task(node.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
