"""A control that is not the share that was to be drawn is found, and one that is off by chance is not."""

from __future__ import annotations

import random

import pytest

from cachemw.rollout.guardrails.measures import Judgement, Tally
from cachemw.rollout.guardrails.sample_ratio import SampleRatio

BETS = 48


def watched(
    *shares: float, holdout: float = 0.05, requests: int = 2000, looks: int = 100
) -> list[Judgement]:
    """Give the judgement at the end of each stretch of looks, in which this share was drawn."""
    check, rng, judged = SampleRatio(holdout=holdout, bets=BETS), random.Random(2), []
    for share in shares:
        for number in range(looks):
            if number % 10 == 0:
                check.begin()
            control = sum(rng.random() < share for _ in range(requests))
            check.add(Tally(control=control, treated=requests - control))
        judged.append(check.judge())
    return judged


@pytest.mark.parametrize("holdout", [0.01, 0.05, 0.2, 0.5, 0.95])
def test_a_sound_holdout_passes(holdout: float) -> None:
    (judged,) = watched(holdout, holdout=holdout)
    assert (judged.verdict, judged.guardrail) == ("pass", "holdout")
    assert judged.evidence["planned"] == holdout
    assert judged.evidence["drawn"] == pytest.approx(holdout, rel=0.1)


@pytest.mark.parametrize("drawn", [0.0, 0.02, 0.04, 0.06, 0.1, 0.5])
def test_a_broken_holdout_is_found_early_and_late(drawn: float) -> None:
    """Fails where only one direction is watched."""
    (early,) = watched(drawn)
    sound, late = watched(0.05, drawn)
    assert (early.verdict, sound.verdict, late.verdict) == ("fail", "pass", "fail")
    assert late.evidence["drawn"] == pytest.approx(drawn, abs=0.005)


def test_when_it_is_mended_it_passes_again() -> None:
    broken, mended = watched(0.08, 0.05)
    assert (broken.verdict, mended.verdict) == ("fail", "pass")


def test_a_share_that_is_certainly_but_hardly_off_is_no_matter() -> None:
    """Fails without the margin."""
    check = SampleRatio(holdout=0.05, bets=BETS)
    check.begin()
    check.add(Tally(control=5_400_000, treated=94_600_000))
    assert check.judge().verdict == "pass"
    assert check.judge().evidence["evidence"] > 1


def test_too_few_requests_are_inconclusive() -> None:
    (judged,) = watched(0.05, looks=1)
    assert judged.verdict == "inconclusive"
