"""SIGTERM under load: whoever was accepted is answered whole, and nothing of ours holds the end up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cachemw import Cache, wsgi
from tests.support.calls import call_wsgi
from tests.support.servers import client_of_each, serve
from tests.support.waiting import until

from .load import Load, slow_body

pytestmark = pytest.mark.thorough

KINDS = [
    "uvicorn",
    "gunicorn",
    *(
        pytest.param(kind, marks=pytest.mark.thorough)
        for kind in ("gunicorn-asgi", "uvicorn-worker", "gevent")
    ),
]
FOLLOWERS = "cachemw:{servers}:followers"


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_ends_under_load_answers_whoever_it_has_accepted(
    kind: str, redis_server: Any, redis_url: str, tmp_path: Path
) -> None:
    # Guards: the follower and the refreshes are daemons; the log is left at the interpreter's exit
    # where no lifespan says so; a heartbeat is taken back by whoever stops following.
    with serve(kind, redis_url, tmp_path) as server:
        with client_of_each(server):
            pass
        load = Load(server.port, clients=12)
        with load.flowing():
            until(lambda: len(load.whole) > 100)
            began = time.monotonic()
            server.terminate()
            taken = time.monotonic() - began
            until(lambda: redis_server.command("HLEN", FOLLOWERS) == 0, limit=0.5)
    assert load.broken == []
    # Whom nobody answered was in the kernel's queue, and never reached the server.
    assert not [number for number in load.unanswered if server.has(f"reached-{number}")]
    assert server.has("reached-1")
    assert taken < 5.0  # the requests under way take 40 ms; the machine may be busy
    assert wrong_in_redis(redis_url, load) == []
    assert "Traceback" not in server.log.read_text()


def wrong_in_redis(url: str, load: Load) -> list[str]:
    """Give the pages that another process cannot read in Redis as they were made; absent is right."""
    cache = Cache.from_dict(
        {
            "namespace": "servers",
            "redis": {"url": url, "deadline": "2s"},
            "routes": [{"name": "slow", "path": "/slow/{id}", "ttl": "1h"}],
        }
    )
    absent = b"absent"

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Cache-Control", "no-store")])
        return [absent]

    door = wsgi.CacheMiddleware(application, cache)
    try:
        cache.start()
        until(lambda: cache.log.live)  # type: ignore[attr-defined]
        found = {
            name: call_wsgi(door, f"/slow/{name}", HTTP_HOST="127.0.0.1").body
            for name in set(load.whole)
        }
        assert sum(body != absent for body in found.values()) > len(found) / 2
        assert "entry_rejected" not in cache.stats().events
        return [name for name, body in found.items() if body not in (absent, slow_body(name))]
    finally:
        cache.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_that_hangs_does_not_keep_a_process_from_ending(
    kind: str, redis_url: str, tmp_path: Path
) -> None:
    # Guards: refreshes run in daemon threads; those of `concurrent.futures` are waited for at exit. In an
    # event loop they are cancelled.
    with serve(kind, redis_url, tmp_path) as server:
        with client_of_each(server) as (client, _):
            client.get("/renewed/one")
            (server.data / "hang-one").touch()
            until(lambda: client.get("/renewed/one") and server.has("paused-one"))
        began = time.monotonic()
        server.terminate()
        assert time.monotonic() - began < 5.0
