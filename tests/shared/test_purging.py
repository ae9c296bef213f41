"""A purge in one process holds in every other: seen, confirmed, and never undone by trouble."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cachemw import Cache
from cachemw.engine.entry import Verdict
from cachemw.invalidation.log import Purge, PurgeResult
from cachemw.invalidation.records import purge_fields
from cachemw.testing import FakeClock, RedisServer

from .kit import PURGE_TAG, Answer, Caches, Site, entry_of, options, until
from .proxy import Wire

FOLLOWER = Path(__file__).with_name("follower.py")
EPOCH = "cachemw:{shared}:epoch"
STREAM = "cachemw:{shared}:log"
FOLLOWERS = "cachemw:{shared}:followers"


def judged(cache: Cache, entry: Any) -> Verdict:
    return cache.engine.floors.judge(entry)


def purge(cache: Cache, door: str, **what: Any) -> PurgeResult:
    """Purge from a thread or from an event loop."""
    if door == "threads":
        return cache.purge(**what)

    async def main() -> PurgeResult:
        try:
            return await cache.apurge(**what)
        finally:
            await cache._shared.clients.aclose()  # type: ignore[union-attr]

    return asyncio.run(main())


@contextmanager
def process(url: str, **changes: Any) -> Iterator[subprocess.Popen[str]]:
    """Run one more process that follows the log."""
    command = [sys.executable, str(FOLLOWER), json.dumps(options(url, **changes))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "live\n"
            yield child
        finally:
            child.kill()


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
    # Guard: `_confirming` waits until every follower with a recent heartbeat has told a position
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
        await here._shared.clients.aclose()  # type: ignore[union-attr]

    asyncio.run(main())


def test_a_process_that_only_purges_is_not_counted_and_waits_for_the_others(
    caches: Caches,
) -> None:
    there = caches.make()
    only_purges = Cache.from_dict(options(caches.url))
    entry = entry_of(there)
    result = only_purges.purge(tags=[PURGE_TAG])
    assert judged(there, entry) is Verdict.DEAD
    assert (result.status, result.reached) == ("confirmed", 1)
    only_purges.close()


def test_a_hung_follower_leaves_a_purge_appended_and_applies_it_when_it_goes_on(
    caches: Caches,
) -> None:
    # Guard: a follower with a recent heartbeat is waited for; leave `waiting` out of
    # `_confirming` and the purge claims to be confirmed.
    here = caches.make()
    with process(caches.url) as child:
        os.kill(child.pid, signal.SIGSTOP)
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


def test_the_purger_is_not_served_what_it_purged_while_it_was_cut_off(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_drain` applies what it appends under its number in the log, before the shared store
    # is used again. Numbered by where the purger stood, the purge would spare what another process
    # stored in the meantime.
    there = Site(own_caches.make())
    with Wire(own_redis_server.port) as wire:
        here = Site(own_caches.make(redis={"url": wire.url, "breaker_reset": "1ms"}))
        wire.cut()
        until(lambda: not here.cache.log.live)
        there.cache.purge(tags=["elsewhere"])
        until(lambda: there.cache.engine.floors.position > here.cache.engine.floors.position)
        there.get("/things/7")
        assert here.cache.purge(tags=[PURGE_TAG]).status == "queued"

        served = served_before_reading(here, "/things/7")
        wire.mend()
        until(lambda: served)
        assert "fwd=miss" in served[0].cache_status
        here.cache.close()


def served_before_reading(site: Site, path: str) -> list[Answer]:
    """Collect the answer to a request that comes when the log is live, before it is read again."""
    log: Any = site.cache.log
    follow, answers = log._follow, list[Answer]()

    def interposed(client: Any) -> None:
        if log.live and not answers:
            answers.append(site.get(path))
        follow(client)

    log._follow = interposed
    return answers


def records(server: Any) -> list[Any]:
    return list(server.command("XRANGE", STREAM, "-", "+"))


# -- the follower's connection ---------------------------------------------------------------------


def test_a_follower_whose_connection_is_killed_misses_nothing(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: a reconnect reads on from the last record applied (`_cursor`), not from the end.
    here, there = caches.make(), caches.make()
    for _ in range(4):
        entry = entry_of(there)
        redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        here.purge(tags=[PURGE_TAG])
        until(lambda entry=entry: judged(there, entry) is Verdict.DEAD)
        until(lambda: here.log.live and there.log.live)
    assert judged(there, entry_of(there, "other")) is Verdict.VALID


def test_what_is_purged_while_one_process_is_cut_off_is_gone_when_it_is_back(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    here = Site(own_caches.make())
    with Wire(own_redis_server.port) as wire:
        there = Site(own_caches.make(redis={"url": wire.url, "deadline": "100ms"}))
        there.get("/things/7")
        there.get("/things/8")
        wire.cut()
        until(lambda: not there.cache.log.live)
        for number in range(50):
            here.cache.purge(tags=[f"thing:{number}"])
        assert there.hits("/things/8")  # bounded by partition_limit, see below
        wire.mend()
        until(lambda: there.cache.log.live)
        assert not there.hits("/things/7")
        assert not there.hits("/things/8")
        there.cache.close()


def test_a_process_that_joins_knows_what_was_purged_before(caches: Caches) -> None:
    # Guard: `_catch_up` reads the retained log before the log counts as live.
    here = Site(caches.make())
    here.get("/things/7")
    here.get("/things/8")
    here.cache.purge(tags=["thing:7"])
    joined = Site(Cache.from_dict(options(caches.url)))
    served = served_before_reading(joined, "/things/7")
    joined.cache.start()
    until(lambda: served)
    assert "fwd=miss" in served[0].cache_status
    assert "detail=shared" in joined.get("/things/8").cache_status
    joined.cache.close()


def test_a_process_that_is_about_to_join_is_waited_for(caches: Caches) -> None:
    # Guard: `_join` tells where it stands before it reads the log, so that what is purged after
    # that reading is not confirmed behind its back.
    here = caches.make()
    joining = Cache.from_dict(options(caches.url))
    log: Any = joining.log
    catch_up, results = log._catch_up, list[PurgeResult]()

    def interposed(client: Any) -> int:
        count: int = catch_up(client)
        if not results:
            results.append(here.purge(tags=[PURGE_TAG]))
        return count

    log._catch_up = interposed
    joining.start()
    until(lambda: results)
    assert (results[0].status, results[0].waiting) == ("appended", 1)
    until(lambda: log.live)
    assert here.purge(tags=[PURGE_TAG]).confirmed
    joining.close()


def test_a_process_that_joins_reads_a_long_log(caches: Caches) -> None:
    here = Site(caches.make())
    here.get("/things/1")
    client = here.cache._shared.clients.sync()  # type: ignore[union-attr]
    pipeline = client.pipeline(transaction=False)
    for number in range(5000):
        pipeline.execute_command("XADD", STREAM, "*", *purge_fields(tagged(f"thing:{number}")))
    pipeline.execute()
    joined = Site(caches.make())
    assert "fwd=miss" in joined.get("/things/1").cache_status
    assert joined.cache.stats().events["log_records"][""] >= 5000


def tagged(tag: str) -> Purge:
    return Purge(tags=(tag,))


def is_shared(here: Site, there: Site, path: str) -> bool:
    """Say whether an answer that was made here serves there."""
    here.get(path)
    return "detail=shared" in there.get(path).cache_status


# -- a log that is lost ----------------------------------------------------------------------------

LOSSES: dict[str, Callable[[Any], object]] = {
    "FLUSHALL": lambda server: server.command("FLUSHALL"),
    "the epoch evicted": lambda server: server.command("DEL", EPOCH),
    "the epoch of another life": lambda server: server.command("SET", EPOCH, b"epoch-99"),
    "an epoch that is none": lambda server: server.command("SET", EPOCH, b"?"),
    "an epoch of another type": lambda server: (
        server.command("DEL", EPOCH),
        server.command("RPUSH", EPOCH, "x"),
    ),
    "the stream deleted": lambda server: server.command("DEL", STREAM),
    "a stream of another type": lambda server: (
        server.command("DEL", STREAM),
        server.command("SET", STREAM, "x"),
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_log_that_lost_its_state_purges_everything_and_goes_on(
    caches: Caches, redis_server: Any, loss: str
) -> None:
    # Guard: every heartbeat compares the epoch, and sees that the stream exists.
    here, there = Site(caches.make()), Site(caches.make())
    here.get("/things/7")
    there.get("/things/7")
    entries = [entry_of(here.cache, "any"), entry_of(there.cache, "any")]
    LOSSES[loss](redis_server)
    until(lambda: judged(here.cache, entries[0]) is Verdict.DEAD)
    until(lambda: judged(there.cache, entries[1]) is Verdict.DEAD)
    assert not here.hits("/things/7")
    until(lambda: here.cache.log.live and there.cache.log.live)
    entry = entry_of(there.cache)
    assert here.cache.purge(tags=[PURGE_TAG]).status != "queued"
    until(lambda: judged(there.cache, entry) is Verdict.DEAD)
    number = itertools.count()
    until(lambda: is_shared(here, there, f"/things/new-{next(number)}"))


def test_records_that_were_lost_with_the_stream_are_not_needed_to_refuse_what_they_purged(
    caches: Caches, redis_server: Any
) -> None:
    # Guard: XADD makes no stream (NOMKSTREAM); where there is none, the log begins another life.
    # A stream that began again by itself would look whole to the process that joins.
    here = Site(caches.make())
    here.get("/things/7")
    here.cache.purge(tags=["thing:7"])
    redis_server.command("DEL", STREAM)
    here.cache.purge(tags=["elsewhere"])
    joined = Site(caches.make())
    until(lambda: joined.cache.log.live)
    assert "fwd=miss" in joined.get("/things/7").cache_status


@pytest.mark.parametrize("left", [0, 1, 3])
def test_what_a_trimmed_log_cannot_tell_counts_as_purged(
    caches: Caches, redis_server: Any, left: int
) -> None:
    # Guard: `_extent` sees that records are missing, and the horizon rises to the first one kept.
    here = Site(caches.make())
    here.get("/things/7")
    here.cache.purge(tags=["thing:7"])
    for number in range(10):
        here.cache.purge(tags=[f"elsewhere:{number}"])
    redis_server.command("XTRIM", STREAM, "MAXLEN", left)
    joined = Site(caches.make())
    assert "fwd=miss" in joined.get("/things/7").cache_status
    until(lambda: not joined.hits("/things/5") and joined.hits("/things/5"))


def test_a_process_that_was_away_while_the_log_was_trimmed_serves_nothing_older(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `raise_horizon` on joining with a cursor from before the first record kept.
    here = Site(own_caches.make())
    with Wire(own_redis_server.port) as wire:
        there = Site(own_caches.make(redis={"url": wire.url, "deadline": "100ms"}))
        there.get("/things/7")
        wire.cut()
        until(lambda: not there.cache.log.live)
        here.cache.purge(tags=["thing:7"])
        for number in range(10):
            here.cache.purge(tags=[f"elsewhere:{number}"])
        own_redis_server.command("XTRIM", STREAM, "MAXLEN", 2)
        wire.mend()
        until(lambda: there.cache.log.live)
        assert not there.hits("/things/7")
        there.cache.close()


def test_a_server_that_lost_the_last_records_begins_another_life(
    caches: Caches, redis_server: Any
) -> None:
    # As after a failover to a replica that lagged. Guard: `last < self._cursor` in `_join`.
    here = caches.make()
    here.purge(tags=["first"])
    epoch = redis_server.command("GET", EPOCH)
    saved = redis_server.command("DUMP", STREAM)
    entry = entry_of(here, "any")
    here.purge(tags=["second"])
    until(lambda: here.engine.floors.position > entry.id)
    redis_server.command("RESTORE", STREAM, 0, saved, "REPLACE")
    redis_server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    until(lambda: judged(here, entry) is Verdict.DEAD)
    until(lambda: redis_server.command("GET", EPOCH) not in (None, epoch))


# -- bounds ----------------------------------------------------------------------------------------


def test_floors_are_bounded_and_what_is_forgotten_stays_purged(caches: Caches) -> None:
    here = caches.make(log={"floors": 100})
    entries = []
    for number in range(500):
        entries.append(entry_of(here, f"tag:{number}"))
        here.purge(tags=[f"tag:{number}"])
        here.purge(tags=[f"tag:{number}"], soft=True)
    assert len(here.engine.floors) <= 200  # type: ignore[arg-type]
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


# -- cut off ---------------------------------------------------------------------------------------


def test_a_process_that_hears_nothing_serves_from_memory_only_within_the_partition_limit(
    own_caches: Caches, own_redis_server: RedisServer, clock: FakeClock
) -> None:
    # Guard: `serves` of the log, asked by the fast path and by the flow.
    site = Site(own_caches.make(clock=clock, log={"partition_limit": "30s"}))
    site.get("/things/old")
    own_redis_server.kill()
    until(lambda: not site.cache.log.live)
    clock.advance(20)
    site.get("/things/young")
    assert site.hits("/things/old")
    clock.advance(11)
    assert site.hits("/things/young")
    assert not site.hits("/things/old")
    assert site.hits("/things/old")  # it is a new one now
    clock.advance(20)
    assert not site.hits("/things/young")


def test_a_partition_limit_of_nothing_serves_nothing_that_is_cut_off(
    own_caches: Caches, own_redis_server: RedisServer, clock: FakeClock
) -> None:
    site = Site(own_caches.make(clock=clock, log={"partition_limit": "0s"}))
    own_redis_server.kill()
    until(lambda: not site.cache.log.live)
    assert not site.hits("/things/7")
    assert not site.hits("/things/7")


# -- flags -----------------------------------------------------------------------------------------


def state(cache: Cache) -> str:
    return cache.flags.states()["route:things"]


def test_a_flag_reaches_another_process_within_a_second(caches: Caches) -> None:
    here = caches.make()
    with process(caches.url) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def there() -> str:
            child.stdin.write("route things\n")
            child.stdin.flush()
            return child.stdout.readline().strip()

        assert there() == "on"
        for wanted in ("off", "on"):
            assert here.flags.set({"route:things": wanted})
            until(lambda wanted=wanted: there() == wanted, limit=1.0)


def test_a_process_that_joins_knows_the_live_flags(caches: Caches) -> None:
    caches.make().flags.set({"route:things": "off"})
    assert state(caches.make()) == "off"


def test_flags_survive_a_redis_that_lost_everything(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_restore_flags` gives back what a process remembers.
    here = own_caches.make()
    here.flags.set({"route:things": "off"})
    own_redis_server.restart()
    until(lambda: own_redis_server.command("EXISTS", "cachemw:{shared}:flags") == 1)
    assert state(here) == "off"
    assert state(own_caches.make()) == "off"


def test_a_flag_set_without_redis_holds_here(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    site = Site(own_caches.make(redis={"deadline": "100ms"}))
    site.get("/things/7")
    own_redis_server.kill()
    assert not site.cache.flags.set({"route:things": "off"})
    assert not site.hits("/things/7")
