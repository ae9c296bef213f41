"""Several event loops in one process, and threads beside them, over one cache."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from asgiref.sync import async_to_sync

from cachemw import Cache, asgi
from tests.support.caches import Caches, Site, caches_over, options
from tests.support.calls import live
from tests.support.servers import Client
from tests.support.waiting import until

VERSIONS: dict[str, int] = {}


@pytest.fixture
def caches(redis_url: str) -> Iterator[Caches]:
    VERSIONS.clear()
    with caches_over(redis_url) as made:
        yield made


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    path = scope["path"]
    body = f"{path} v{VERSIONS.get(path, 1)}".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Serving:
    """A server in a thread of this process, with a loop of its own."""

    def __init__(self, cache: Cache) -> None:
        door = asgi.CacheMiddleware(application, cache)
        config = uvicorn.Config(door, port=0, log_level="error", lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    @property
    def port(self) -> int:
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@contextmanager
def two_servers(cache: Cache) -> Iterator[tuple[Serving, Serving]]:
    """Run two servers over a cache; those that still run in the end are ended."""
    here, there = Serving(cache), Serving(cache)
    try:
        for each in (here, there):
            each.thread.start()
            until(lambda each=each: each.server.started)
        until(lambda: cache.log.live)  # type: ignore[attr-defined]
        yield here, there
    finally:
        here.end()
        there.end()


def read_all(port: int, seed: int) -> list[str]:
    """Ask for many pages over one connection; give what came wrong."""
    wrong = []
    with Client(port) as client:
        for number in range(200):
            path = f"/things/{(number * 7 + seed * 13) % 60}"
            answer = client.get(path)
            if (answer.status, answer.body) != (200, f"{path} v1".encode()):
                wrong.append(f"{path}: {answer}")
    return wrong


def test_two_loops_and_threads_beside_them_get_right_answers(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: the clients of Redis by loop; a connection of another loop's answers nobody, or the wrong one.
    cache = Cache.from_dict(options(caches.url))
    site = Site(cache)

    def in_a_thread(seed: int) -> list[str]:
        paths = [f"/things/{(number * 7 + seed * 13) % 60}" for number in range(200)]
        return [path for path in paths if site.get(path).body != f"{path} v1".encode()]

    with two_servers(cache) as (here, there), ThreadPoolExecutor(8) as pool:
        reading = [
            pool.submit(read_all, each.port, seed) for each in (here, there) for seed in (1, 2)
        ]
        reading += [pool.submit(in_a_thread, seed) for seed in (3, 4)]
        cleared = 0
        while not all(one.done() for one in reading):
            cache.memory.clear()  # so that Redis is asked, from every loop and thread
            # A loop of a moment's life, as Django's threads have them.
            assert async_to_sync(cache.apurge)(tags=["nothing"]).status == "confirmed"
            cleared += 1
        assert [one.result() for one in reading] == [[]] * len(reading)
        assert cleared > 1
        # Ours, and those of two loops, of threads and of loops that are gone and not yet collected.
        assert len(redis_server.command("CLIENT", "LIST").splitlines()) < 60


def test_a_server_that_ends_leaves_the_log_to_the_other_in_its_process(caches: Caches) -> None:
    # Guard: only the last of a process's servers closes the cache. Without it the other one goes on
    # serving from memory, and nobody's purge waits for it.
    cache, purger = Cache.from_dict(options(caches.url)), caches.make()
    with two_servers(cache) as (here, there), Client(there.port) as client:
        path = "/things/7"
        assert client.get(path).body == b"/things/7 v1"
        here.end()
        assert cache.log.live  # type: ignore[attr-defined]
        for version in range(2, 22):
            VERSIONS[path] = version
            purged = purger.purge(tags=["thing:7"])
            assert (purged.status, purged.reached) == ("confirmed", 2)
            assert client.get(path).body == f"{path} v{version}".encode()
        assert client.get(path, Connection="close").status == 200
        there.end()
        assert not cache.log.following  # type: ignore[attr-defined]
        assert purger.purge(tags=["thing:7"]).reached == 1
