"""A purge in one process holds in every other: seen, confirmed, and kept while Redis is away."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cachemw import Cache
from cachemw.engine.model.entry import Verdict
from cachemw.invalidation.purges import PurgeResult
from cachemw.testing import ChaosProxy, RedisServer
from tests.support.caches import PURGE_TAG, Caches, Site, entry_of, options
from tests.support.waiting import until

from .following import (
    FOLLOWERS,
    STREAM,
    held_up,
    judged,
    process,
    records,
    served_before_reading,
    stop,
)


def purge(cache: Cache, door: str, **what: Any) -> PurgeResult:
    """Purge from a thread or from an event loop."""
    if door == "threads":
        return cache.purge(**what)

    async def main() -> PurgeResult:
        try:
            return await cache.apurge(**what)
        finally:
            await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]

    return asyncio.run(main())


# -- what a purge reaches --------------------------------------------------------------------------

WHAT: dict[str, dict[str, Any]] = {
    "tag": {"tags": ["thing:7"]},
    "tag of many": {"tags": ["things"]},
    "url": {"urls": ["/things/7"]},
    "url with host": {"urls": ["http://shop.example/things/7"]},
    "route": {"routes": ["things"]},
    "everything": {"everything": True},
}


@pytest.mark.parametrize("door", ["threads", "a loop"])
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("what", WHAT)
def test_a_purge_here_is_a_purge_there(caches: Caches, what: str, soft: bool, door: str) -> None:
    versions = {"/things/7": 1}
    here, there = Site(caches.make(), versions), Site(caches.make(), versions)
    here.get("/things/7")
    assert "detail=shared" in there.get("/things/7").cache_status
    assert "detail=memory" in there.get("/things/7").cache_status

    versions["/things/7"] = 2
    assert purge(here.cache, door, soft=soft, **WHAT[what]).confirmed
    for site in (here, there):
        answer = site.get("/things/7")
        if soft:
            assert (answer.body, "detail=stale" in answer.cache_status) == (b"/things/7 v1", True)
            until(lambda site=site: site.get("/things/7").body == b"/things/7 v2")
        else:
            assert answer.body == b"/things/7 v2"


@pytest.mark.parametrize(
    "what", [{"tags": ["thing:8"]}, {"urls": ["/things/8", "/things/7?page=2", "//other/things/7"]}]
)
def test_a_purge_takes_nothing_that_it_does_not_name(caches: Caches, what: dict[str, Any]) -> None:
    here, there = Site(caches.make()), Site(caches.make())
    here.get("/things/7")
    there.get("/things/7")
    assert here.cache.purge(**what).confirmed
    assert here.hits("/things/7")
    assert there.hits("/things/7")
    assert (here.calls, there.calls) == (1, 0)


# -- confirmed means applied -----------------------------------------------------------------------


def test_confirmed_means_that_the_other_has_applied_it(caches: Caches) -> None:
    # Guard: `_confirm` waits until every follower with a recent heartbeat has told a position
    # behind the record. Without the wait about one judgement in ten comes too early.
    here, there = caches.make(), caches.make()
    for attempt in range(200):
        entry = entry_of(there)
        assert judged(there, entry) is Verdict.VALID
        result = here.purge(tags=[PURGE_TAG])
        assert judged(there, entry) is Verdict.DEAD, attempt
        assert result.confirmed
        assert (result.reached, result.waiting) == (2, 0)


def test_confirmed_in_an_event_loop_means_the_same(caches: Caches) -> None:
    here, there = caches.make(), caches.make()

    async def main() -> None:
        for attempt in range(200):
            entry = entry_of(there)
            result = await here.apurge(tags=[PURGE_TAG])
            assert judged(there, entry) is Verdict.DEAD, attempt
            assert result.confirmed
        await here._core.redis.nodes.aclose()  # type: ignore[union-attr]

    asyncio.run(main())


def test_a_process_that_only_purges_is_not_counted_and_waits_for_the_others(
    caches: Caches, age_log: Callable[[str], None]
) -> None:
    age_log("shared")
    there = caches.make()
    only_purges = Cache.from_dict(options(caches.url))
    entry = entry_of(there)
    result = only_purges.purge(tags=[PURGE_TAG])
    assert judged(there, entry) is Verdict.DEAD
    assert (result.status, result.reached) == ("confirmed", 1)
    only_purges.close()


def test_a_process_that_only_purges_confirms_nothing_in_a_log_that_has_only_just_begun(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: `others_are_back` in `_confirm`. Others that followed the log before it was lost have no
    # heartbeat in this one yet.
    caches.make()
    only_purges = Cache.from_dict(options(caches.url))
    result = only_purges.purge(tags=[PURGE_TAG])
    assert (result.status, result.reached, result.waiting) == ("appended", 1, 0)
    only_purges.close()


@pytest.mark.parametrize("door", ["threads", "a loop"])
def test_what_is_fetched_after_a_confirmed_purge_can_be_used(caches: Caches, door: str) -> None:
    # Guard: `here` in `_count_confirmations`. Without it the purge is confirmed ahead of the position
    # of this process, and what is fetched before its own thread has read the record is dead when stored.
    site = Site(caches.make())
    with held_up(site.cache):
        result = purge(site.cache, door, tags=[PURGE_TAG])
        assert (result.status, result.reached, result.waiting) == ("appended", 0, 1)
        assert not site.hits("/things/7")
        assert not site.hits("/things/7"), "the purge counts here at once"
    for _ in range(3):
        until(lambda: purge(site.cache, door, tags=[PURGE_TAG]).confirmed)
        site.get("/things/7")
        assert site.hits("/things/7")


@pytest.mark.thorough
@pytest.mark.parametrize("consistency", ["bounded", "strict"])
@pytest.mark.parametrize("what", [{"tags": ["things"]}, {"everything": True}], ids=str)
@pytest.mark.parametrize("door", ["threads", "a loop"])
def test_it_can_be_used_each_time_also_while_another_process_purges(
    caches: Caches, door: str, what: dict[str, Any], consistency: str
) -> None:
    # Guard: as before. A position that is behind the purge only now and then shows in many rounds.
    site = Site(caches.make(consistency={"low": consistency}))
    other, over = Cache.from_dict(options(caches.url)), threading.Event()  # it follows nothing

    def purge_others() -> None:
        while not over.wait(0.002):
            other.purge(tags=["thing:8"])

    noise = threading.Thread(target=purge_others)
    noise.start()
    try:
        for _ in range(200):
            until(lambda: purge(site.cache, door, **what).confirmed)
            assert not site.hits("/things/7")
            assert site.hits("/things/7")
    finally:
        over.set()
        noise.join()
        other.close()


def test_a_hung_follower_leaves_a_purge_appended_and_applies_it_when_it_goes_on(
    caches: Caches,
) -> None:
    # Guard: a follower with a recent heartbeat is waited for; leave `waiting` out of
    # `_confirm` and the purge claims to be confirmed.
    here = caches.make()
    with process(caches.url) as child:
        stop(child)
        result = here.purge(tags=[PURGE_TAG])
        assert (result.status, result.reached, result.waiting) == ("appended", 1, 1)
        os.kill(child.pid, signal.SIGCONT)
        until(lambda: here.purge(tags=[PURGE_TAG]).status == "confirmed")


def test_a_dead_process_is_not_waited_for_after_a_while(caches: Caches) -> None:
    here = caches.make()
    with process(caches.url) as child:
        assert here.purge(tags=[PURGE_TAG]).reached == 2
        child.kill()
        child.wait()
        until(lambda: here.purge(tags=[PURGE_TAG]).status == "confirmed")
    assert here.purge(tags=[PURGE_TAG]).reached == 1


def test_processes_that_are_gone_are_forgotten(caches: Caches, redis_server: Any) -> None:
    # Guard: who joins drops the heartbeats of the long dead; killed processes cannot do it.
    for number in range(100):
        redis_server.command("HSET", FOLLOWERS, f"gone-{number}", "0-0 1000000000.000")
    caches.make()
    until(lambda: redis_server.command("HLEN", FOLLOWERS) == 1)


# -- Redis away ------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["threads", "a loop"])
def test_without_redis_a_purge_holds_here_at_once_and_is_appended_on_return(
    own_caches: Caches, own_redis_server: RedisServer, door: str
) -> None:
    # Guard: `apply_locally` in `_failed`, and `_drain` on return.
    site = Site(own_caches.make(redis={"deadline": "100ms"}))
    assert not site.hits("/things/7")
    assert site.hits("/things/7")
    own_redis_server.kill()

    result = purge(site.cache, door, tags=[PURGE_TAG])
    assert (result.status, result.reached) == ("queued", 1)
    assert not site.hits("/things/7")
    assert site.hits("/things/7")  # what was made after the purge is good
    assert site.cache.stats().gauges["queue"] == 1

    own_redis_server.start()
    until(lambda: PURGE_TAG.encode() in str(records(own_redis_server)).encode())
    until(lambda: site.cache.stats().gauges["queue"] == 0)


def test_a_purge_made_while_redis_hung_reaches_the_others_when_it_goes_on(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    here = own_caches.make(redis={"deadline": "100ms"})
    there = own_caches.make(redis={"deadline": "100ms"})
    entry = entry_of(there)
    own_redis_server.hang()
    assert here.purge(tags=[PURGE_TAG]).status == "queued"
    own_redis_server.resume()
    until(lambda: judged(there, entry) is Verdict.DEAD)


def test_a_full_redis_that_refuses_the_record_purges_everything_instead(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_delete_epoch`, for DEL is the one thing that a full server still does.
    here, there = own_caches.make(), own_caches.make()
    entry = entry_of(there, "anything")
    own_redis_server.fill()
    result = here.purge(tags=[PURGE_TAG])
    assert (result.status, result.everything) == ("appended", True)
    until(lambda: judged(there, entry) is Verdict.DEAD)
    own_redis_server.unfill()
    until(lambda: here.log.live and there.log.live)


def test_what_was_purged_without_redis_is_purged_by_a_redis_that_comes_back_full(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: what is refused when the queue is drained costs the log its epoch.
    there = own_caches.make()
    with ChaosProxy(own_redis_server.url) as proxy:
        here = own_caches.make(redis={"url": proxy.url})
        proxy.refuse()
        until(lambda: not here.log.live)
        entry = entry_of(there)
        assert here.purge(tags=[PURGE_TAG]).status == "queued"
        own_redis_server.fill()
        proxy.normal()
        until(lambda: judged(there, entry) is Verdict.DEAD)
        own_redis_server.unfill()
        until(lambda: here.log.live and there.log.live)
        here.close()


def test_the_purger_is_not_served_what_it_purged_while_it_was_cut_off(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_drain` applies what it appends under its number in the log, before the shared store
    # is used again. Numbered by where the purger stood, the purge would spare what another process
    # stored in the meantime.
    there = Site(own_caches.make())
    with ChaosProxy(own_redis_server.url) as proxy:
        here = Site(own_caches.make(redis={"url": proxy.url, "breaker_reset": "1ms"}))
        proxy.refuse()
        until(lambda: not here.cache.log.live)
        there.cache.purge(tags=["elsewhere"])
        until(
            lambda: (
                there.cache._core.engine.floors.position > here.cache._core.engine.floors.position
            )
        )
        there.get("/things/7")
        assert here.cache.purge(tags=[PURGE_TAG]).status == "queued"

        served = served_before_reading(here, "/things/7")
        proxy.normal()
        until(lambda: served)
        assert "fwd=uri-miss" in served[0].cache_status
        here.cache.close()


def test_what_is_queued_holds_here_although_redis_answers_again(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `judges_shared` says no while a purge waits. Redis was away for so short a time that the
    # follower never missed it, and the purge is numbered by where the purger stood.
    versions = {"/things/7": 1}
    there = Site(own_caches.make(), versions)
    with ChaosProxy(own_redis_server.url) as proxy:
        here = Site(own_caches.make(redis={"url": proxy.url}), versions)
        with held_up(here.cache):
            there.cache.purge(tags=["elsewhere"])
            until(
                lambda: (
                    there.cache._core.engine.floors.position
                    > here.cache._core.engine.floors.position
                )
            )
            there.get("/things/7")
            versions["/things/7"] = 2
            proxy.refuse()
            assert here.cache.purge(tags=[PURGE_TAG]).status == "queued"
            proxy.normal()
            assert here.cache.log.live
            assert here.get("/things/7").body == b"/things/7 v2"
        here.cache.close()


# -- bounds ----------------------------------------------------------------------------------------


def test_floors_are_bounded_and_what_is_forgotten_stays_purged(caches: Caches) -> None:
    here = caches.make(log={"floors": 100})
    entries = []
    for number in range(500):
        entries.append(entry_of(here, f"tag:{number}"))
        here.purge(tags=[f"tag:{number}"])
        here.purge(tags=[f"tag:{number}"], soft=True)
    assert len(here._core.engine.floors) <= 200  # type: ignore[arg-type]
    assert {judged(here, entry) for entry in entries} == {Verdict.DEAD}


def test_purges_that_wait_for_redis_are_bounded_and_one_too_many_means_everything(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    here = own_caches.make(log={"queue": 10}, redis={"deadline": "100ms"})
    own_redis_server.kill()
    for number in range(30):
        assert here.purge(tags=[f"tag:{number}"]).status == "queued"
        assert here.stats().gauges["queue"] <= 11
    own_redis_server.start()
    until(lambda: here.stats().gauges["queue"] == 0)
    assert [b"k", b"all"] in [fields[:2] for _, fields in records(own_redis_server)]


def test_the_log_is_trimmed(caches: Caches, redis_server: Any) -> None:
    here = caches.make(log={"max_records": 100})
    for _ in range(500):
        here.purge(tags=["again"])
    assert redis_server.command("XLEN", STREAM) <= 300  # the server trims by whole nodes
