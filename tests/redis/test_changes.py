"""An unsafe request in one process: what it changed is gone in the others, and it waits for nobody."""

from __future__ import annotations

import time

from cachemw.testing import RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

POST = {"REQUEST_METHOD": "POST"}


def pair(caches: Caches, **changes: object) -> tuple[Site, Site]:
    """Make the same site in two processes."""
    versions: dict[str, int] = {}
    return Site(caches.make(**changes), versions), Site(caches.make(**changes), versions)


def test_the_other_process_has_heard_of_it_when_the_answer_is_out(caches: Caches) -> None:
    here, there = pair(caches)
    path = "/things/changed"
    for site in (here, there):
        site.get(path)
    until(lambda: there.hits(path))
    here.versions[path] = 2
    here.get(path, **POST)
    assert here.get(path).body == f"{path} v2".encode()
    # The follower has been told; at most it is a moment late, where the machine is busy.
    until(lambda: there.get(path).body == f"{path} v2".encode(), limit=1.0)


def test_what_is_in_redis_is_gone_with_it(caches: Caches) -> None:
    here, there = pair(caches)
    path = "/things/shared"
    here.get(path)
    until(lambda: there.hits(path))
    here.versions[path] = 2
    here.get(path, **POST)
    there.cache.memory.clear()
    until(lambda: there.get(path).body == f"{path} v2".encode(), limit=1.0)


def test_a_write_does_not_wait_for_a_redis_that_is_away(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    """I3. The guard is `_must_wait`: without it each write waits for a deadline."""
    here, _ = pair(own_caches, redis={"deadline": "200ms"})
    here.get("/things/1")
    own_redis_server.kill()
    until(lambda: not here.cache.log.live)
    began = time.monotonic()
    for _ in range(20):
        here.get("/things/1", **POST)
    assert time.monotonic() - began < 20 * 0.05
    assert not here.hits("/things/1")


def test_a_change_made_while_redis_was_away_reaches_the_others_afterwards(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    here, there = pair(own_caches)
    there.get("/things/1")
    assert there.hits("/things/1")
    own_redis_server.kill()
    until(lambda: not here.cache.log.live)
    here.versions["/things/1"] = 2
    here.get("/things/1", **POST)
    own_redis_server.start()
    until(lambda: there.get("/things/1").body == b"/things/1 v2")
