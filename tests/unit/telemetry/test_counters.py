from __future__ import annotations

import gc
import subprocess
import sys
import threading
import timeit
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import MAX_REASONS, OTHER, UNLISTED, UNLISTED_NAME, Counters
from cachemw.telemetry.events import BOUNDS, FAMILIES
from cachemw.telemetry.stats import Gauges

ROUTES = ("products", "orders")


def in_thread(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("outcome", "label", "family", "tier", "calls_origin"),
    [
        (Outcome.HIT_MEMORY, "hit_memory", "hit", "memory", False),
        (Outcome.HIT_SHARED, "hit_shared", "hit", "shared", False),
        (Outcome.HIT_COALESCED, "hit_coalesced", "hit", "flight", False),
        (Outcome.STALE_MEMORY, "stale_memory", "stale", "memory", False),
        (Outcome.STALE_SHARED, "stale_shared", "stale", "shared", False),
        (Outcome.STALE_IF_ERROR, "stale_if_error", "stale", "memory", True),
        (Outcome.MISS, "miss", "miss", "origin", True),
        (Outcome.HIT_FOR_MISS, "hit_for_miss", "miss", "origin", True),
        (Outcome.PASS, "pass", "pass", "origin", True),
        (Outcome.OFF, "off", "off", "origin", True),
        (Outcome.ERROR_BYPASS, "error_bypass", "pass", "origin", True),
        (Outcome.REFRESH, "refresh", "refresh", "origin", True),
        (Outcome.CONTROL_HIT, "control_hit", "control", "origin", True),
        (Outcome.CONTROL_MISS, "control_miss", "control", "origin", True),
        (Outcome.PERSONAL, "personal", "pass", "origin", True),
    ],
)
def test_outcome_facts(
    outcome: Outcome, label: str, family: str, tier: str, calls_origin: bool
) -> None:
    facts = (outcome.label, outcome.outcome, outcome.tier, outcome.calls_origin)
    assert facts == (label, family, tier, calls_origin)
    assert family in FAMILIES


def test_outcomes_number_the_cells_without_gaps() -> None:
    assert [int(outcome) for outcome in Outcome] == list(range(len(Outcome)))


def test_bounds_rise_from_ten_microseconds_to_thirty_seconds() -> None:
    assert (BOUNDS[0], BOUNDS[-1]) == (0.00001, 30.0)
    steps = [b / a for a, b in pairwise(BOUNDS)]
    assert all(1.2 < step < 3.1 for step in steps)


def test_where_applications_answer_a_bucket_is_a_quarter_wide() -> None:
    """A fifth more is to be seen, and would be lost in steps of 1-2.5-5."""
    within = [bound for bound in BOUNDS if 0.001 <= bound <= 10.0]
    assert (within[0], within[-1], len(within)) == (0.001, 10.0, 41)
    assert all(b / a <= 1.28 for a, b in pairwise(within))


def test_the_three_ways_to_count_agree() -> None:
    counters = Counters(ROUTES)
    counters.local.cells[1 * len(Outcome) + Outcome.MISS] += 1
    counters.cells()[1 * len(Outcome) + Outcome.MISS] += 1
    counters.count(1, Outcome.MISS)
    counters.record(1, Outcome.MISS, 0.002)
    stats = counters.snapshot()
    assert stats.requests == {"orders": {"miss": 4}}
    assert stats.durations["orders"]["miss"].count == 1


def test_unlisted_requests_have_a_row_of_their_own() -> None:
    counters = Counters(ROUTES)
    counters.record(UNLISTED, Outcome.PASS, 0.1)
    stats = counters.snapshot()
    assert stats.requests == {UNLISTED_NAME: {"pass": 1}}
    assert stats.durations[UNLISTED_NAME]["pass"].count == 1


def test_durations_tell_memory_from_the_shared_store_and_route_from_route() -> None:
    """Fails where rows are kept by family, or by another index than cells."""
    counters = Counters(ROUTES)
    counters.observe(0, Outcome.SHADOW_MISMATCH, 0.01)
    counters.record(1, Outcome.HIT_MEMORY, 0.00002)
    counters.record(1, Outcome.HIT_SHARED, 0.002)
    counters.record(UNLISTED, Outcome.HIT_MEMORY, 0.00002)
    durations = counters.snapshot().durations
    assert {route: list(by_label) for route, by_label in durations.items()} == {
        "products": ["shadow_mismatch"],
        "orders": ["hit_memory", "hit_shared"],
        UNLISTED_NAME: ["hit_memory"],
    }
    assert durations["orders"]["hit_memory"].total_ns == 20_000


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        *((0.0, 0), (0.00001, 0), (0.000011, 1), (0.001, 6), (0.0011, 7), (0.1, 26), (10.0, 46)),
        *((30.0, 47), (30.1, 48), (1e6, 48)),
    ],
)
def test_a_bucket_includes_its_upper_bound(seconds: float, bucket: int) -> None:
    counters = Counters(ROUTES)
    counters.observe(0, Outcome.HIT_SHARED, seconds)
    histogram = counters.snapshot().durations["products"]["hit_shared"]
    assert histogram.buckets.index(1) == bucket
    assert histogram.seconds == pytest.approx(seconds)


def test_threads_counting_at_once_lose_nothing() -> None:
    counters = Counters(ROUTES)
    threads, rounds = 8, 100_000
    start = threading.Barrier(threads)

    def work() -> None:
        start.wait()
        for _ in range(rounds):
            counters.record(0, Outcome.HIT_MEMORY, 0.00002)
        counters.event("evicted", count=rounds)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        counters.snapshot()  # reading meanwhile disturbs nobody
    for thread in running:
        thread.join()
    stats = counters.snapshot()
    assert stats.requests == {"products": {"hit_memory": threads * rounds}}
    assert stats.durations["products"]["hit_memory"].count == threads * rounds
    assert stats.events == {"evicted": {"": threads * rounds}}


def test_ended_threads_leave_their_counts_and_no_cells() -> None:
    """Fails without the lease that hands a slot on."""
    counters = Counters(ROUTES)

    def work() -> None:
        counters.record(0, Outcome.MISS, 0.01)
        counters.event("stored")

    for _ in range(200):
        in_thread(work)
    gc.collect()
    stats = counters.snapshot()
    assert stats.requests == {"products": {"miss": 200}}
    assert stats.durations["products"]["miss"].count == 200
    assert stats.events == {"stored": {"": 200}}
    assert len(counters._pool.slots) <= 3


def test_a_forked_child_starts_from_zero_and_the_parent_keeps_its_counts() -> None:
    """In a process of its own, which has no other threads when it forks."""
    program = """
import os
from cachemw.telemetry import Counters, Outcome
counters = Counters(["products", "orders"])
counters.record(0, Outcome.MISS, 0.01)
child = os.fork()
if child == 0:
    counters.reset_after_fork()
    empty = counters.snapshot().requests == {}
    counters.record(1, Outcome.HIT_MEMORY, 0.0001)
    os._exit(0 if empty and counters.snapshot().requests == {"orders": {"hit_memory": 1}} else 9)
assert os.waitpid(child, 0)[1] == 0
assert counters.snapshot().requests == {"products": {"miss": 1}}
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_reset_works_while_another_thread_holds_the_lock() -> None:
    counters = Counters(ROUTES)
    with counters._pool.lock:
        counters.reset_after_fork()
        assert counters.snapshot().total == 0


def test_reasons_made_from_input_cannot_grow_memory() -> None:
    counters = Counters(ROUTES)
    for number in range(MAX_REASONS * 10):
        counters.event("not_stored", f"reason {number}")
    counters.event("entry_rejected", "checksum")
    events = counters.snapshot().events
    assert len(events["not_stored"]) == MAX_REASONS + 1
    assert events["not_stored"][OTHER] == MAX_REASONS * 9
    assert sum(events["not_stored"].values()) == MAX_REASONS * 10
    assert events["entry_rejected"] == {"checksum": 1}


def test_why_answers_were_not_kept_is_counted_by_route_and_in_all() -> None:
    counters = Counters(ROUTES)
    for _ in range(2):
        counters.refuse(1, "set-cookie")
    in_thread(lambda: counters.refuse(1, "set-cookie"))
    counters.refuse(1, "private")
    counters.refuse(0, "set-cookie")
    counters.event("not_stored", "shared-checksum")  # what no route is known of
    stats = counters.snapshot()
    assert stats.refused == {
        "orders": {"set-cookie": 3, "private": 1},
        "products": {"set-cookie": 1},
    }
    assert stats.events["not_stored"] == {"set-cookie": 4, "private": 1, "shared-checksum": 1}
    counters.reset_after_fork()
    assert counters.snapshot().refused == {}


def test_reasons_cannot_grow_memory_under_a_route_either() -> None:
    """Fails where `refuse` keeps a reason that the event has not admitted."""
    counters = Counters(ROUTES)
    for number in range(MAX_REASONS * 10):
        counters.refuse(number % 2, f"reason {number}")
    stats = counters.snapshot()
    by_reason = Counter(stats.refused["products"]) + Counter(stats.refused["orders"])
    assert by_reason == Counter(stats.events["not_stored"])
    assert len(by_reason) == MAX_REASONS + 1
    assert by_reason[OTHER] == MAX_REASONS * 9


def test_a_gauge_that_fails_or_knows_nothing_is_left_out() -> None:
    def broken() -> float:
        raise RuntimeError("no value")

    gauges = Gauges(memory_bytes=lambda: 5, log_connected=lambda: True, waiters=broken)
    assert Counters(ROUTES).snapshot(gauges).gauges == {"memory_bytes": 5, "log_connected": 1}


@pytest.mark.parametrize(
    ("statement", "nanoseconds"),
    [
        ("counters.local.cells[7] += 1", 120),
        ("counters.observe(0, hit, 0.00002)", 300),
        ("counters.record(0, hit, 0.00002)", 300),
    ],
)
def test_counting_stays_cheap(statement: str, nanoseconds: int) -> None:
    """The bounds are for a quiet machine: three times them tells a regression from noise.

    The bursts are short, so that some of them run undisturbed on a busy machine too.
    """
    names = {"counters": Counters(ROUTES), "hit": Outcome.HIT_MEMORY}
    best = min(timeit.repeat(statement, globals=names, number=500, repeat=400)) / 500
    assert best * 1e9 <= 3 * nanoseconds
