"""The log and its followers survive what happens to them, and whatever is in doubt is purged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from cachemw import Cache
from cachemw.engine.model.entry import Verdict
from cachemw.invalidation.log.records import purge_fields
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.testing import ChaosProxy, RedisServer
from cachemw.testing.redis_protocol import ReplyError
from tests.support.caches import PURGE_TAG, Caches, Site, entry_of, options
from tests.support.waiting import until

from .following import EPOCH, STREAM, judged, records, served_before_reading


def tagged(tag: str) -> Purge:
    return Purge(tags=(tag,))


def is_shared(here: Site, there: Site, path: str) -> bool:
    """Say whether an answer that was made here serves there."""
    here.get(path)
    return "detail=shared" in there.get(path).cache_status


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
    with ChaosProxy(own_redis_server.url) as proxy:
        there = Site(own_caches.make(redis={"url": proxy.url, "deadline": "100ms"}))
        there.get("/things/7")
        there.get("/things/8")
        proxy.refuse()
        until(lambda: not there.cache.log.live)
        for number in range(50):
            here.cache.purge(tags=[f"thing:{number}"])
        assert there.hits("/things/8")  # bounded by partition_limit, see below
        proxy.normal()
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
    assert "fwd=uri-miss" in served[0].cache_status
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
    client = here.cache._core.redis.nodes.of(STREAM.encode()).sync()  # type: ignore[union-attr]
    pipeline = client.pipeline(transaction=False)
    for number in range(5000):
        pipeline.execute_command("XADD", STREAM, "*", *purge_fields(tagged(f"thing:{number}")))
    pipeline.execute()
    joined = Site(caches.make())
    assert "fwd=uri-miss" in joined.get("/things/1").cache_status
    assert joined.cache.stats().events["log_records"][""] >= 5000


# -- a log that is lost ----------------------------------------------------------------------------

LOSSES: dict[str, Callable[[Any], object]] = {
    "FLUSHALL": lambda server: server.command("FLUSHALL"),
    "the epoch evicted": lambda server: server.command("DEL", EPOCH),
    "the epoch of another life": lambda server: server.command("SET", EPOCH, b"epoch-99"),
    "an epoch that is none": lambda server: server.command("SET", EPOCH, b"?"),
    "an epoch of another type": lambda server: (
        server.command("RPUSH", "planted", "x"),
        server.command("RENAME", "planted", EPOCH),
    ),
    "the stream deleted": lambda server: server.command("DEL", STREAM),
    "a stream of another type": lambda server: server.command("SET", STREAM, "x"),
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
    assert "fwd=uri-miss" in joined.get("/things/7").cache_status


@pytest.mark.parametrize("left", [0, 1, 3])
def test_what_a_trimmed_log_cannot_tell_counts_as_purged(
    caches: Caches, redis_server: Any, left: int
) -> None:
    # Guard: in `_join`, the horizon of a process that joins is the first record kept.
    here = Site(caches.make())
    here.get("/things/7")
    here.cache.purge(tags=["thing:7"])
    for number in range(10):
        here.cache.purge(tags=[f"elsewhere:{number}"])
    redis_server.command("XTRIM", STREAM, "MAXLEN", left)
    joined = Site(caches.make())
    assert "fwd=uri-miss" in joined.get("/things/7").cache_status
    until(lambda: not joined.hits("/things/5") and joined.hits("/things/5"))


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_log_that_was_trimmed_before_its_server_was_upgraded_counts_as_trimmed(
    caches: Caches, redis_server: Any, left: int
) -> None:
    # Guard: the number of records that were ever added is not asked for. Redis before 7.0 does not count
    # it, and a later one that takes over the data of an earlier one begins with what is left.
    here = Site(caches.make())
    here.get("/things/7")
    here.cache.purge(tags=["thing:7"])
    for number in range(3):
        here.cache.purge(tags=[f"elsewhere:{number}"])
    last, _ = records(redis_server)[-1]
    redis_server.command("XTRIM", STREAM, "MAXLEN", left)
    with suppress(ReplyError):  # before 7.0, where nothing is counted
        redis_server.command("XSETID", STREAM, last, "ENTRIESADDED", left, "MAXDELETEDID", "0-0")
    joined = Site(caches.make())
    assert "fwd=uri-miss" in joined.get("/things/7").cache_status


def test_a_process_that_was_away_while_the_log_was_trimmed_serves_nothing_older(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `raise_horizon` on joining with a cursor from before the first record kept.
    here = Site(own_caches.make())
    with ChaosProxy(own_redis_server.url) as proxy:
        there = Site(own_caches.make(redis={"url": proxy.url, "deadline": "100ms"}))
        there.get("/things/7")
        proxy.refuse()
        until(lambda: not there.cache.log.live)
        here.cache.purge(tags=["thing:7"])
        for number in range(10):
            here.cache.purge(tags=[f"elsewhere:{number}"])
        own_redis_server.command("XTRIM", STREAM, "MAXLEN", 2)
        proxy.normal()
        until(lambda: there.cache.log.live)
        assert not there.hits("/things/7")
        there.cache.close()
