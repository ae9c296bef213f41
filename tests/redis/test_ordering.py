"""Orders by HTTP where there is a fleet: they hold in every process, and wait for a Redis that is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from cachemw import Cache
from cachemw.frontdoor.purge_endpoint import endpoint_of
from cachemw.frontdoor.purge_orders import PurgeOrders
from cachemw.http.fields import Fields
from cachemw.http.messages import Content, Request
from cachemw.testing import RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

TOKEN = "the-operators-token"
ENDPOINT = {"endpoint": {"token": TOKEN}}

Carry = Callable[[Cache, Request], Any]


def orders(cache: Cache) -> PurgeOrders:
    endpoint = endpoint_of(cache.config.endpoint)
    assert endpoint is not None
    return PurgeOrders(cache._core, endpoint)


def in_a_thread(cache: Cache, request: Request) -> Any:
    return orders(cache).execute(request)


def in_a_loop(cache: Cache, request: Request) -> Any:
    async def main() -> Any:
        try:
            return await orders(cache).aexecute(request)
        finally:
            await cache._core.aleave()

    return asyncio.run(main())


@pytest.fixture(params=[in_a_thread, in_a_loop])
def carry(request: pytest.FixtureRequest) -> Carry:
    found: Carry = request.param
    return found


def order(document: dict[str, Any]) -> Request:
    fields = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    return Request(
        method="POST",
        scheme="http",
        mount="",
        path="/.cachemw/purge",
        raw_path=b"/.cachemw/purge",
        query=b"",
        headers=Fields([(name.encode(), value.encode()) for name, value in fields.items()]),
        content=Content(json.dumps(document).encode()),
    )


def test_an_order_here_is_a_purge_there(caches: Caches, carry: Carry) -> None:
    here, there = Site(caches.make(**ENDPOINT)), Site(caches.make())
    there.get("/things/7")
    answer = carry(here.cache, order({"tags": ["thing:7"]}))
    found = json.loads(answer.body)
    assert (answer.status, found["status"], found["reached"]) == (200, "confirmed", 2)
    assert not there.hits("/things/7")


def test_a_dry_run_looks_into_redis(caches: Caches, carry: Carry) -> None:
    here, there = Site(caches.make(**ENDPOINT)), Site(caches.make())
    for path in ("/things/7", "/things/8"):
        there.get(path)
    answer = carry(here.cache, order({"routes": ["things"], "dry_run": True}))
    found = json.loads(answer.body)
    assert (answer.status, found["complete"]) == (200, True)
    assert (found["redis"]["routes"], found["memory"]["entries"]) == ({"things": 2}, 0)
    assert there.hits("/things/7")


def test_an_order_waits_for_a_redis_that_is_away(
    own_redis_server: RedisServer, own_caches: Caches, carry: Carry
) -> None:
    # Guard: the status of what is queued, in `told`.
    site = Site(own_caches.make(redis={"deadline": "50ms"}, **ENDPOINT))
    site.get("/things/7")
    own_redis_server.kill()
    until(lambda: not site.cache.log.live)
    answer = carry(site.cache, order({"tags": ["thing:7"]}))
    assert (answer.status, json.loads(answer.body)["status"]) == (202, "queued")
    assert not site.hits("/things/7")


def test_a_dry_run_says_that_redis_is_away(
    own_redis_server: RedisServer, own_caches: Caches, carry: Carry
) -> None:
    site = Site(own_caches.make(**ENDPOINT))
    own_redis_server.kill()
    until(lambda: not site.cache.log.live)
    answer = carry(site.cache, order({"everything": True, "dry_run": True}))
    assert answer.status == 503
    assert "cannot be read" in json.loads(answer.body)["error"]
    assert site.cache.stats().events["endpoint_refused"] == {"store": 1}


def test_a_purge_by_http_goes_on_where_no_thread_follows_the_log(caches: Caches) -> None:
    """As in a process whose first request is the purge itself."""
    there = Site(caches.make())
    there.get("/things/7")
    here = caches.make(live=False, **ENDPOINT)
    assert orders(here).execute(order({"urls": ["/things/7"]})).status == 200
    until(lambda: not there.hits("/things/7"))
