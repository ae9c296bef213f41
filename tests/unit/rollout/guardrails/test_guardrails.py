"""Guardrails alarm where harm is certain and large enough, each at its own, and at nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.rollout.guardrails.guardrails import Guardrails, Margins
from cachemw.rollout.guardrails.measures import Judgement, Tally
from tests.unit.rollout.plans import default_margins

BOUNDS = tuple(0.01 * 1.1**step for step in range(60))
LOOK = 30.0
NAMES = ("errors", "latency", "misses", "hits", "memory")


def times(count: int, slow: int, seconds: float = 0.05) -> tuple[int, ...]:
    """Give a histogram of answers of a time, and a few of three times that."""
    buckets = [0] * (len(BOUNDS) + 1)
    for number, each in ((count - slow, seconds), (slow, 3 * seconds)):
        buckets[sum(bound < each for bound in BOUNDS)] += number
    return tuple(buckets)


HEALTHY: dict[str, Any] = {
    "control": 100,
    "control_failed": 1,
    "control_times": times(100, 4),
    "control_missed_times": times(30, 1),
    "treated": 1900,
    "treated_failed": 19,
    "treated_times": times(1900, 60),
    "missed_times": times(570, 19),
    "hits": 1330,
    "eligible": 1900,
    "memory": 0.9,
}


@dataclass
class Phase:
    """A phase that is looked at."""

    margins: Margins = field(default_factory=default_margins)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.guardrails = Guardrails(self.margins, BOUNDS)
        self.last: dict[str, Judgement] = {}

    def looks(self, count: int, **changed: Any) -> Phase:
        for _ in range(count):
            found = self.guardrails.look(Tally(**{**HEALTHY, **changed}), self.seconds)
            self.last = {each.guardrail: each for each in found}
            self.seconds += LOOK
        return self

    @property
    def failing(self) -> set[str]:
        return {name for name, each in self.last.items() if each.verdict == "fail"}


def test_a_healthy_phase_passes() -> None:
    phase = Phase().looks(200)
    verdicts = {name: each.verdict for name, each in phase.last.items()}
    assert verdicts == dict.fromkeys((*NAMES, "holdout"), "pass")


def test_a_broken_holdout_is_found() -> None:
    assert Phase().looks(100).looks(100, treated=500, treated_failed=5).failing == {"holdout"}


def test_where_hardly_anything_misses_nobody_waits_for_misses() -> None:
    """Fails without `_rare`: a cache that answers everything would never be rolled out."""
    rare: dict[str, Any] = {"control_missed_times": times(1, 0), "missed_times": times(4, 0)}
    last = Phase().looks(60, **rare).last
    assert last["misses"].verdict == "pass"
    assert Phase().looks(1, **rare).last["misses"].verdict == "inconclusive"


HARM: dict[str, dict[str, Any]] = {
    "errors": {"treated_failed": 60},
    "latency": {"treated_times": times(1900, 300)},
    "misses": {"missed_times": times(570, 150)},
    "hits": {"hits": 665},
    "memory": {"memory": 1.25},
}


@pytest.mark.parametrize("name", NAMES)
def test_harm_is_found_by_its_guardrail_alone_also_when_it_comes_late(name: str) -> None:
    phase = Phase().looks(100)
    assert phase.failing == set()
    for _ in range(40):
        if phase.looks(1, **HARM[name]).failing:
            break
    assert phase.failing == {name}


def looks_until_found(phase: Phase, name: str) -> int:
    for count in range(1, 200):
        if phase.looks(1, **HARM[name]).failing:
            return count
    raise AssertionError(f"{name} is not found")


@pytest.mark.parametrize("name", NAMES)
def test_harm_is_found_as_fast_long_after_the_planned_time_as_at_its_beginning(name: str) -> None:
    """Fails where the bets end with the planned time, or where each asks for more than the one before."""
    margins = replace(default_margins(), seconds=40 * LOOK, bet_every=LOOK)
    early, late = Phase(margins).looks(20), Phase(margins).looks(1000)
    assert (early.failing, late.failing) == (set(), set())
    assert looks_until_found(late, name) <= looks_until_found(early, name) + 1


def test_the_limit_of_slow_responses_follows_the_hour() -> None:
    """Fails where it is the 95th percentile of the whole phase: after a slow day nothing would be slow."""
    slow_day = {
        "control_times": times(100, 4, seconds=0.5),
        "treated_times": times(1900, 60, seconds=0.5),
        "control_missed_times": times(30, 1, seconds=0.5),
        "missed_times": times(570, 19, seconds=0.5),
    }
    phase = Phase().looks(2000, **slow_day).looks(400)
    assert phase.failing == set()
    assert looks_until_found(phase, "latency") < 20


SMALL: dict[str, dict[str, Any]] = {
    "errors": {"treated_failed": 26},  # 0.37 points more
    "hits": {"hits": 770},  # 40.5 %
    "memory": {"memory": 1.19},
}


@pytest.mark.parametrize("name", SMALL)
def test_what_is_certain_and_small_is_no_harm(name: str) -> None:
    # Fails for errors where the margin is not asked for.
    assert Phase().looks(400, **SMALL[name]).failing == set()


def test_what_was_small_for_long_and_becomes_large_is_harm_at_once() -> None:
    """Fails where harm is measured since the strongest bet alone: the small harm dilutes the large one."""
    phase = Phase().looks(1500, **SMALL["errors"])
    assert phase.failing == set()
    assert looks_until_found(phase, "errors") < 20


def test_slower_by_less_than_the_margin_is_no_harm() -> None:
    slower = times(1900, 60, seconds=0.056)
    phase = Phase().looks(400, treated_times=slower, control_times=times(100, 6))
    assert phase.failing == set()


@pytest.mark.parametrize("name", ["errors", "latency", "misses"])
def test_what_is_large_and_uncertain_is_no_harm_yet(name: str) -> None:
    # Fails where the evidence is not asked for.
    few = {
        "control": 5,
        "control_failed": 0,
        "control_times": times(5, 0),
        "control_missed_times": times(2, 0),
        "treated": 95,
        "treated_times": times(95, 3),
        "missed_times": times(30, 1),
        "hits": 66,
        "eligible": 95,
    }
    harm = {
        "errors": {"treated_failed": 3},
        "latency": {"treated_failed": 0, "treated_times": times(95, 12)},
        "misses": {"treated_failed": 0, "missed_times": times(30, 8)},
    }
    assert Phase().looks(3, **{**few, **harm[name]}).failing == set()


def test_what_harms_both_arms_is_no_harm_of_the_caches() -> None:
    both = {
        "control_failed": 30,
        "treated_failed": 570,
        "control_times": times(100, 50, seconds=0.5),
        "treated_times": times(1900, 900, seconds=0.5),
        "control_missed_times": times(30, 15, seconds=0.5),
        "missed_times": times(570, 280, seconds=0.5),
    }
    assert Phase().looks(60).looks(60, **both).looks(60).failing == set()


def test_memory_over_plan_counts_three_looks_in_a_row_and_not_three_in_all() -> None:
    phase = Phase()
    for _ in range(20):
        assert phase.looks(2, memory=1.3).failing == set()
        assert phase.looks(1).failing == set()
    assert phase.looks(3, memory=1.3).failing == {"memory"}


def test_too_little_traffic_is_inconclusive() -> None:
    quiet = {
        "control": 1,
        "control_failed": 0,
        "control_times": times(1, 0),
        "control_missed_times": times(1, 0),
        "treated": 9,
        "treated_failed": 0,
        "treated_times": times(9, 0),
        "missed_times": times(3, 0),
        "hits": 6,
        "eligible": 9,
        "memory": None,
    }
    verdicts = {each.verdict for each in Phase().looks(20, **quiet).last.values()}
    assert verdicts == {"inconclusive"}


def test_a_judgement_has_the_numbers_it_was_made_on() -> None:
    phase = Phase().looks(40, **HARM["errors"])
    evidence = phase.last["errors"].evidence
    assert evidence["treated"] == pytest.approx(60 / 1900)
    assert evidence["control"] == pytest.approx(0.01)
    assert evidence["evidence"] > 1


@pytest.mark.parametrize("name", NAMES)
def test_without_anything_to_count_nothing_fails(name: str) -> None:
    guardrails = Guardrails(default_margins(), BOUNDS)
    for look in range(10):
        found = {each.guardrail: each for each in guardrails.look(Tally(), look * LOOK)}
    assert found[name].verdict == "inconclusive"
