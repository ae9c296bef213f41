"""A rollout of one process: what moves it, the thread that controls it, and what ends neither."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw import Cache, CacheError, ConfigError, RolloutError
from cachemw.rollout.state import Move, State
from cachemw.wiring.redis import RedisParts
from tests.support.waiting import until

ROUTES = [
    {"name": "pages", "path": "/pages", "ttl": "60s", "risk": "low"},
    {"name": "orders", "path": "/orders", "ttl": "60s", "risk": "high"},
]
Make = Callable[..., Cache]


def plan(**changed: Any) -> dict[str, Any]:
    common = {"duration": "1h", "watch": ["errors"], "steps": ["shadow", "on"], **changed}
    return {
        "warm_up": 0,
        "phases": [
            {"name": "low", "risks": ["low"], **common},
            {"name": "all", "risks": ["high"], **common, "approve": True},
        ],
    }


@pytest.fixture
def make() -> Iterator[Make]:
    """Give the function that makes a cache, in memory alone unless told otherwise."""
    made: list[Cache] = []

    def make(**settings: Any) -> Cache:
        made.append(Cache.from_dict({"routes": ROUTES, **settings}))
        return made[-1]

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make: Make) -> Cache:
    return make()


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "cachemw-rollout"]


def end(cache: Cache) -> None:
    """End the rollout as it ends when nothing is left to do, without the wait for that."""

    def complete(state: State | None) -> Move:
        assert state is not None
        return Move(
            state=replace(state, revision=state.revision + 1, status="complete", check_due=False)
        )

    cache.rollout._store.commit(complete)


# -- moving -------------------------------------------------------------------------------------------


def test_it_moves_as_it_is_told_and_says_who_told_it(cache: Cache) -> None:
    rollout, states = cache.rollout, cache.flags.states
    assert rollout.status() is None
    assert rollout.start(plan(), by="ada").status == "running"
    assert (states()["low"], states()["high"]) == ("shadow", "off")
    assert rollout.promote(by="bob", reason="it is late").step == 1
    assert states()["low"] == "on"
    assert rollout.pause(reason="lunch").status == "paused"
    assert rollout.resume().status == "running"
    assert rollout.promote().status == "waiting"
    assert rollout.approve(by="the board").phase == 1
    assert (states()["low"], states()["high"]) == ("on", "shadow")
    assert rollout.roll_back(reason="enough").status == "rolled back"
    assert (states()["low"], states()["high"]) == ("on", "off")
    assert rollout.roll_back(everything=True).status == "rolled back"
    assert (states()["low"], states()["high"]) == ("off", "off")
    assert [(each.action, each.by, each.reason) for each in rollout.history()] == [
        ("start", "ada", ""),
        ("promote: step", "bob", "it is late"),
        ("pause", "an operator", "lunch"),
        ("resume", "an operator", ""),
        ("promote: wait", "an operator", "phase 'all' begins when somebody approves"),
        ("approve", "the board", ""),
        ("roll back", "an operator", "enough"),
        ("roll back everything", "an operator", ""),
    ]


def test_what_it_cannot_do_is_an_error_and_changes_nothing(cache: Cache) -> None:
    rollout = cache.rollout
    for move in (
        rollout.promote,
        rollout.approve,
        rollout.pause,
        rollout.resume,
        rollout.roll_back,
    ):
        with pytest.raises(RolloutError, match="there is no rollout: start one"):
            move()
    begun = rollout.start(plan())
    with pytest.raises(RolloutError, match="a rollout is running already"):
        rollout.start(plan())
    with pytest.raises(RolloutError, match="no phase waits to be approved"):
        rollout.approve()
    with pytest.raises(RolloutError, match="nothing to resume"):
        rollout.resume()
    found = rollout.status()
    assert found is not None
    assert (found.step, found.attempt) == (begun.step, begun.attempt)
    assert [each.action for each in rollout.history()] == ["start"]
    assert issubclass(RolloutError, CacheError)


def test_a_plan_that_cannot_work_begins_nothing(make: Make) -> None:
    cache = make()
    with pytest.raises(ConfigError, match="holdout"):
        cache.rollout.start({**plan(), "holdout": 0})
    with pytest.raises(ConfigError, match="planned_size"):
        cache.rollout.start(plan(watch=["memory"]))
    killed = make(kill=True)
    with pytest.raises(ConfigError, match="so nothing can be rolled out"):
        killed.rollout.start(plan())
    assert cache.rollout.status() is killed.rollout.status() is None
    assert cache.rollout.history() == killed.rollout.history() == []


def test_without_a_plan_it_is_the_one_that_the_command_writes(cache: Cache) -> None:
    """Fails when the plan is not fitted: nothing says here how much memory was planned."""
    state = cache.rollout.start()
    assert [each["name"] for each in state.plan["phases"]] == ["low", "all"]
    assert "memory" not in state.plan["phases"][0]["watch"]


def test_what_the_plan_was_warned_about_is_in_the_history(make: Make) -> None:
    cache = make(route_flags={"orders": "off"})
    cache.rollout.start(plan(), reason="at last")
    (record,) = cache.rollout.history()
    assert record.reason == (
        "at last; warning: route 'orders' stays off: the configuration turns it off"
    )


# -- the thread ---------------------------------------------------------------------------------------


def test_a_thread_begins_with_the_rollout_and_ends_with_it(cache: Cache) -> None:
    assert threads() == []
    cache.rollout.start(plan())
    (thread,) = threads()
    cache.rollout.pause()
    cache.rollout.resume()
    assert threads() == [thread]
    assert thread.daemon
    end(cache)
    until(lambda: threads() == [])


def test_where_no_thread_is_to_be_had_nobody_is_harmed(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails where the log's thread, which asks for it, would take that for a fault of Redis."""

    def none(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    assert cache.rollout.start(plan()).status == "running"
    monkeypatch.undo()
    assert threads() == []
    cache.rollout.ensure_control()
    assert len(threads()) == 1


def test_the_thread_ends_with_the_cache_and_begins_again_with_the_next_move(cache: Cache) -> None:
    cache.rollout.start(plan())
    cache.close()
    assert threads() == []
    cache.rollout.promote()
    assert len(threads()) == 1


def test_a_rollout_that_begins_as_the_thread_ends_is_controlled(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a thread that has seen that nothing is left to do counts as one that controls."""
    cache.rollout.start(plan())
    turn = cache.rollout._controller.turn
    over, begun = threading.Event(), threading.Event()

    def last_turn() -> float | None:
        wait = turn()
        if wait is None and not begun.is_set():
            over.set()
            assert begun.wait(10)
        return wait

    monkeypatch.setattr(cache.rollout._controller, "turn", last_turn)
    end(cache)
    assert over.wait(10)
    cache.rollout.start(plan(interval="10ms"))
    begun.set()
    until(lambda: (found := cache.rollout.status()) is not None and found.watched > 0)


def test_after_a_rollback_the_thread_checks_and_ends(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachemw.rollout.controller._SETTLE", 0.2)
    monkeypatch.setattr("cachemw.rollout.controller._LONGEST_CHECK", 0.0)
    monkeypatch.setattr("cachemw.rollout.controller._TURN", 0.1)
    cache.rollout.start(plan())
    cache.rollout.roll_back()
    until(lambda: threads() == [])
    last = cache.rollout.history()[-1]
    assert last.action == "health check"
    assert last.reason.startswith("inconclusive: errors: 0.00% of 0 answers failed")


FORK = f"""
import os, threading
from cachemw import Cache

def threads():
    return [each.name for each in threading.enumerate() if each.name == "cachemw-rollout"]

cache = Cache.from_dict({{"routes": {ROUTES!r}}})
cache.rollout.start({plan()!r})
with cache.rollout._lock:  # by another thread, for good as far as the child knows
    child = os.fork()
    if not child:
        found = [cache.rollout.status(), cache.rollout.history(), threads()]
        assert found == [None, [], []], found
        cache.rollout.start({plan()!r}, by="the child")
        assert [each.by for each in cache.rollout.history()] == ["the child"]
        assert threads() == ["cachemw-rollout"]
        print("the child's own")
        cache.close()
        raise SystemExit
_, status = os.waitpid(child, 0)
assert status == 0
assert [each.by for each in cache.rollout.history()] == ["an operator"]
assert threads() == ["cachemw-rollout"]
cache.close()
assert threads() == []
"""


def test_a_fork_has_no_rollout_and_no_thread_and_can_have_its_own() -> None:
    """Fails when the rollout is not begun anew in the child: it would hang at the parent's lock."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "the child's own\n"), done.stderr


def test_a_tick_of_the_log_while_the_cache_closes_leaves_no_thread(
    make: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when the rollout is closed before the log, which asks for the thread every two seconds."""
    cache = make(redis=redis_url)
    assert isinstance(cache._core.redis, RedisParts)
    asked = list(cache._core.redis.rollout_active)
    cache.rollout.start(plan())
    assert threads() == []
    finish = cache.log.finish

    def ticks_and_finishes(limit: float) -> None:
        for each in asked:
            each()
        assert len(threads()) == 1
        finish(limit)

    monkeypatch.setattr(cache.log, "finish", ticks_and_finishes)
    cache.close()
    assert threads() == []


# -- faults -------------------------------------------------------------------------------------------


def test_a_fault_in_telling_undoes_no_decision(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails when what tells people is not guarded."""

    def broken(*args: object) -> None:
        raise RuntimeError("nobody can be told")

    monkeypatch.setattr(cache._core.reporter.logs, "rollout", broken)
    assert cache.rollout.start(plan()).status == "running"
    assert cache.rollout.promote().step == 1
    assert cache.flags.states()["low"] == "on"
    assert "event=telling_failed" in caplog.text


def test_a_fault_in_the_controller_ends_nothing(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails when a turn is not guarded: the thread would end, and with it the watch."""
    caplog.set_level(logging.ERROR, "cachemw.faults")
    turn = cache.rollout._controller.turn
    turns: list[int] = []

    def faulty() -> float | None:
        turns.append(1)
        if len(turns) == 1:
            raise RuntimeError("a bug")
        return turn()

    monkeypatch.setattr(cache.rollout._controller, "turn", faulty)
    cache.rollout.start(plan(interval="10ms"))
    until(lambda: (found := cache.rollout.status()) is not None and found.watched > 0)
    assert "event=rollout_failed" in caplog.text
    assert cache.flags.states()["low"] == "shadow"


def test_a_fault_in_the_fleets_figures_moves_nothing_and_is_told(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("a bug in the figures")

    monkeypatch.setattr(cache.rollout._controller, "_fleet", broken)
    begun = cache.rollout.start(plan())
    until(lambda: "event=rollout_failed" in caplog.text)
    assert cache.rollout.status() == begun


# -- a configuration that has changed meanwhile ---------------------------------------------------------


def test_a_route_that_was_refused_and_is_gone_stands_in_nobodys_way(
    make: Make, redis_url: str
) -> None:
    """Fails when its flag is taken back as if it were there: no rollout could begin any more."""
    before = make(redis=redis_url)
    before.rollout.start(plan())

    def refuse(state: State | None) -> Move:
        assert state is not None
        kept = replace(state, revision=state.revision + 1, refused=("pages",))
        return Move(state=kept, flags={"route:pages": "shadow"})

    before.rollout._store.commit(refuse)
    before.rollout.roll_back(everything=True)
    assert before.flags.live.routes == {"pages": "shadow"}
    renamed = [{**ROUTES[0], "name": "sites"}, ROUTES[1]]
    after = make(redis=redis_url, routes=renamed)
    assert after.rollout.resume().status == "running"
    assert after.flags.live.routes == {}
    after.rollout.roll_back(everything=True)
    assert after.rollout.start(plan()).status == "running"


def test_flags_that_redis_has_lost_stand_in_nobodys_way_either(make: Make, redis_url: str) -> None:
    cache = make(redis=redis_url)
    cache.rollout.start(plan())

    def refuse(state: State | None) -> Move:
        assert state is not None
        return Move(state=replace(state, revision=state.revision + 1, refused=("gone",)))

    cache.rollout._store.commit(refuse)
    cache.rollout.roll_back()
    assert cache.rollout.resume().status == "running"
