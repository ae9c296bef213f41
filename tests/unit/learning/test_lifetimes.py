"""Lifetimes that are learned: inside the bounds, near the target, and longer where purges tell of changes."""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cachemw import Cache
from cachemw.engine.model.entry import Learned, Made, Position
from cachemw.engine.model.routes import Bounds
from cachemw.learning.lifetimes import Lifetimes
from cachemw.learning.rates import Rate
from cachemw.learning.stale_share import longest_lifetime

HERE = Position(b"", 0)
BOUNDS = Bounds(kind="product", shortest=0.5, longest=3600.0, target=0.02, initial=60.0, window=0.0)


def made(at: float, content: bytes = b"1", **changes: Any) -> Made:
    fields: dict[str, Any] = {
        "key": b"key",
        "content": content,
        "at": at,
        "born": at,
        "position": HERE,
        "purged": False,
        "named": False,
    }
    return Made(**{**fields, **changes})


class Learner:
    """One key whose refreshes are made by hand."""

    def __init__(self, lifetimes: Lifetimes | None = None, bounds: Bounds = BOUNDS) -> None:
        self.lifetimes = lifetimes or Lifetimes(100, applies=True)
        self.bounds = bounds

    def see(self, at: float, content: bytes = b"1", **changes: Any) -> Learned:
        known = self.lifetimes.known(b"key", None)
        return self.lifetimes.learn(made(at, content, **changes), self.bounds, known)


def poisson(rng: random.Random, every: float, until: float) -> list[float]:
    moments, now = [], 0.0
    while now < until:
        now += rng.expovariate(1 / every)
        moments.append(now)
    return moments


def bursts(rng: random.Random, every: float, until: float) -> list[float]:
    """Ten changes in quick succession, then a long pause; as many as `poisson` in all."""
    moments, now = [], 0.0
    while now < until:
        now += rng.expovariate(1 / (9 * every))
        for _ in range(10):
            now += rng.expovariate(10 / every)
            moments.append(now)
    return moments


def serve(
    learner: Learner, changes: Sequence[float], until: float, key: bytes, rng: random.Random
) -> tuple[int, int, int]:
    """Ask once a second on average; return the requests, the stale answers and the calls."""
    now = fresh_until = 0.0
    held = asked = stale = calls = 0
    while now < until:
        now += rng.expovariate(1.0)
        version = bisect.bisect_right(changes, now)
        asked += 1
        if now < fresh_until:
            stale += version != held
            continue
        held, calls = version, calls + 1
        known = learner.lifetimes.known(key, None)
        answer = made(now, b"%d" % version, key=key)
        fresh_until = now + learner.lifetimes.learn(answer, learner.bounds, known).lifetime
    return asked, stale, calls


@pytest.mark.parametrize("pattern", [poisson, bursts])
@pytest.mark.parametrize("every", [60.0, 600.0])
def test_the_target_is_held(
    pattern: Callable[[random.Random, float, float], list[float]], every: float
) -> None:
    learner, rng = Learner(), random.Random(3)
    asked = stale = 0
    for number in range(6):
        changes = pattern(rng, every, 8000.0)
        some = serve(learner, changes, 8000.0, b"%d" % number, rng)
        asked, stale = asked + some[0], stale + some[1]
    assert 0.002 < stale / asked < 1.5 * BOUNDS.target


def test_what_changes_rarely_lives_longer() -> None:
    lifetimes = []
    for every in (20.0, 200.0, 2000.0):
        learner, rng = Learner(), random.Random(3)
        serve(learner, poisson(rng, every, 20_000.0), 20_000.0, b"key", rng)
        lifetimes.append(learner.lifetimes.kinds()["product"].lifetime)
    first, second, third = lifetimes
    assert first is not None
    assert second is not None
    assert third is not None
    assert 3 * first < second
    assert 3 * second < third


def test_it_begins_with_about_the_shortest() -> None:
    assert BOUNDS.shortest <= Learner().see(0.0).lifetime < 3 * BOUNDS.shortest


def test_it_stays_inside_its_bounds() -> None:
    steady = Learner()
    for number in range(60):
        last = steady.see(number * 4000.0)
    assert last.lifetime == BOUNDS.longest
    restless = Learner()
    for number in range(60):
        last = restless.see(number * 0.5, b"%d" % number)
        assert last.lifetime >= BOUNDS.shortest
    assert last.lifetime == BOUNDS.shortest
    assert not last.free


def test_a_new_key_begins_with_what_its_kind_has_shown() -> None:
    lifetimes = Lifetimes(100, applies=True)
    learner = Learner(lifetimes)
    for number in range(20):
        learner.see(number * 500.0)
    newcomer = lifetimes.learn(made(10_000.0, key=b"other"), BOUNDS, None)
    assert newcomer.lifetime > 5 * BOUNDS.shortest


def test_where_every_change_is_announced_lives_become_long() -> None:
    learner = Learner()
    for number in range(100):
        last = learner.see(number * 60.0, b"%d" % number, purged=True, named=True)
    rate, requests = Rate(last.changes, last.seconds), last.asked / last.waited
    silent = longest_lifetime(BOUNDS.target, rate, requests, (BOUNDS.shortest, BOUNDS.longest))
    assert last.lifetime > 10 * silent


def test_a_purge_by_name_is_a_change_and_a_purge_of_everything_is_none() -> None:
    named, everything = Learner(), Learner()
    for number in range(10):
        one = named.see(number * 60.0, purged=True, named=True)
        other = everything.see(number * 60.0, purged=True)
    assert one.seconds / one.changes < 100.0
    assert other.seconds / other.changes > 300.0


def test_the_waits_tell_how_often_it_is_asked_for() -> None:
    learner = Learner()
    learner.see(0.0)
    often = learner.see(10.0)
    assert often.asked > 1.0
    before = often.waited
    purged = learner.see(2 * 3600.0, purged=True)
    assert purged.waited == before  # nobody waited: it was removed


def test_an_answer_that_is_older_than_what_is_known_tells_nothing() -> None:
    """Two processes may make one key at a time, and the slower one may have begun first."""
    learner = Learner()
    learner.see(0.0)
    known = learner.see(100.0)
    late = learner.see(99.0, b"2")
    assert (late.refreshes, late.changes, late.seconds) == (1, known.changes, known.seconds)
    assert learner.lifetimes.kinds()["product"].refreshes == 1.0


def test_without_effect_the_initial_lifetime_stays() -> None:
    learner = Learner(Lifetimes(100, applies=False))
    for number in range(30):
        last = learner.see(number * 600.0)
    assert last.lifetime == BOUNDS.initial
    kind = learner.lifetimes.kinds()["product"]
    assert kind.lifetime is not None
    assert kind.lifetime != BOUNDS.initial
    assert kind.saved is not None
    assert learner.lifetimes.lifetime(b"key", BOUNDS) == BOUNDS.initial


def test_the_present_lifetime_can_be_asked_for() -> None:
    learner = Learner()
    assert learner.lifetimes.lifetime(b"key", BOUNDS) == BOUNDS.initial
    known = learner.see(0.0)
    assert learner.lifetimes.lifetime(b"key", BOUNDS) == known.lifetime


def test_a_forked_child_shares_only_what_it_learns_itself() -> None:
    learner = Learner()
    learner.see(0.0)
    learner.see(60.0, b"2")
    learner.lifetimes.reset_after_fork()
    assert learner.lifetimes.merge({})["product"].changes == 0.0


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    # Guard: `Core.reset_after_fork` names it.
    cache = Cache.from_dict({"routes": []})
    lifetimes = cache._core.lifetimes
    lifetimes._lock.acquire()
    cache._core.reset_after_fork()
    assert lifetimes.lifetime(b"key", BOUNDS) == BOUNDS.initial
