"""A tally is what the processes have counted since the last look: all of it, once, in the right arm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.measures import Tally
from cachemw.rollout.guardrails.tallies import (
    CONTROL,
    NEITHER,
    TREATED,
    IncreaseTracker,
    fullest,
    tally_of,
)
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.events import BOUNDS
from cachemw.telemetry.fleet import ProcessStats
from cachemw.telemetry.stats import Histogram, Stats
from tests.support.examples import examples

ROUTES = ("products", "orders", "elsewhere")
OURS = ROUTES[:2]
NONE = (0,) * (len(BOUNDS) + 1)
NOTHING = Tally(
    control_times=NONE, control_missed_times=NONE, treated_times=NONE, missed_times=NONE
)


def process(name: str, stats: Stats, *, live: bool = True) -> ProcessStats:
    return ProcessStats(id=name, age=0.0, live=live, component="api", stats=stats)


class Worker:
    """A process that counts, and says what it has counted."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.counters = Counters(ROUTES)

    def answer(
        self, outcome: Outcome, count: int = 1, *, route: int = 0, failed: bool = False
    ) -> None:
        for _ in range(count):
            self.counters.record(route, outcome, 0.01)
            if failed:
                self.counters.fail(route, outcome)

    def report(self) -> ProcessStats:
        return process(self.name, self.counters.snapshot())


class Tallies:
    """Looks at the fleet again and again, as the controller does."""

    def __init__(self) -> None:
        self._growth = IncreaseTracker(len(NONE))

    def look(self, found: Iterable[ProcessStats]) -> Tally:
        processes = tuple(found)
        grown = self._growth.since_last(processes)
        memory = fullest(processes)
        return NOTHING if grown is None else tally_of(grown, OURS, memory)


def tallies() -> Tallies:
    return Tallies()


def counted(tally: Tally) -> dict[str, int]:
    """Give the numbers of a tally, of its histograms how many they hold, and nothing that is zero."""
    numbers = {
        name: sum(value) if isinstance(value, tuple) else value
        for name, value in asdict(tally).items()
    }
    return {name: number for name, number in numbers.items() if number}


def told(outcome: Outcome, *, route: int = 0, failed: bool = False) -> dict[str, int]:
    """Count one request between two looks."""
    worker, looking = Worker(), tallies()
    looking.look([worker.report()])
    worker.answer(outcome, route=route, failed=failed)
    return counted(looking.look([worker.report()]))


def test_every_outcome_is_in_one_arm_or_in_neither() -> None:
    """A new one must be given its place."""
    assert sorted([*TREATED, *CONTROL, *NEITHER]) == list(Outcome)


def test_processes_that_are_gone_are_remembered_up_to_a_number() -> None:
    growth = IncreaseTracker(len(NONE))
    for number in range(1200):
        growth.since_last([process(str(number), Stats())])
    assert growth._before is not None
    assert len(growth._before) == 1001


HIT = {"treated": 1, "treated_times": 1, "hits": 1, "eligible": 1, "saved": 1}
SLOW_HIT = {**HIT, "missed_times": 1}
MISS = {"treated": 1, "treated_times": 1, "missed_times": 1, "eligible": 1}
PAST = {"treated": 1, "treated_times": 1, "missed_times": 1}
HELD = {"control": 1, "control_times": 1}


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome.HIT_MEMORY, HIT),
        (Outcome.STALE_MEMORY, HIT),
        (Outcome.HIT_SHARED, SLOW_HIT),
        (Outcome.HIT_COALESCED, SLOW_HIT),
        (Outcome.STALE_SHARED, SLOW_HIT),
        (Outcome.STALE_IF_ERROR, {k: v for k, v in SLOW_HIT.items() if k != "saved"}),
        (Outcome.REFRESH, {"saved": -1}),
        (Outcome.MISS, MISS),
        (Outcome.HIT_FOR_MISS, MISS),
        (Outcome.REVALIDATED, MISS),
        (Outcome.ERROR_BYPASS, PAST),
        (Outcome.PERSONAL, PAST),
        (Outcome.CONTROL_HIT, HELD),
        (Outcome.CONTROL_MISS, {**HELD, "control_missed_times": 1}),
        (Outcome.UNSATISFIED, {"eligible": 1}),
        *((outcome, {}) for outcome in sorted(NEITHER - {Outcome.UNSATISFIED, Outcome.REFRESH})),
    ],
    ids=lambda value: value.label if isinstance(value, Outcome) else "",
)
def test_an_answer_is_counted_by_its_arm(outcome: Outcome, expected: dict[str, int]) -> None:
    assert told(outcome) == expected
    assert told(outcome, route=1) == expected
    assert told(outcome, route=2) == {}, "it is none of the phase's routes"


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        *((outcome, {"treated_failed": 1}) for outcome in sorted(TREATED)),
        *((outcome, {"control_failed": 1}) for outcome in sorted(CONTROL)),
        *((outcome, {}) for outcome in sorted(NEITHER)),
    ],
    ids=lambda value: value.label if isinstance(value, Outcome) else "",
)
def test_a_failure_is_counted_by_its_arm(outcome: Outcome, failed: dict[str, int]) -> None:
    assert told(outcome, failed=True) == {**told(outcome), **failed}


def test_hits_are_counted_as_the_hit_rate_counts_them() -> None:
    worker, looking = Worker(), tallies()
    looking.look([worker.report()])
    for outcome in Outcome:
        worker.answer(outcome, 1 + outcome)
    report = worker.report()
    tally = looking.look([report])
    assert tally.hits / tally.eligible == report.stats.hit_rate


def test_times_are_counted_by_the_buckets_of_the_statistics() -> None:
    worker, looking = Worker(), tallies()
    looking.look([worker.report()])
    worker.counters.record(0, Outcome.MISS, 0.012)
    worker.counters.record(1, Outcome.PERSONAL, 0.012)
    worker.counters.record(0, Outcome.HIT_MEMORY, 0.00002)
    tally = looking.look([worker.report()])
    slow, fast = BOUNDS.index(0.0125), BOUNDS.index(0.000025)
    assert {i: n for i, n in enumerate(tally.treated_times) if n} == {fast: 1, slow: 2}
    assert {i: n for i, n in enumerate(tally.missed_times) if n} == {slow: 2}


def test_reasons_and_places_grow_by_route_process_by_process() -> None:
    """Fails where the difference of the fleet's sums is taken: one of two processes ends."""

    def stats(refused: int, places: int) -> Stats:
        return Stats(
            refused={"orders": {"private": refused}}, differences={"orders": {"$.total": places}}
        )

    growth = IncreaseTracker(len(NONE))
    assert growth.since_last([process("a", stats(9, 9)), process("b", stats(1, 1))]) is None
    grown = growth.since_last([process("b", stats(4, 1)), process("c", stats(2, 6))])
    assert grown is not None
    assert grown.refused == {"orders": {"private": 5}}
    assert grown.differences == {"orders": {"$.total": 6}}


# -- from look to look ---------------------------------------------------------------------------------


def test_the_first_look_only_sets_the_base() -> None:
    worker, looking = Worker(), tallies()
    worker.answer(Outcome.MISS, 5)
    assert looking.look([worker.report()]) == NOTHING
    assert looking.look([worker.report()]) == NOTHING
    worker.answer(Outcome.MISS, 2)
    assert looking.look([worker.report()]).treated == 2


def test_a_process_that_came_later_counts_from_zero() -> None:
    looking = tallies()
    assert looking.look([]) == NOTHING
    worker = Worker()
    worker.answer(Outcome.MISS, 3)
    assert looking.look([worker.report()]).treated == 3


def test_a_process_that_ends_takes_nothing_with_it() -> None:
    """Fails where the difference of the fleet's sums is taken."""
    old, new, looking = Worker("old"), Worker("new"), tallies()
    old.answer(Outcome.MISS, 100)
    looking.look([old.report(), new.report()])
    new.answer(Outcome.MISS, 2)
    ended = process("old", old.report().stats, live=False)
    assert looking.look([ended, new.report()]).treated == 2
    assert looking.look([new.report()]) == NOTHING


def test_what_a_process_counted_in_its_last_seconds_counts() -> None:
    worker, looking = Worker(), tallies()
    looking.look([worker.report()])
    worker.answer(Outcome.MISS)
    assert looking.look([process("one", worker.report().stats, live=False)]).treated == 1


def test_a_fleet_that_redis_has_lost_and_found_counts_nothing_twice() -> None:
    """Fails where processes are forgotten that are not found."""
    worker, looking = Worker(), tallies()
    worker.answer(Outcome.MISS, 100)
    looking.look([worker.report()])
    assert looking.look([]) == NOTHING
    worker.answer(Outcome.MISS)
    assert looking.look([worker.report()]).treated == 1


def test_a_count_that_went_down_is_none() -> None:
    looking = tallies()
    looking.look([process("one", Stats(requests={"products": {"miss": 9, "hit_memory": 1}}))])
    tally = looking.look([process("one", Stats(requests={"products": {"miss": 3}}))])
    assert tally == NOTHING


def test_histograms_of_other_buckets_are_left_out() -> None:
    looking = tallies()
    looking.look([])
    coarse, fine = Histogram((7,) * 21, 1), Histogram((1,) * len(NONE), 1)
    tally = looking.look(
        [
            process("other", Stats(durations={"products": {"miss": coarse}})),
            process("ours", Stats(durations={"products": {"miss": fine}})),
        ]
    )
    assert tally.missed_times == tally.treated_times == (1,) * len(NONE)


def test_labels_of_another_release_are_left_out() -> None:
    looking = tallies()
    looking.look([])
    assert looking.look([process("one", Stats(requests={"products": {"orbit": 7}}))]) == NOTHING


@pytest.mark.parametrize(
    ("gauges", "memory"),
    [
        ([], None),
        ([{"memory_bytes": 5.0}], None),
        ([{"memory_planned": 5.0}], None),
        ([{"memory_bytes": 5.0, "memory_planned": 0.0}], None),
        ([{"memory_bytes": 0.0, "memory_planned": 10.0}], 0.0),
        (
            [
                {"memory_bytes": 5.0, "memory_planned": 10.0},
                {"memory_bytes": 9.0, "memory_planned": 12.0},
                {"memory_bytes": 99.0},
            ],
            0.75,
        ),
    ],
)
def test_memory_is_that_of_the_fullest_live_process(
    gauges: list[dict[str, float]], memory: float | None
) -> None:
    full = Stats(gauges={"memory_bytes": 99.0, "memory_planned": 10.0})
    found = [process(str(number), Stats(gauges=each)) for number, each in enumerate(gauges)]
    looking = tallies()
    looking.look([])
    assert looking.look([*found, process("ended", full, live=False)]).memory == memory


Counting = tuple[str, int, Outcome, int, bool]
counting: st.SearchStrategy[Counting] = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, len(ROUTES) - 1),
    st.sampled_from(list(Outcome)),
    st.integers(1, 3),
    st.booleans(),
)
look = st.tuples(st.lists(counting, max_size=6), st.sets(st.sampled_from(["a", "b", "c"])))


def total(tallied: Iterable[Tally]) -> dict[str, Any]:
    """Add up, number by number."""
    sums = asdict(NOTHING)
    for each in tallied:
        for name, value in asdict(each).items():
            if name != "memory":
                sums[name] = (
                    tuple(a + b for a, b in zip(sums[name], value, strict=True))
                    if isinstance(value, tuple)
                    else sums[name] + value
                )
    return sums


@settings(max_examples=examples(60), deadline=None)
@given(first=look, looks=st.lists(look, max_size=6))
def test_all_looks_together_are_one_look_at_the_end(
    first: tuple[list[Counting], set[str]], looks: list[tuple[list[Counting], set[str]]]
) -> None:
    """Whichever processes are found meanwhile: nothing is lost, and nothing counts twice."""
    workers = {name: Worker(name) for name in ("a", "b", "c")}
    often, once = tallies(), tallies()
    seen = []
    for number, (counts, found) in enumerate([first, *looks, ([], set(workers))]):
        for name, route, outcome, count, failed in counts:
            workers[name].answer(outcome, count, route=route, failed=failed)
        reports = [workers[name].report() for name in sorted(found)]
        seen.append(often.look(reports))
        if number == 0:
            once.look(reports)
    at_end = once.look([worker.report() for worker in workers.values()])
    assert total(seen) == total([at_end])
