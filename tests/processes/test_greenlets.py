"""Greenlets for threads: gunicorn's gevent workers, which patch sockets, locks, threads and sleeping."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from cachemw.testing import RedisServer
from tests.support.caches import options
from tests.support.servers import Client, client_of_each, serve
from tests.support.waiting import until

from .load import Load

PATCHED_LATE = """
import json, sys
from cachemw import Cache
cache = Cache.from_dict(json.loads(sys.argv[1]))
from gevent import monkey
monkey.patch_all()
import gevent
gevent.joinall([gevent.spawn(cache.start) for _ in range(50)], raise_error=True)
while not cache.log.live:
    gevent.sleep(0.002)
print(cache.purge(tags=["any"]).status)
"""
"""What a preloaded worker does, at the moment that cannot be met from outside."""


def test_greenlets_begin_to_follow_also_where_locks_were_made_before_gevent_came(
    redis_url: str,
) -> None:
    # Guard: nobody waits for a lock that is held while the follower's thread starts.
    pytest.importorskip("gevent")
    done = subprocess.run(
        [sys.executable, "-c", PATCHED_LATE, json.dumps(options(redis_url))],
        check=True,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout.strip() == "confirmed"


@pytest.mark.parametrize(
    "kind", [pytest.param("gevent", marks=pytest.mark.thorough), "gevent-preload"]
)
def test_greenlets_that_ask_for_a_cold_page_at_once_cost_one_call(
    kind: str, redis_url: str, tmp_path: Path
) -> None:
    # The first fifty requests of new workers, which begin to follow the log; and fifty that wait.
    with ExitStack() as stack:
        server = stack.enter_context(serve(kind, redis_url, tmp_path, APP_LEASE="15s"))
        crowd = [stack.enter_context(server.client()) for _ in range(50)]
        for client in crowd:
            client.send("/pages/cold")
        assert {client.answer().body for client in crowd} == {b"cold v1"}
        with client_of_each(server) as each:
            calls = server.calls
            for client in crowd:
                client.send("/paused/page")
            until(lambda: sum(client.about()["waiting"] for client in each) >= 48)
            server.go_on("page")
            assert {client.answer().body for client in crowd} == {b"page v1"}
            # The leader of each worker takes the lease, or waits for who has it.
            assert server.calls - calls == 1
            until(lambda: not sum(client.about()["flights"] for client in each))


@pytest.mark.thorough
def test_greenlets_follow_the_log_and_no_request_fails_while_redis_is_away(
    own_redis_server: RedisServer, tmp_path: Path
) -> None:
    with serve("gevent", own_redis_server.url, tmp_path) as server, client_of_each(server) as each:
        purge_everywhere(each, "page")
        load = Load(server.port, clients=6)
        with load.flowing():
            until(lambda: len(load.whole) > 50)
            own_redis_server.kill()
            until(lambda: not any(client.about()["live"] for client in each))
            answered = len(load.whole)
            until(lambda: len(load.whole) > answered + 50)
            own_redis_server.start()
            until(lambda: all(client.about()["live"] for client in each))
            answered = len(load.whole)
            until(lambda: len(load.whole) > answered + 50)
        assert (load.broken, load.unanswered) == ([], [])
        # Not confirmed for five seconds, for others may still be on their way back.
        assert each[0].get("/pages/page", "PUT").body == b"appended"
        for client in each:
            until(lambda client=client: client.get("/pages/page").body == b"page v22")


def purge_everywhere(each: list[Client], page: str) -> None:
    path = f"/pages/{page}"
    for version in range(1, 21):
        for client in each:
            assert client.get(path).body == f"{page} v{version}".encode()
        assert each[version % len(each)].get(path, "PUT").body == b"confirmed"
