"""One process, one loop, one client: nobody ever reads an answer to somebody else's question."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.entry import Entry
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.codec import Codec
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.tier import RedisTier
from cachemw.testing import FakeClock, RedisServer
from tests.support.caches import Caches, options
from tests.support.forks import WAYS, needs_forks
from tests.support.waiting import until

from .test_contract import EPOCH, Tiers, entry, key, tiers  # noqa: F401

FORKING = Path(__file__).with_name("forking.py")
NAMES = [f"name-{number}" for number in range(8)]


def forked(redis_url: str, way: str, what: str) -> dict[str, Any]:
    """Return what the children of a process report, and what the process itself does."""
    # A follower that wakes up often might want the interpreter's lock just when its process is forked.
    config = json.dumps(options(redis_url, redis={"deadline": "5s"}, log={"poll": "2s"}))
    done = subprocess.run(
        [sys.executable, str(FORKING), config, way, what],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@needs_forks
@pytest.mark.parametrize("way", WAYS)
def test_the_first_request_of_a_child_gets_nothing_that_was_purged_since_the_fork(
    redis_url: str, way: str
) -> None:
    # Guards: the time until which memory is trusted is 0 in a child, and `notice_fork` in `start`.
    # Purges do not wait for a process that has not joined the log yet.
    result = forked(redis_url, way, "page")
    children, parent = result["children"], result["parent"]
    assert all(each["maker"] != result["pid"] for each in children), "purged, and confirmed"
    assert [each["requests"] for each in children] == [1] * len(children)
    assert len({each["me"] for each in (*children, parent)}) == 5


@needs_forks
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_child_has_a_follower_clients_and_counters_of_its_own(
    redis_url: str, way: str
) -> None:
    # Guards: `register_at_fork` and `notice_fork`; without them the children share the parent's
    # connections and read each other's answers, and nobody follows the log for them.
    result = forked(redis_url, way, "everything")
    children, parent = result["children"], result["parent"]
    for each in (*children, parent):
        assert (each["right"], each["wrong"], each["none"]) == (1200, 0, 0)
    assert len({each["me"] for each in (*children, parent)}) == 5
    for each in children:
        inherited = each["inherited"]
        assert inherited == {"requests": {}, "live": False, "clients": False, "memory": 0}
        assert each["purge"] in ("confirmed", "appended")


def test_every_event_loop_has_a_client_of_its_own(tiers: Tiers, clock: FakeClock) -> None:  # noqa: F811
    # Guard: the table by loop; a connection's reader belongs to the loop that opened it.
    tier = tiers.make()
    for name in NAMES:
        tier.put(key(name), entry(name, clock))
    clients: set[Any] = set()
    wrong: list[str] = []

    async def read_all() -> None:
        clients.add(the_node(tiers.nodes).aio())
        for _ in range(50):
            found = await asyncio.gather(*(tier.aget(key(name), EPOCH) for name in NAMES))
            wrong.extend(
                name
                for name, each in zip(NAMES, found, strict=True)
                if each is None or each.body != name.encode()
            )
        await tiers.nodes.aclose()

    threads = [threading.Thread(target=lambda: asyncio.run(read_all())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(clients), wrong) == (4, [])


def test_a_loop_that_is_gone_leaves_no_client_behind(
    tiers: Tiers,  # noqa: F811
    clock: FakeClock,
    redis_server: Any,
) -> None:
    # Guard: the generator that the loop closes at its end. A client refers to its loop, so that
    # nothing is ever collected: one connection for each request of Django's `async_to_sync`.
    tier = tiers.make()
    tier.put(key("one"), entry("one", clock))

    async def read(*, close: bool) -> Entry | None:
        try:
            return await tier.aget(key("one"), EPOCH)
        finally:
            if close:
                await tiers.nodes.aclose()

    before = connections(redis_server)
    for number in range(20):
        assert asyncio.run(read(close=number % 2 == 0)) is not None
        assert len(the_node(tiers.nodes)._by_loop) == 0
    until(lambda: connections(redis_server) == before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_just_closed_is_forgotten_by_the_next(
    tiers: Tiers,  # noqa: F811
    redis_server: Any,
) -> None:
    # Guard: whoever makes a client looks for loops that are closed.
    tier = tiers.make()
    before = connections(redis_server)
    for _ in range(20):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(tier.aget(key("none"), EPOCH))
        loop.close()
    assert len(the_node(tiers.nodes)._by_loop) == 1
    del loop
    gc.collect()  # what is closed was not ours to close: it goes when it is collected
    until(lambda: connections(redis_server) <= before + 1)
    asyncio.run(tier.aget(key("none"), EPOCH))  # forgets the last one
    gc.collect()


def connections(server: Any) -> int:
    return len(server.command("CLIENT", "LIST").splitlines())


def test_cancelled_commands_never_leave_an_answer_for_somebody_else(
    tiers: Tiers,  # noqa: F811
    clock: FakeClock,
) -> None:
    # redis-py drops the connection of a cancelled command since 8.1; if it ever fails to, the key
    # that every envelope carries is the second guard, and its counter shows it here.
    tier = tiers.make()
    for name in NAMES:
        tier.put(key(name), entry(name, clock))
    rng = random.Random(7)
    wrong: list[str] = []
    cancelled = 0

    async def one(name: str) -> None:
        nonlocal cancelled
        task = asyncio.ensure_future(tier.aget(key(name), EPOCH))
        for _ in range(rng.randrange(6)):
            await asyncio.sleep(0)
        task.cancel()
        try:
            found = await task
        except asyncio.CancelledError:
            cancelled += 1
            found = await tier.aget(key(name), EPOCH)
        if found is None or found.body != name.encode():
            wrong.append(name)

    async def main() -> None:
        for _ in range(250):
            await asyncio.gather(*(one(name) for name in NAMES))
        await tiers.nodes.aclose()

    asyncio.run(main())
    assert wrong == []
    assert cancelled > 200
    assert tiers.counted["entry_rejected", "key"] == 0


def the_node(nodes: Nodes) -> Node:
    """Return the one server's node."""
    return nodes.of(b"any")


def tier_with(url: str, clock: FakeClock, **settings: Any) -> tuple[RedisTier, Nodes]:
    # The machine is shared and slow at times; deadlines are measured among the faults.
    nodes = Nodes(RedisConfig(url=url, **{"deadline": "10s", **settings}))
    tier = RedisTier(
        Commands(nodes, lambda event, reason: None),
        "contract",
        Codec([b"secret"], threshold=1024, level=3, max_body=1 << 20),
        server_clock=lambda: 0.0,
        monotonic=clock.monotonic,
        count=lambda event, reason: None,
    )
    return tier, nodes


def test_an_empty_pool_is_a_miss_after_a_short_wait_and_no_illness(
    own_redis_server: RedisServer, clock: FakeClock
) -> None:
    # Guard: `_POOL_EMPTY` keeps our own load from opening the breaker.
    one = {"pool_size": 1, "pool_wait": "10ms", "breaker_failures": 1}
    tier, nodes = tier_with(own_redis_server.url, clock, **one)
    clients = the_node(nodes)
    taken = clients.sync().connection_pool.get_connection()
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="ConnectionError"):
                tier.get(key("one"), EPOCH)
        assert clients.breaker.closed
    finally:
        clients.sync().connection_pool.release(taken)
    assert tier.get(key("one"), EPOCH) is None
    nodes.close()


def test_a_log_that_is_closed_can_be_followed_again(caches: Caches) -> None:
    cache = caches.make()
    cache.close()
    assert not cache.log.live
    cache.start()
    until(lambda: cache.log.live)
    assert cache.purge(tags=["any"]).confirmed
