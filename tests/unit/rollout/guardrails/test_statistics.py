"""Bets against "no harm" win nothing while it is true, by whatever it moves, and much when it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.rollout.guardrails.statistics import (
    CLOSE,
    SEVERAL,
    Detector,
    MeasuredDetector,
    threshold,
)

PROBABILITIES = st.floats(0.01, 0.99)


def capital(answers: Sequence[bool], most: float, fractions: Sequence[float]) -> float:
    detector = Detector(fractions)
    detector.begin()
    for yes in answers:
        detector.add(int(yes), int(not yes), most)
    return math.exp(detector.evidence())


def expected(most: float, true: Sequence[float], fractions: Sequence[float]) -> float:
    """Give the expectation of a bet's capital after a stream with these probabilities of yes."""
    total = 0.0
    for number in range(2 ** len(true)):
        answers = [bool(number >> index & 1) for index in range(len(true))]
        chance = math.prod(p if yes else 1 - p for p, yes in zip(true, answers, strict=True))
        total += chance * capital(answers, most, fractions)
    return total


@given(
    most=PROBABILITIES,
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    fractions=st.sampled_from([SEVERAL, CLOSE]),
)
def test_nobody_expects_to_win_while_there_is_no_harm(
    most: float, shares: list[float], fractions: Sequence[float]
) -> None:
    # Exact, over all streams: each probability is at most `most`, and differs from the one before.
    assert expected(most, [most * share for share in shares], fractions) <= 1 + 1e-9


@pytest.mark.parametrize("fractions", [SEVERAL, CLOSE])
def test_at_the_limit_the_bet_is_fair(fractions: Sequence[float]) -> None:
    assert expected(0.3, [0.3] * 6, fractions) == pytest.approx(1.0)


def test_harm_makes_rich() -> None:
    detector = Detector()
    detector.begin()
    detector.add(yes=260, no=1, most=0.95)
    assert detector.evidence() > threshold(0.001, 1)
    detector.add(yes=0, no=20, most=0.95)
    assert detector.evidence() < 0


def test_looking_often_at_counts_is_looking_once_at_their_sum() -> None:
    often, once = Detector(), Detector()
    often.begin()
    once.begin()
    for yes, no in ((3, 1), (0, 2), (7, 0)):
        often.add(yes, no, 0.6)
    once.add(10, 3, 0.6)
    assert often.evidence() == pytest.approx(once.evidence())


def test_harm_that_begins_late_is_found_by_a_bet_that_begins_late() -> None:
    # With one bet alone, what was won without harm for hours is to be lost again first.
    first, again = Detector(), Detector()
    first.begin()
    for _ in range(50):
        again.begin()
        for each in (first, again):
            each.add(yes=850, no=150, most=0.9)
    again.begin()
    for each in (first, again):
        each.add(yes=200, no=1, most=0.9)
    assert first.evidence() < 0
    assert again.evidence() > threshold(0.01, 51)
    assert again.capitals().index(max(again.capitals())) == 50


def test_all_bets_count_and_a_bounded_number_is_known_by_itself() -> None:
    single, every, measured = (
        [Detector() for _ in range(150)],
        Detector(),
        MeasuredDetector(0.01, 48, 1),
    )
    for number in range(150):
        single[number].begin()
        every.begin()
        measured.begin()
        for each in (*single[: number + 1], every):
            each.add(yes=18, no=1, most=0.9)
        measured.add(18, 1, 0.9, (1.0,))
    total = math.log(sum(math.exp(each.evidence()) for each in single))
    assert every.evidence() == pytest.approx(total)
    assert max(totals[0] for totals in measured.measured()) == 64


def test_when_harm_ends_its_evidence_is_soon_lost() -> None:
    """Fails without a most evidence: what was won in hours would be lost in hours."""
    detector = MeasuredDetector(0.01, 48, 1)
    for _ in range(100):
        detector.begin()
        detector.add(1000, 10, 0.95, (1.0,))
    assert 1 < detector.evidence < 5
    for _ in range(5):
        detector.begin()
        detector.add(950, 50, 0.95, (1.0,))
    assert detector.evidence < 1
    assert detector.measured() == []


def test_without_a_bet_there_is_no_evidence() -> None:
    detector = Detector()
    detector.add(100, 0, 0.5)
    assert detector.evidence() == -math.inf
    assert detector.capitals() == []


def test_more_bets_ask_for_more_evidence() -> None:
    assert threshold(0.01, 1) == pytest.approx(math.log(100))
    assert threshold(0.01, 48) == pytest.approx(math.log(4800))
