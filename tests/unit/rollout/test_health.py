"""The health check finds what is wrong, by evidence, and says when it cannot tell."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.rollout.guardrails.measures import Judgement
from cachemw.rollout.guardrails.tallies import Increase
from cachemw.rollout.health import FailureSample, Finding, conclusion, examine, failed_in_control
from cachemw.telemetry.fleet import ProcessStats
from cachemw.telemetry.stats import Stats

from .plans import begun

CONTROL = FailureSample(20_000, 0.01)
MARGIN = 0.005


def process(name: str, **gauges: float) -> ProcessStats:
    stats = Stats(gauges={"flags_revision": 7.0, **gauges})
    return ProcessStats(id=name, age=0.0, live=True, component="api", stats=stats)


def increase(requests: Mapping[str, int], failures: Mapping[str, int]) -> Increase:
    return Increase(
        requests={"pages": dict(requests)},
        failures={"pages": dict(failures)},
        times={},
        buckets=1,
        refused={},
        differences={},
        forecasts={},
    )


def check(
    *processes: ProcessStats,
    answers: int = 1000,
    failed: int = 10,
    control: FailureSample = CONTROL,
    cached: int = 0,
    store: str = "",
) -> dict[str, Finding]:
    findings = examine(
        replace(begun(), flags_revision=7),
        processes or (process("a"), process("b")),
        increase({"off": answers, "hit_memory": cached}, {"off": failed}),
        ["pages"],
        store=store,
        control=control,
        margin=MARGIN,
    )
    return {each.name: each for each in findings}


def problems(found: Mapping[str, Finding]) -> set[str]:
    return {name for name, each in found.items() if each.problem}


def test_all_is_well() -> None:
    found = check()
    assert all(each.healthy and each.conclusive for each in found.values())
    assert conclusion(list(found.values())) == "all is well"


@pytest.mark.parametrize(
    ("ill", "name", "says"),
    [
        ({"failed": 60}, "errors", "6.00% of 1000 answers failed; 1.00% of 20000 held out before"),
        ({"cached": 3}, "routes", "3 answers still through the cache"),
        ({"store": "is full"}, "store", "is full"),
    ],
)
def test_it_says_what_is_wrong(ill: dict[str, Any], name: str, says: str) -> None:
    found = check(**ill)
    assert problems(found) == {name}
    assert conclusion(list(found.values())).startswith(f"problems: {name}: {says}")


@pytest.mark.parametrize(
    ("gauges", "name", "says"),
    [
        ({"flags_revision": 6.0}, "flags", "1 of 2 processes have them"),
        (
            {"log_connected": 0.0},
            "log",
            "1 processes do not follow the log, 0 have a Redis breaker that is not closed",
        ),
        (
            {"breaker": 2.0},
            "log",
            "0 processes do not follow the log, 1 have a Redis breaker that is not closed",
        ),
    ],
)
def test_it_says_which_processes_are_cut_off(
    gauges: dict[str, float], name: str, says: str
) -> None:
    found = check(process("a"), process("b", **gauges))
    assert problems(found) == {name}
    assert found[name].detail == says


def test_without_processes_something_is_wrong() -> None:
    gone = replace(process("a"), live=False)
    assert problems(check(gone)) == {"processes"}


@pytest.mark.parametrize(
    "few",
    [
        {"answers": 0, "failed": 0},
        {"answers": 15, "failed": 0},  # three seconds of a small site
        {"answers": 15, "failed": 1},
        {"answers": 199, "failed": 0},
        {"answers": 1000, "failed": 17},  # above the limit, but chance explains it
        {"control": FailureSample(199, 0.01)},
        {"control": FailureSample()},
        {"control": FailureSample(), "failed": 6},
        {
            "control": FailureSample(),
            "answers": 1000,
            "failed": 900,
        },  # nobody knows what was normal
    ],
)
def test_what_is_too_little_to_judge_by_is_inconclusive(few: dict[str, Any]) -> None:
    found = check(**few)
    assert (found["errors"].conclusive, found["errors"].healthy) == (False, False)
    assert problems(found) == set()
    assert conclusion(list(found.values())).startswith("inconclusive: errors: ")


def test_a_problem_and_what_is_inconclusive_are_both_said() -> None:
    said = conclusion(list(check(answers=0, failed=0, store="is full").values()))
    assert said.startswith("problems: store: is full. inconclusive: errors: ")


@pytest.mark.parametrize(
    "control", [FailureSample(), FailureSample(10, 0.0), FailureSample(20_000, 0.01)]
)
def test_a_rate_within_the_margin_is_well_whatever_it_is_compared_with(
    control: FailureSample,
) -> None:
    assert check(failed=5, control=control)["errors"].healthy


def test_few_answers_that_nearly_all_fail_are_evidence() -> None:
    assert problems(check(answers=15, failed=14)) == {"errors"}


@pytest.mark.parametrize(
    ("per_second", "base", "held_out"),
    [(5, 0.01, 300), (50, 0.01, 300), (50, 0.002, 300), (500, 0.01, 2000), (500, 0.05, 500)],
)
def test_an_unchanged_application_is_seldom_called_not_well(
    per_second: int, base: float, held_out: int
) -> None:
    """Fails where rates are compared plainly: chance alone made one rollback in six a problem."""
    rng, wrong, runs = random.Random(3), 0, 300
    for _ in range(runs):
        answers = per_second * 3
        failed = _binomial(rng, answers, base)
        control = FailureSample(held_out, _binomial(rng, held_out, base) / held_out)
        wrong += bool(problems(check(answers=answers, failed=failed, control=control)))
    assert wrong <= 0.01 * runs


def _binomial(rng: random.Random, count: int, share: float) -> int:
    return sum(rng.random() < share for _ in range(count))


def test_of_several_groups_the_control_that_excuses_most_counts() -> None:
    def judged(held_out: float, rate: float) -> tuple[Judgement, ...]:
        numbers = {"held_out": held_out, "held_out_failed": rate * held_out, "control": 0.7}
        return (
            Judgement(guardrail="hits", verdict="pass", evidence={"rate": 0.9}),
            Judgement(guardrail="errors", verdict="pass", evidence=numbers),
        )

    state = replace(begun(), judged={"phase": judged(50, 0.0), "before": judged(9000, 0.02)})
    assert failed_in_control(state) == FailureSample(50, 0.0)
    assert failed_in_control(replace(state, judged={"phase": judged(0, 0.0)})) == FailureSample()
    assert failed_in_control(begun()) == FailureSample()


@pytest.mark.parametrize(("rate", "other"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_a_rate_explains_itself(rate: float, other: float) -> None:
    assert FailureSample(1e6, rate).is_chance(other)
    assert rate <= FailureSample(1e6, rate).highest() <= min(1.0, rate + 0.01)
