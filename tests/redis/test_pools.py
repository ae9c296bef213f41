"""The pools: open connections only, never too many, none lost, and what failed is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cachemw.config.redis_settings import RedisSettings
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.connections.opening.thread_pool import OPENING_FAILED, POOL_EMPTY
from cachemw.testing import ChaosProxy, RedisServer
from tests.support.waiting import until


def node_over(url: str, **settings: Any) -> Node:
    return Nodes(RedisSettings(url=url, **{"deadline": "5s", **settings})).of(b"key")


@pytest.fixture
def far(own_redis_server: RedisServer) -> Iterator[ChaosProxy]:
    """Yield a way to the server on which a database is selected only when the test lets replies pass."""
    with ChaosProxy(own_redis_server.url.replace("/0", "/1")) as proxy:
        yield proxy


def connections(server: RedisServer) -> int:
    listed: Any = server.command("CLIENT", "LIST")
    return len(listed.splitlines()) - 1  # without the one that asks


def test_threads_get_no_more_connections_than_the_pool_may_have(
    own_redis_server: RedisServer,
) -> None:
    # Guard: the limit in `ThreadPool._open_more`.
    node = node_over(own_redis_server.url, pool_size=3, pool_wait="10s")
    threads = [
        threading.Thread(target=lambda: [node.sync().ping() for _ in range(50)]) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, connections(own_redis_server))
    assert 1 <= most <= 3
    node.close()


def test_tasks_get_no_more_connections_than_the_pool_may_have(
    own_redis_server: RedisServer,
) -> None:
    # Guard: the limit in `LoopPool._open_more`.
    async def main(node: Node) -> None:
        client = node.aio()
        for _ in range(10):
            await asyncio.gather(*(client.ping() for _ in range(50)))
        assert await asyncio.to_thread(connections, own_redis_server) <= 3
        await node.aclose()

    asyncio.run(main(node_over(own_redis_server.url, pool_size=3, pool_wait="10s")))


def test_a_failure_that_nobody_waited_for_is_told_to_the_next(far: ChaosProxy) -> None:
    # Guard: `_tell_news`. Requests give up before a far server refuses them, and nobody would know why.
    far.swallow()
    node = node_over(far.url, deadline="10ms")
    with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
        node.sync().ping()
    pool = node.sync().connection_pool
    far.refuse()
    until(lambda: pool._failure is not None)
    far.swallow()
    with pytest.raises(RedisConnectionError, match=OPENING_FAILED):
        node.sync().ping()
    node.close()


def test_a_loop_is_told_of_a_failure_that_nobody_waited_for(far: ChaosProxy) -> None:
    async def main(node: Node) -> None:
        far.swallow()
        client = node.aio()
        with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
            await client.ping()
        await asyncio.to_thread(far.refuse)
        pool: Any = client.connection_pool
        while pool._failure is None:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(far.swallow)
        with pytest.raises(RedisConnectionError, match=OPENING_FAILED):
            await client.ping()
        await node.aclose()

    asyncio.run(main(node_over(far.url, deadline="10ms")))


def test_a_connection_that_opens_after_the_pool_was_closed_is_closed(
    own_redis_server: RedisServer, far: ChaosProxy
) -> None:
    # Guard: `_life`. It would stay open, and nobody would know of it.
    far.swallow()
    node = node_over(far.url, deadline="10ms")
    with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
        node.sync().ping()
    until(lambda: far.connections == 1)
    pool = node.sync().connection_pool
    node.close()
    far.normal()
    until(lambda: not pool._opening)
    until(lambda: far.connections == 0)
    assert not pool._all


def test_a_task_that_gives_up_loses_no_connection(own_redis_server: RedisServer) -> None:
    # Guard: `_take_back`. A connection may be handed to a task at the moment at which it is cancelled.
    async def main(node: Node) -> None:
        client = node.aio()
        pool: Any = client.connection_pool
        for round_ in range(100):
            tasks = [asyncio.ensure_future(client.ping()) for _ in range(6)]
            for _ in range(round_ % 7):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        while pool._opening:
            await asyncio.sleep(0.001)
        assert len(pool._free) == len(pool._all) <= 2
        assert all(await asyncio.gather(*(client.ping() for _ in range(20))))
        await node.aclose()

    asyncio.run(main(node_over(own_redis_server.url, pool_size=2, pool_wait="10s")))


def test_a_full_pool_makes_a_request_wait_for_its_own_time(own_redis_server: RedisServer) -> None:
    # Guard: `Waits.full`. With the deadline of 5 s, a connection that may be opened has 1.5 s.
    node = node_over(own_redis_server.url, pool_size=1, pool_wait="10ms")
    taken = node.connected().connection_pool.get_connection()
    began = time.monotonic()
    with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
        node.sync().ping()
    assert time.monotonic() - began < 1.0
    node.sync().connection_pool.release(taken)
    assert node.sync().ping()
    node.close()


def test_a_unix_socket_is_opened_in_threads_and_in_loops() -> None:
    # Guard: `DialedUnix` and `AsyncDialedUnix`, which have no addresses.
    async def main(node: Node) -> None:
        assert await node.aio().ping()
        await node.aclose()

    with RedisServer(unix=True) as server:
        node = node_over(server.url)
        assert node.sync().ping()
        with closing(node.dedicated_client(5.0)) as client:
            assert client.ping()
        asyncio.run(main(node))
        node.close()


def test_an_attempt_that_began_before_is_no_failure_of_who_comes_later(far: ChaosProxy) -> None:
    # Guard: `_await_twice`, in both pools. The first purge after an outage was queued.
    node = node_over(far.url, deadline="50ms", pool_wait="10ms")
    far.swallow()
    with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
        node.sync().ping()
    far.cut()  # the attempt fails when nobody waits for it, or while the next one does
    far.normal()
    assert node.connected(5.0).ping()
    node.close()

    async def main() -> None:
        far.swallow()
        with pytest.raises(RedisConnectionError, match=POOL_EMPTY):
            await node.aio().ping()
        far.cut()
        far.normal()
        assert await (await node.aconnected(5.0)).ping()
        await node.aclose()

    asyncio.run(main())
