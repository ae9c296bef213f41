"""A client that goes away cancels its request, and not the purge of what the request has changed."""

from __future__ import annotations

import asyncio

import pytest

from cachemw.testing import RedisServer
from tests.support.caches import Caches
from tests.support.waiting import until


def test_a_purge_that_is_cancelled_on_its_way_arrives_all_the_same(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: the last `except` of `Cache.ainvalidate`.
    cache = own_caches.make()

    async def write() -> None:
        own_redis_server.hang()
        writing = asyncio.create_task(cache._core.purger.ainvalidate(("thing:7",)))
        await asyncio.sleep(0)  # by now it waits for its connection
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    try:
        asyncio.run(write())
    finally:
        own_redis_server.resume()

    def arrived() -> bool:
        return "thing:7" in str(
            own_redis_server.command("XRANGE", "cachemw:{shared}:log", "-", "+")
        )

    until(arrived)
