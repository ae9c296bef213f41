"""A planned failover behind one host name: the old primary lives on as a read-only replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cachemw import Cache
from cachemw.config.model import RedisSettings
from cachemw.connections.nodes import Nodes
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.log.followers import Followers
from cachemw.invalidation.purges import PurgeResult
from cachemw.stores.redis.commands import Commands
from tests.redis.following import EPOCH, STREAM
from tests.support.caches import PURGE_TAG, Caches, Site, caches_over, options
from tests.support.pairs import Pair, pair_of_servers
from tests.support.waiting import until

KEY = b"key"


@pytest.fixture
def pair() -> Iterator[Pair]:
    with pair_of_servers() as pair:
        yield pair


@pytest.fixture
def behind(pair: Pair) -> Iterator[Caches]:
    with caches_over(pair.url) as caches:
        yield caches


def commands_of(url: str, **settings: Any) -> Commands:
    nodes = Nodes(RedisSettings(url=url, deadline="2s", **settings))
    return Commands(nodes, lambda event, reason: None)


def purge_twice(cache: Cache, door: str, between: Callable[[], object]) -> PurgeResult:
    """Purge one tag from a thread or a loop, with something in between, over the same connections."""
    if door == "threads":
        cache.purge(tags=[PURGE_TAG])
        between()
        return cache.purge(tags=[PURGE_TAG])

    async def main() -> PurgeResult:
        await cache.apurge(tags=[PURGE_TAG])
        between()
        try:
            return await cache.apurge(tags=[PURGE_TAG])
        finally:
            await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]

    return asyncio.run(main())


# -- connections -----------------------------------------------------------------------------------


def test_a_store_that_is_refused_leads_the_next_one_to_the_new_primary(pair: Pair) -> None:
    # Guard: `Renewal.replace_all` in `_refused`. The pool keeps connections to the old primary for ever.
    commands = commands_of(pair.url)
    commands.run("set", KEY, "SET", KEY, b"before")
    pair.fail_over()
    with pytest.raises(StoreUnavailable, match="ReadOnly"):
        commands.run("set", KEY, "SET", KEY, b"lost")
    commands.run("set", KEY, "SET", KEY, b"after")
    assert pair.replica.command("GET", KEY) == b"after"


@pytest.mark.parametrize(
    "door",
    [
        "script",
        *(pytest.param(door, marks=pytest.mark.thorough) for door in ("transaction", "pipeline")),
    ],
)
def test_a_refusal_inside_of_a_script_or_a_transaction_is_noticed_too(
    pair: Pair, door: str
) -> None:
    # Guard: `is_read_only`, for not every release and not every command names the error first.
    nodes = Nodes(RedisSettings(url=pair.url, deadline="2s"))
    client = nodes.find(KEY).sync()
    client.set(KEY, b"before")
    pair.fail_over()

    def write() -> None:
        if door == "script":
            client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, KEY, b"after")
        else:
            with client.pipeline(transaction=door == "transaction") as pipeline:
                pipeline.set(KEY, b"after")
                pipeline.execute()

    with pytest.raises(Exception, match=r"(?i)read.?only"):
        write()
    write()
    assert pair.replica.command("GET", KEY) == b"after"
    nodes.close()


@pytest.mark.thorough
def test_loops_and_threads_are_led_to_the_new_primary_by_the_refusal_of_one(pair: Pair) -> None:
    commands = commands_of(pair.url)
    commands.run("set", KEY, "SET", KEY, b"before")

    async def main() -> None:
        await commands.arun("set", KEY, "SET", KEY, b"before")
        pair.fail_over()
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(commands.run, "set", KEY, "SET", KEY, b"lost")
        await commands.arun("set", KEY, "SET", KEY, b"after")
        await commands._nodes.aclose()

    asyncio.run(main())
    assert pair.replica.command("GET", KEY) == b"after"


# -- purges and flags ------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["threads", pytest.param("a loop", marks=pytest.mark.thorough)])
def test_a_purge_of_one_tag_goes_to_the_new_primary_and_costs_no_more(
    pair: Pair, behind: Caches, door: str
) -> None:
    # Guard: the second attempt in `_append` and `_aappend`.
    site = Site(behind.make(log={"poll": "2s"}))  # its log sleeps, so the pools have to notice
    epoch = pair.primary.command("GET", EPOCH)
    result = purge_twice(site.cache, door, pair.fail_over)
    assert (result.status == "queued", result.everything) == (False, False)
    assert pair.replica.command("GET", EPOCH) == epoch
    assert PURGE_TAG in str(pair.replica.command("XRANGE", STREAM, "-", "+"))


def test_a_purge_that_every_server_refuses_waits_and_reaches_the_new_primary(
    pair: Pair, behind: Caches, caplog: pytest.LogCaptureFixture
) -> None:
    # The old primary may be the only one that the name leads to.
    site = Site(behind.make())
    site.get("/things/8")
    epoch = pair.primary.command("GET", EPOCH)
    pair.promote()
    pair.demote()
    until(lambda: not site.cache.log.live)
    assert site.cache.purge(tags=["late"]).status == "queued"
    assert site.hits("/things/8")
    until(lambda: "read-only replica" in caplog.text)
    pair.name.lead_to(pair.replica.url)
    until(lambda: "late" in str(pair.replica.command("XRANGE", STREAM, "-", "+")))
    assert pair.replica.command("GET", EPOCH) == epoch
    until(lambda: site.cache.log.live)
    assert site.hits("/things/8")


def test_flags_are_set_on_the_new_primary_at_once(pair: Pair, behind: Caches) -> None:
    # Guard: the second attempt in `FlagDocument.exchange`.
    cache = behind.make(log={"poll": "2s"})
    assert cache.flags.set(low="off")
    pair.fail_over()
    assert cache.flags.set(low="on")
    assert b'"low":"on"' in pair.replica.command("GET", "cachemw:{shared}:flags")


def test_a_kill_switch_works_everywhere_within_a_second(pair: Pair, behind: Caches) -> None:
    here, there = behind.make(), behind.make()
    there.purge(tags=["opens a connection"])
    pair.fail_over()
    here.flags.kill()
    assert here.flags.killed
    assert until(lambda: there.flags.killed) < 1.0


@pytest.mark.thorough
def test_flags_that_were_set_where_they_were_lost_are_set_again(pair: Pair, behind: Caches) -> None:
    # The old primary takes them, although another one has taken over.
    here, there = behind.make(), behind.make()
    pair.promote()
    assert here.flags.kill()
    pair.demote()
    pair.name.lead_to(pair.replica.url)
    until(lambda: b'"kill":true' in (pair.replica.command("GET", "cachemw:{shared}:flags") or b""))
    until(lambda: here.log.live and there.log.live)
    assert here.flags.killed
    assert there.flags.killed


# -- what a purge may say --------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("purger", ["follower", "tool"])
def test_nothing_is_confirmed_while_others_may_still_follow_the_old_primary(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, purger: str
) -> None:
    # Guards: `ServerLife`, and `name_command` for the tool. Some services, and Sentinels, leave the old
    # primary writable for seconds. Who is still there looks on the new one as if it had ended.
    monkeypatch.setattr("cachemw.invalidation.log.followers.RETURN_TIME", 4.0)
    a_minute_ago = f"{int(time.time() - 60) * 1000}-0"  # the log is not new
    pair.primary.command("XADD", STREAM, a_minute_ago, "k", "all", "s", "0")
    pair.primary.command("SET", EPOCH, b"agedlog!")
    with caches_over(pair.url) as behind, caches_over(pair.primary.url) as at_the_old:
        there = Site(at_the_old.make())
        there.get("/things/7")
        here = behind.make() if purger == "follower" else Cache.from_dict(options(pair.url))
        pair.promote()
        pair.name.lead_to(pair.replica.url)
        pair.name.cut()
        assert until(lambda: not waited_for(pair.replica, there.cache, purger)) < 8.0
        until(lambda: here.purge(tags=[PURGE_TAG]).status != "queued")
        result = here.purge(tags=[PURGE_TAG])
        assert there.hits("/things/7")
        assert (result.status, result.waiting, result.everything) == ("appended", 0, False)
        here.close()


def waited_for(server: Any, cache: Cache, purger: str) -> bool:
    """Tell whether a purger waits for a process, by its heartbeat on a server."""
    followers = Followers(b"cachemw:{shared}:followers", 0.04)
    beats = server.command("HGETALL", followers.key)
    seconds, _ = server.command("TIME")
    log: Any = cache.log
    mine = {log.me.encode(): beats[beats.index(log.me.encode()) + 1]}
    me = "another" if purger == "follower" else None
    if me is not None:
        mine[me.encode()] = mine[log.me.encode()]
    return followers.count(mine, me, 1 << 120, int(seconds)) == (0, 1)
