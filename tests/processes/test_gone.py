"""Clients that go away in mid-request, a hundred at random moments: nobody else may notice."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.servers import Client, client_of_each, serve
from tests.support.waiting import until

from .load import ask, is_whole, leave, slow_body

pytestmark = pytest.mark.thorough

TAKEN = 0.06
"""Seconds within which a client goes away: what a page takes, the ways to Redis with it."""

HANGS = 12.0
"""Seconds; who follows a flight that nobody leads any more waits for fifteen."""


@pytest.mark.parametrize(
    "kind",
    [
        "uvicorn",
        *(pytest.param(kind, marks=pytest.mark.thorough) for kind in ("gunicorn", "gevent")),
    ],
)
def test_a_hundred_clients_that_go_away_are_not_noticed(
    kind: str, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    # Guards: a leader's place passes on, a follower's is given up, a cancelled command's connection
    # is not used again. Redis takes 5 ms, so that clients go away during lookups and leases too.
    rng = random.Random(11)
    with (
        ChaosProxy(own_redis_server.url) as proxy,
        serve(kind, proxy.url, tmp_path) as server,
        client_of_each(server) as each,
    ):
        proxy.slow("5ms")
        broken: list[str] = []

        def stay(name: str) -> None:
            began = time.monotonic()
            data = ask(server.port, f"/slow/{name}")
            seconds = time.monotonic() - began
            if not data or not is_whole(data, slow_body(name)) or seconds > HANGS:
                broken.append(f"{name}: {seconds:.1f} s, {data!r:.200}")

        def go(name: str, seed: int) -> None:
            leave(server.port, f"/slow/{name}", TAKEN, random.Random(seed))

        with ThreadPoolExecutor(16) as pool:
            asking = []
            for number in range(150):  # of each page's six, four go away
                name = f"page-{number // 6}"
                if number % 6 in (1, 4):
                    asking.append(pool.submit(stay, name))
                else:
                    asking.append(pool.submit(go, name, rng.randrange(1 << 30)))
            for one in asking:
                one.result()
        assert broken == []
        until(lambda: all(state(client) == (0, 0, 0) for client in each))
        proxy.normal()
        until(
            lambda: not own_redis_server.command("KEYS", "*:lease")
        )  # one that nobody gave back is renewed
        for number in range(25):
            for client in each:
                name = f"page-{number}"
                assert client.get(f"/slow/{name}").body == slow_body(name)
        # A follower's connection for each worker, at most a pool's for each, and the one that asks.
        assert connections(own_redis_server) <= 2 * (1 + 20) + 1


def state(client: Client) -> tuple[int, int, int]:
    about = client.about()
    return about["waiting"], about["flights"], about["rejected"]


def connections(server: Any) -> int:
    return len(server.command("CLIENT", "LIST").splitlines())
