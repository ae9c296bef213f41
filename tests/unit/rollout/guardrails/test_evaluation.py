"""The final evaluation says what was counted, and what is below its target."""

from __future__ import annotations

import pytest

from cachemw.rollout.guardrails.evaluation import evaluate
from cachemw.rollout.guardrails.measures import Tally

BOUNDS = (0.001, 0.01, 0.1)


def test_it_sums_up_what_the_looks_have_counted() -> None:
    half = Tally(
        control=10,
        control_failed=1,
        control_times=(0, 0, 10, 0),
        treated=100,
        treated_failed=2,
        treated_times=(70, 0, 30, 0),
        hits=70,
        eligible=90,
        saved=45,
    )
    found = evaluate([half, half], BOUNDS)
    assert (found.treated, found.control) == (200, 20)
    assert found.hit_rate == pytest.approx(70 / 90)
    assert found.origin_calls_saved == pytest.approx(0.45)
    assert (found.failed, found.failed_control) == (0.02, 0.1)
    slow, fast = (0.01 * 0.1) ** 0.5, (0.0005 * 0.001) ** 0.5
    assert found.faster == pytest.approx(1 - (0.7 * fast + 0.3 * slow) / slow)
    assert str(found) == (
        "hit rate 77.8%, origin calls saved 45.0% (below its target of 50%), faster by 68.4%, failed 2.00%,"
        " of the control 10.00%"
    )


def test_what_is_below_its_target_is_said() -> None:
    poor = Tally(
        control=10, control_times=(0, 10), treated=10, treated_times=(0, 10), hits=2, eligible=10
    )
    said = str(evaluate([poor], BOUNDS))
    assert said.count("below its target") == 3
    assert "hit rate 20.0% (below its target of 60%)" in said


def test_of_nothing_there_is_nothing_to_say() -> None:
    assert str(evaluate([], BOUNDS)) == ""
    assert evaluate([Tally(treated=5)], BOUNDS).faster is None
