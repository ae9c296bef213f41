"""Whoever is not waited for does not trust its memory, and nothing is confirmed without those who do."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from cachemw.testing import RedisServer
from tests.support.caches import PURGE_TAG, Caches, Site
from tests.support.waiting import until

from .following import EPOCH, FOLLOWERS, STREAM, held_up, process, stop

SERVER = "cachemw:{shared}:server"


# -- a heartbeat that is refused -------------------------------------------------------------------


class Refusal(NamedTuple):
    begin: Callable[[Any], object]
    end: Callable[[Any], object]
    line: str
    """What the log lines say of it."""


REFUSALS = {
    "a replica": Refusal(RedisServer.read_only, RedisServer.writable, "is a read-only replica"),
    "no permission": Refusal(
        lambda server: server.command("ACL", "SETUSER", "default", "-hset"),
        lambda server: server.command("ACL", "SETUSER", "default", "+hset"),
        "does not allow this user the command HSET",
    ),
    "too few replicas": Refusal(
        lambda server: server.command("CONFIG", "SET", "min-replicas-to-write", 1),
        lambda server: server.command("CONFIG", "SET", "min-replicas-to-write", 0),
        "too few replicas are connected",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_process_whose_heartbeat_is_refused_is_cut_off(
    own_caches: Caches,
    own_redis_server: RedisServer,
    refusal: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Guard: `Followers.report` raises what the server says. Purges do not wait for this process any more,
    # so it must not count itself live, nor serve from memory beyond `partition_limit`.
    begin, end, line = REFUSALS[refusal]
    site = Site(own_caches.make(log={"partition_limit": "0s"}))
    site.get("/things/7")
    assert site.hits("/things/7")
    begin(own_redis_server)
    until(lambda: not site.cache.log.live)
    assert not site.hits("/things/7")
    assert not site.hits("/things/7")
    assert site.cache.log.trust[0] == 0.0  # type: ignore[attr-defined]

    def told() -> list[str]:
        return [each for each in caplog.messages if each.startswith("event=redis_error")]

    until(lambda: line in str(told()))
    assert len(told()) == len(set(told()))
    end(own_redis_server)
    until(lambda: site.cache.log.live)
    until(lambda: site.hits("/things/7"))


@pytest.mark.parametrize(
    "refusal",
    [
        "no permission",
        *(
            pytest.param(refusal, marks=pytest.mark.thorough)
            for refusal in REFUSALS
            if refusal != "no permission"
        ),
    ],
)
def test_a_purge_that_is_refused_waits_and_costs_no_more_than_it_names(
    own_caches: Caches, own_redis_server: RedisServer, refusal: str
) -> None:
    # Guard: `costs_the_log`. By deleting the epoch, a purge of one tag would purge everything.
    begin, end, _ = REFUSALS[refusal]
    site = Site(own_caches.make())
    site.get("/things/8")
    epoch = own_redis_server.command("GET", EPOCH)
    begin(own_redis_server)
    own_redis_server.command("ACL", "SETUSER", "default", "-xadd")
    result = site.cache.purge(tags=[PURGE_TAG])
    assert (result.status, result.everything) == ("queued", False)
    assert site.hits("/things/8")
    own_redis_server.command("ACL", "SETUSER", "default", "+xadd")
    end(own_redis_server)
    until(lambda: PURGE_TAG in str(own_redis_server.command("XRANGE", STREAM, "-", "+")))
    assert own_redis_server.command("GET", EPOCH) == epoch
    until(lambda: site.cache.log.live)
    assert site.hits("/things/8")


def test_a_process_on_a_replica_hears_of_purges_and_flags_although_it_is_cut_off(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_join` reads the log before it gives up for its heartbeat was refused.
    here = own_caches.make()
    own_redis_server.command("ACL", "SETUSER", "there", "on", ">pw", "~*", "+@all", "-hset")
    url = own_redis_server.url.replace("redis://", "redis://there:pw@")
    there = Site(own_caches.make(live=False, redis={"url": url}))
    until(lambda: there.cache.flags.known)
    there.get("/things/7")
    assert there.hits("/things/7")
    here.purge(tags=[PURGE_TAG])
    until(lambda: there.cache.stats().events["log_records"][""] >= 2)
    assert not there.hits("/things/7")
    assert here.flags.kill()
    assert until(lambda: there.cache.flags.killed) < 1.0
    assert not there.cache.log.live


def test_a_full_redis_takes_the_heartbeats_of_those_whom_it_knows(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_REPORT_WHEN_FULL`. Everybody would be cut off, and Redis not read, only because it is full.
    here, there = Site(own_caches.make()), Site(own_caches.make())
    here.get("/things/7")
    own_redis_server.fill()

    def beats() -> list[bytes]:
        return [beat.split()[1] for beat in own_redis_server.command("HVALS", FOLLOWERS)]  # type: ignore[union-attr]

    for _ in range(3):
        before = max(beats())
        until(lambda before=before: min(beats()) > before)
    assert here.cache.log.live
    assert "detail=shared" in there.get("/things/7").cache_status


def test_values_that_are_no_heartbeats_give_way(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `is_wrong_type` in `Followers.report`. Nobody could report, and all would stay cut off.
    here = own_caches.make()
    own_redis_server.command("SADD", "planted", "x")
    own_redis_server.command("RENAME", "planted", FOLLOWERS)
    until(lambda: own_redis_server.command("TYPE", FOLLOWERS) == b"hash")
    until(lambda: here.log.live)


# -- confirmed means applied -----------------------------------------------------------------------


def test_nothing_is_confirmed_when_the_hash_of_heartbeats_was_lost(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `Presence.report` sees that its own heartbeat was not there. Who reports first is the only one
    # in the hash. As when Redis evicts that key, or somebody deletes it.
    here, behind = own_caches.make(), Site(own_caches.make())
    behind.get("/things/7")
    assert behind.hits("/things/7")
    with held_up(behind.cache):
        own_redis_server.command("DEL", FOLLOWERS)
        until(lambda: own_redis_server.command("HLEN", FOLLOWERS) == 1)
        until(lambda: own_redis_server.command("EXISTS", SERVER) == 1)
        result = here.purge(tags=[PURGE_TAG])
        assert behind.hits("/things/7")
        assert (result.status, result.reached, result.waiting) == ("appended", 1, 0)


LOSE = """
local id = redis.call('XADD', KEYS[1], '*', 'k', 'tags', 's', '0', 'v', '["thing:7"]')
redis.call('XDEL', KEYS[1], id)
redis.call('XADD', KEYS[1], '*', 'k', 'tags', 's', '0', 'v', '["other"]')
return id
"""


def test_a_purge_whose_record_was_lost_is_not_confirmed_by_the_numbers_of_others(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_is_valid` reads the record. After a failover the numbers of later records look as if those
    # who report them had applied the one that is lost.
    here = own_caches.make()
    own_caches.make()
    appender: Any = here.log.appender  # type: ignore[attr-defined]
    appender._append = lambda purge: own_redis_server.command("EVAL", LOSE, 1, STREAM)
    result = here.purge(tags=[PURGE_TAG])
    assert (result.status, result.reached, result.waiting) == ("appended", 2, 0)


def test_a_clock_of_the_server_that_jumps_ahead_makes_nobody_look_dead(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `mark_log_lost` in `_learn_server_time`: all other heartbeats look old at once.
    here: Any = own_caches.make()
    here.log.server_shift -= 30.0  # as if the clock had been half a minute behind until now
    until(lambda: here.log.server_shift > -1e9 and not here.log.others_are_back)
    assert here.purge(tags=[PURGE_TAG]).status == "appended"


# -- trust ends before others stop waiting ---------------------------------------------------------


@pytest.mark.parametrize("deadline", ["50ms", "5s"])
@pytest.mark.parametrize("poll", ["20ms", pytest.param("2s", marks=pytest.mark.thorough)])
def test_memory_is_trusted_for_a_shorter_time_than_others_wait(
    caches: Caches, poll: str, deadline: str
) -> None:
    # Guard: `Trust.prove`. With a long deadline, a process that was stopped went on serving what others
    # had confirmed as purged.
    log: Any = caches.make(log={"poll": poll}, redis={"deadline": deadline}).log
    waited = max(
        3 * float(poll.removesuffix("ms").removesuffix("s")) / (1000 if "ms" in poll else 1), 1.5
    )
    until(lambda: log.trust[0] > 0)
    until(lambda: 0 < log.trust[0] - log.alive_at <= waited - 0.2)
    assert log._followers._recent == waited


def test_a_process_that_was_stopped_serves_nothing_that_was_confirmed_meanwhile(
    caches: Caches,
) -> None:
    # Guard: `Trust.prove`, as before. The route is strict, so nothing but trust lets it serve.
    here = caches.make()
    with process(caches.url, redis={"deadline": "5s"}, consistency={"low": "strict"}) as child:
        for expected in ("fwd=uri-miss", "hit"):
            assert expected in told(child, "get /things/7")
        stop(child)
        until(lambda: here.purge(tags=[PURGE_TAG]).confirmed)
        os.kill(child.pid, signal.SIGCONT)
        assert "; hit" not in told(child, "get /things/7")


def told(child: subprocess.Popen[str], order: str) -> str:
    """Give an order to a process, and return its answer."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{order}\n")
    child.stdin.flush()
    return child.stdout.readline().strip()
