"""A rollout in Redis: one step makes all of a move true, one controller at a time, and Redis may die."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from cachemw import Cache
from cachemw.errors import RolloutError, StoreUnavailable
from cachemw.rollout.state import Move, State
from cachemw.testing import RedisCluster, RedisServer
from tests.support.caches import Caches, Site, options
from tests.support.waiting import until

PATH = "/things/7"
KEY = "cachemw:{shared}:rollout"
LEASE = f"{KEY}:lease"


def plan(**changed: Any) -> dict[str, Any]:
    phase = {
        "name": "only",
        "risks": ["low"],
        "duration": "1h",
        "interval": "200ms",
        "steps": ["shadow", "on"],
        "watch": ["errors"],
        **changed,
    }
    return {"warm_up": 0, "phases": [phase]}


def off(cache: Cache) -> bool:
    return cache.flags.states()["low"] == "off"


def in_shadow(cache: Cache) -> bool:
    return cache.flags.states()["low"] == "shadow"


def alone(caches: Caches, **changes: Any) -> Cache:
    """Make a cache whose process does not control."""
    return caches.make(rollout={"controller": False}, **changes)


@contextmanager
def controlling(cache: Cache) -> Iterator[threading.Event]:
    """Let a cache's process be a controller, or wait to be it."""
    stopping = threading.Event()
    thread = threading.Thread(target=cache.rollout.control, args=(stopping,), kwargs={"stay": True})
    thread.start()
    try:
        yield stopping
    finally:
        stopping.set()
        thread.join()


def state_of(cache: Cache) -> State:
    found = cache.rollout.status()
    assert found is not None
    return found


# -- a move is one step ----------------------------------------------------------------------------


def test_a_start_reaches_every_process_within_a_second(caches: Caches) -> None:
    here, there = alone(caches), alone(caches)
    here.rollout.start(plan(), by="ada")
    assert until(lambda: in_shadow(there)) < 1.0
    assert there._core.engine.holdout == 0.05
    (record,) = there.rollout.history()
    assert (record.action, record.by) == ("start", "ada")


def test_a_rollback_turns_off_and_purges_what_was_stored(caches: Caches) -> None:
    """Fails where flags alone are set: what a bad release has stored would come back with them."""
    here, there = alone(caches), Site(alone(caches))
    here.rollout.start(plan(steps=["on"]))
    until(lambda: there.cache.flags.states()["low"] == "on")
    here.flags.set(holdout="0%")
    until(lambda: there.cache._core.engine.holdout == 0)
    there.get(PATH)
    assert there.hits(PATH)
    here.rollout.roll_back(by="ada", reason="wrong prices")
    assert until(lambda: off(there.cache)) < 1.0
    assert "detail=off" in there.get(PATH).cache_status
    here.flags.set(low="on")
    until(lambda: not off(there.cache))
    assert not there.hits(PATH)
    last = here.rollout.history()[-1]
    assert (last.action, last.reason) == ("roll back", "wrong prices")


def test_a_move_that_cannot_be_made_writes_nothing(caches: Caches, redis_server: Any) -> None:
    cache = alone(caches)
    cache.rollout.start(plan())
    before = redis_server.command("GET", KEY)
    with pytest.raises(RolloutError):
        cache.rollout.approve()
    assert redis_server.command("GET", KEY) == before
    assert len(cache.rollout.history()) == 1


def test_operators_at_once_make_one_move_after_the_other(caches: Caches) -> None:
    """Fails without the watched keys: one of two would be lost, or a rollback be undone."""
    each = [alone(caches) for _ in range(4)]
    each[0].rollout.start(plan())
    each[0].rollout.pause()

    def press(cache: Cache) -> int:
        done = 0
        for _ in range(10):
            for move in (cache.rollout.resume, cache.rollout.pause):
                try:
                    move()
                except RolloutError:
                    continue
                done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        made = sum(pool.map(press, each))
    assert state_of(each[0]).revision == 2 + made
    assert len(each[0].rollout.history(1000)) == 2 + made


def test_what_a_controller_decided_on_an_older_state_is_not_written(caches: Caches) -> None:
    """Fails without the revision: a look that took long would undo an operator's rollback."""
    cache, operator = alone(caches), alone(caches)
    cache.rollout.start(plan(steps=["on"]))
    seen = state_of(cache)
    operator.rollout.roll_back()
    controller = cache.rollout._controller

    def decided() -> Move:
        raise AssertionError("it must not be asked")

    controller._commit(seen, decided)
    assert state_of(cache).status == "rolled back"


@pytest.mark.parametrize("value", [b"", b"\xff", b"{}", b'{"revision": "x"}', b"[1]"])
def test_a_state_that_cannot_be_read_is_none(
    caches: Caches, redis_server: Any, value: bytes
) -> None:
    cache = alone(caches)
    redis_server.command("SET", KEY, value)
    assert cache.rollout.status() is None
    redis_server.command("DEL", KEY)
    redis_server.command("HSET", KEY, "a", "b")
    assert cache.rollout.status() is None


def test_a_history_and_looks_that_cannot_be_read_are_left_out(
    caches: Caches, redis_server: Any
) -> None:
    cache = alone(caches)
    cache.rollout.start(plan())
    redis_server.command("XADD", f"{KEY}:history", "*", "v", "rubbish")
    redis_server.command("XADD", f"{KEY}:history", "*", "other", "field")
    redis_server.command("RPUSH", f"{KEY}:looks", "rubbish")
    assert [record.action for record in cache.rollout.history()] == ["start"]
    with controlling(cache):
        until(lambda: state_of(cache).watched > 0)


# -- one controller at a time ----------------------------------------------------------------------


def test_serving_processes_control_by_themselves_one_at_a_time(
    caches: Caches, redis_server: Any
) -> None:
    both = [caches.make(), caches.make()]
    both[0].rollout.start(plan())
    until(lambda: state_of(both[0]).watched > 0.5)
    leader = redis_server.command("GET", LEASE)
    assert leader in [cache.log.me.encode() for cache in both]  # type: ignore[attr-defined]
    until(lambda: state_of(both[0]).watched > 1.0)
    assert redis_server.command("GET", LEASE) == leader


def test_when_the_controller_ends_another_takes_over_at_once(
    caches: Caches, redis_server: Any
) -> None:
    first, second = alone(caches), alone(caches)
    first.rollout.start(plan())
    with controlling(first) as stopping:
        until(lambda: state_of(second).watched > 0)
        with controlling(second):
            stopping.set()
            took = until(
                lambda: redis_server.command("GET", LEASE) == second.log.me.encode()  # type: ignore[attr-defined]
            )
            assert took < 4.0  # its lease was given back, and need not run out
            before = state_of(second).watched
            until(lambda: state_of(second).watched > before)


def test_a_process_that_may_not_control_does_not(caches: Caches, redis_server: Any) -> None:
    idle, active = alone(caches), caches.make(namespace="shared")
    idle.rollout.start(plan())
    until(lambda: state_of(idle).watched > 0)
    assert redis_server.command("GET", LEASE) == active.log.me.encode()  # type: ignore[attr-defined]


def test_when_nothing_is_left_to_control_the_lease_is_given_back(
    caches: Caches, redis_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachemw.rollout.controller._SETTLE", 0.5)
    monkeypatch.setattr("cachemw.rollout.controller._LONGEST_CHECK", 0.0)
    cache = caches.make()
    cache.rollout.start(plan(duration="600ms", steps=["shadow", "on"], watch=["hits"]))
    cache.rollout.roll_back(reason="a test")
    until(lambda: not state_of(cache).check_due, 20)
    until(lambda: redis_server.command("EXISTS", LEASE) == 0)
    last = cache.rollout.history()[-1]
    assert last.action == "health check"
    assert last.reason.startswith("inconclusive: errors: 0.00% of 0 answers failed")


# -- Redis -----------------------------------------------------------------------------------------


def test_with_redis_away_nothing_moves_and_it_is_said(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    cache = alone(own_caches)
    cache.rollout.start(plan())
    own_redis_server.kill()
    for move in (cache.rollout.pause, cache.rollout.roll_back, cache.rollout.status):
        with pytest.raises(StoreUnavailable):
            move()
    assert in_shadow(cache)


def test_a_redis_that_comes_back_empty_is_told_where_the_rollout_stands(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    """Fails where the controller forgets what it knew: the rollout would be gone in its middle."""
    cache, other = own_caches.make(), alone(own_caches)
    cache.rollout.start(plan())
    until(lambda: state_of(other).watched > 0.5)
    before = state_of(other)
    own_redis_server.kill()
    time.sleep(1.0)  # for a while in which nothing may count
    own_redis_server.start()
    until(lambda: own_redis_server.command("EXISTS", KEY) == 1, 20)
    stored = json.loads(own_redis_server.command("GET", KEY))
    assert (stored["phase"], stored["step"]) == (before.phase, before.step)
    assert stored["attempt"] == before.attempt
    assert stored["watched"] < before.watched + 1.5
    until(lambda: state_of(other).watched > stored["watched"])
    until(lambda: in_shadow(other) and other.log.live, 20)


def test_a_full_redis_takes_no_move_and_loses_none(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    cache = alone(own_caches)
    cache.rollout.start(plan())
    before = state_of(cache)
    own_redis_server.fill()
    with pytest.raises(StoreUnavailable):
        cache.rollout.roll_back()
    assert own_redis_server.command("EXISTS", KEY) == 1
    assert state_of(cache) == before


@pytest.mark.skipif(
    bool(os.environ.get("CACHEMW_TEST_REDIS")), reason="starts a cluster of its own"
)
def test_in_a_cluster_too_a_move_is_one_step() -> None:
    with RedisCluster() as cluster:
        caches = Caches(cluster.url)
        try:
            here, there = alone(caches), alone(caches)
            here.rollout.start(plan())
            until(lambda: in_shadow(there))
            here.rollout.roll_back()
            until(lambda: off(there))
            assert [each.action for each in there.rollout.history()] == ["start", "roll back"]
        finally:
            caches.close()


def test_a_new_process_begins_where_the_fleet_stands(caches: Caches) -> None:
    first = alone(caches)
    first.rollout.start(plan())
    late = Cache.from_dict(options(caches.url))
    try:
        late.start()
        until(lambda: in_shadow(late))
        assert state_of(late) == state_of(first)
    finally:
        late.close()
