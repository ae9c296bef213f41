"""The breaker's transitions, on a clock of our own."""

from __future__ import annotations

import random
import threading

import pytest

from cachemw.connections.breaker import Breaker
from cachemw.testing import FakeClock


class Middle:
    """A generator without jitter: the wait is exactly its base."""

    def random(self) -> float:
        return 0.5


def make(clock: FakeClock, failures: int = 3, reset: float = 1.0) -> Breaker:
    return Breaker(failures, reset, clock.monotonic, Middle())


# Steps: f failure, s success, t trip, p a probe that is allowed, x a probe that is not,
# digits: so many seconds pass. The reset is 1 s, three failures open.
TABLE = {
    "new": ("", "closed"),
    "one failure short": ("ff", "closed"),
    "failures in a row open": ("fff", "open"),
    "a success between starts the count again": ("ffsff", "closed"),
    "and then it takes all three": ("ffsfff", "open"),
    "tripped at once": ("t", "open"),
    "no probe before the wait is over": ("fffx", "open"),
    "a late success while open changes nothing": ("fffs", "open"),
    "a late failure while open does not lengthen the wait": ("fff1ffp", "half-open"),
    "tripping again does not lengthen the wait": ("t1tp", "half-open"),
    "the wait alone does not close": ("fff9", "open"),
    "the probe decides: back": ("fff1ps", "closed"),
    "the probe decides: still away": ("fff1pf", "open"),
    "one probe at a time": ("fff1px", "half-open"),
    "a failed probe doubles the wait": ("fff1pf1x", "open"),
    "and then probes again": ("fff1pf1x1p", "half-open"),
    "doubled twice": ("fff1pf2pf3x1p", "half-open"),
    "closing forgets the doubling": ("fff1pf2psfff1p", "half-open"),
    "closing forgets the count": ("fff1psff", "closed"),
    "a trip during the probe ends it": ("t1pt", "open"),
    "a probe never heard of frees its place": ("t1p1p", "half-open"),
    "but not before": ("t1p0x", "half-open"),
    "no probe of a closed breaker": ("x", "closed"),
}


@pytest.mark.parametrize(("steps", "state"), TABLE.values(), ids=TABLE)
def test_transitions(steps: str, state: str, clock: FakeClock) -> None:
    breaker = make(clock)
    for step in steps:
        match step:
            case "f":
                breaker.failure()
            case "s":
                breaker.success()
            case "t":
                breaker.trip()
            case "p":
                assert breaker.may_probe()
            case "x":
                assert not breaker.may_probe()
            case _:
                clock.advance(int(step))
    assert breaker.state == state
    assert breaker.closed is (state == "closed")


def test_allow_lets_everyone_in_when_closed_and_one_at_a_time_after(clock: FakeClock) -> None:
    breaker = make(clock)
    assert breaker.allow()
    assert breaker.allow()
    breaker.trip()
    assert not breaker.allow()
    clock.advance(1)
    assert breaker.allow()
    assert not breaker.allow()


def test_doubling_stops_at_thirty_seconds(clock: FakeClock) -> None:
    breaker = make(clock, failures=1)
    breaker.failure()
    for _ in range(40):
        clock.advance(30)
        assert breaker.may_probe()
        breaker.failure()
    clock.advance(29.99)
    assert not breaker.may_probe()


def test_the_cap_is_a_setting(clock: FakeClock) -> None:
    breaker = Breaker(1, 0.5, clock.monotonic, Middle(), longest=1.0)
    breaker.trip()
    for _ in range(10):
        clock.advance(1)
        assert breaker.may_probe()
        breaker.failure()


def test_waits_are_spread_over_half_to_one_and_a_half(clock: FakeClock) -> None:
    rng = random.Random(7)
    waits = []
    for _ in range(200):
        breaker = Breaker(1, 1.0, clock.monotonic, rng)
        breaker.trip()
        waited = 0
        while not breaker.may_probe():
            clock.advance(0.01)
            waited += 1
        waits.append(waited)
    assert 48 <= min(waits) <= 60
    assert 140 <= max(waits) <= 152


def test_of_many_threads_one_gets_the_probe(clock: FakeClock) -> None:
    for _ in range(50):
        breaker = make(clock)
        breaker.trip()
        clock.advance(1)
        barrier = threading.Barrier(8)
        allowed: list[bool] = []

        def ask(barrier: threading.Barrier = barrier, breaker: Breaker = breaker) -> None:
            barrier.wait()
            allowed.append(breaker.may_probe())  # noqa: B023 - joined below

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert allowed.count(True) == 1
