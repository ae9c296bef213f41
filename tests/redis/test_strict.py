"""A strict route beside a bounded one, in a process whose network to Redis is broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.caches import Site, caches_over
from tests.support.waiting import LIMIT, until

ROUTES = [
    {"name": "bounded", "path": "/bounded", "ttl": "1h", "risk": "low", "tags": ["both"]},
    {"name": "strict", "path": "/strict", "ttl": "1h", "risk": "high", "tags": ["both"]},
]
SETTINGS = {"routes": ROUTES, "consistency": {"high": "strict"}, "redis": {"deadline": "400ms"}}
AT_ONCE = 0.3
"""Seconds; less than one command on a broken network would take."""


@pytest.fixture
def proxy(own_redis_server: RedisServer) -> Iterator[ChaosProxy]:
    with ChaosProxy(own_redis_server.url) as made:
        yield made


@pytest.fixture
def near(own_redis_server: RedisServer) -> Iterator[Site]:
    with caches_over(own_redis_server.url) as caches:
        yield Site(caches.make(**SETTINGS))


@pytest.fixture
def far(proxy: ChaosProxy, near: Site) -> Iterator[Site]:
    """Yield the site behind the proxy, both pages in its memory."""
    with caches_over(proxy.url) as caches:
        site = Site(caches.make(**SETTINGS), near.versions)
        for path in ("/bounded", "/strict"):
            until(lambda path=path: site.hits(path))  # type: ignore[misc]
        yield site


@pytest.mark.parametrize("manner", ["refuse", "swallow"])
def test_cut_off_the_strict_route_asks_the_application_and_the_bounded_one_may_serve(
    proxy: ChaosProxy, near: Site, far: Site, manner: str
) -> None:
    # Guard: `Trust.end` in `_disconnected`. The limit of the bounded route is half a minute.
    getattr(proxy, manner)()
    until(lambda: not far.cache.log.live)
    near.versions.update({"/bounded": 2, "/strict": 2})
    near.cache.purge(tags=["both"])
    began = time.monotonic()
    strict = [far.get("/strict") for _ in range(3)]
    assert time.monotonic() - began < AT_ONCE
    assert {answer.body for answer in strict} == {b"/strict v2"}
    assert all("detail=cut-off" in answer.cache_status for answer in strict)
    assert far.get("/bounded").body == b"/bounded v1"
    proxy.normal()
    until(lambda: far.cache.log.live)
    assert far.get("/bounded").body == b"/bounded v2", "the purge was heard on the way back"
    until(lambda: far.hits("/strict"))
    assert far.get("/strict").body == b"/strict v2"


def test_memory_is_over_before_a_silent_process_is_waited_for_no_more(
    near: Site, far: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A confirmed purge has no exception where Redis was there all the time, on no route.

    Guards: the time in `Trust.prove`, and `_due` in `Trust.serves`; nothing else tells.
    """
    stuck, go_on = threading.Event(), threading.Event()

    def hang(client: object) -> None:
        stuck.set()
        go_on.wait(LIMIT)

    far.cache.log._hooks.tick = hang  # type: ignore[attr-defined]
    assert stuck.wait(LIMIT)
    near.versions.update({"/bounded": 2, "/strict": 2})
    until(lambda: near.cache.purge(tags=["both"]).confirmed)
    assert far.cache.log.live, "it has not noticed"
    assert far.get("/strict").body == b"/strict v2"
    assert far.get("/bounded").body == b"/bounded v2"
    assert not far.cache.log.judges_shared, "what others stored cannot be judged either"
    go_on.set()
    until(lambda: far.get("/bounded").body == b"/bounded v2")
    until(lambda: "event=log_late seconds=" in caplog.text)


def test_the_limit_of_bounded_routes_is_published_beside_the_age(near: Site) -> None:
    gauges = near.cache.stats().gauges
    assert gauges["log_partition_limit"] == 30.0
    assert 0 <= gauges["log_age"] < gauges["log_partition_limit"]
