"""Redis goes away and comes back: what may be served, confirmed and switched meanwhile."""

from __future__ import annotations

import pytest

from cachemw.testing import ChaosProxy, RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

from .following import held_up


def test_no_purge_counts_as_confirmed_while_others_may_still_be_coming_back(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `others_are_back`, asked in `Appender._confirm`. Without it the first process back is the
    # only one on record, and confirms alone what another still serves.
    cache = own_caches.make()
    assert cache.purge(tags=["a"]).confirmed
    own_redis_server.kill()
    own_redis_server.start()
    until(lambda: cache.log.live and cache.purge(tags=["a"]).status != "queued")
    result = cache.purge(tags=["a"])
    assert (result.status, result.waiting) == ("appended", 0)


def test_a_purge_that_finds_the_log_gone_before_its_follower_does_is_not_confirmed(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `mark_log_lost` in `Appender._append_to_new_log`.
    cache = own_caches.make(log={"poll": "5s", "confirm_wait": "20ms"})
    own_redis_server.command("FLUSHALL")
    assert cache.purge(tags=["a"]).status == "appended"


def test_no_purge_counts_as_confirmed_when_the_heartbeats_are_lost(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `Followers.count` misses the purger's own heartbeat. One process has begun the log again
    # before the others noticed that it was lost, and is the only one on record.
    here, there, behind = (own_caches.make() for _ in range(3))
    with held_up(there), held_up(behind):
        own_redis_server.command("FLUSHALL")
        assert here.purge(tags=["a"]).status == "appended"
        assert there.purge(tags=["b"]).status == "appended"


@pytest.mark.parametrize(("limit", "served"), [("0s", False), ("30s", True)])
def test_memory_is_served_without_a_log_as_the_limit_says_and_with_one_always(
    own_caches: Caches, own_redis_server: RedisServer, limit: str, served: bool
) -> None:
    # Guards: `Trust.prove` (0 must not mean never) and `Trust.end` (0 must mean 0).
    cache = own_caches.make(log={"partition_limit": limit})
    site = Site(cache)
    site.get("/things/1")
    assert site.hits("/things/1")
    own_redis_server.kill()
    until(lambda: not cache.log.live)
    for _ in range(2):  # what was made before, and what is made while it is away
        assert site.hits("/things/1") is served


def test_flags_set_while_redis_is_away_reach_the_others_when_it_is_back(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `Flags.publish_pending`, called on rejoining.
    here, there = own_caches.make(), own_caches.make()
    own_redis_server.kill()
    until(lambda: not here.log.live and not there.log.live)
    assert here.flags.set(low="off") is False
    assert here.flags.states()["low"] == "off"
    own_redis_server.start()
    until(lambda: there.flags.states()["low"] == "off")


def test_flags_set_while_redis_is_away_give_way_to_newer_ones(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    cache = own_caches.make()
    own_redis_server.kill()
    until(lambda: not cache.log.live)
    cache.flags.set(low="off")
    cache.flags.receive(b'{"revision": 9, "kill": false, "classes": {}, "routes": {}}')
    cache.flags.publish_pending()
    assert cache.flags.states()["low"] == "on"


def test_a_process_that_ends_sends_what_it_has_queued(
    own_caches: Caches, own_redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `_append_last`. The follower would only have come to it a minute later.
    monkeypatch.setattr("cachemw.invalidation.log.follower._RETRY", 60.0)
    with ChaosProxy(own_redis_server.url) as proxy:
        cache = Caches(proxy.url).make()
        proxy.refuse()
        proxy.cut()
        until(lambda: not cache.log.live)
        assert cache.purge(tags=["a-last-one"]).status == "queued"
        proxy.normal()
        cache.close()
    assert "a-last-one" in str(own_redis_server.command("XRANGE", "cachemw:{shared}:log", "-", "+"))


def test_a_process_that_ends_says_what_it_could_not_send(
    own_caches: Caches, own_redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cache = own_caches.make()
    own_redis_server.kill()
    until(lambda: not cache.log.live)
    for tag in ("a", "b"):
        assert cache.purge(tags=[tag]).status == "queued"
    cache.close()
    assert "event=purges_unsent count=2" in caplog.text
