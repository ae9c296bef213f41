"""The rate of changes that refreshes show."""

from __future__ import annotations

import random

import pytest

from cachemw.learning.rates import REMEMBERED, Rate, at_least_one


def test_a_time_without_a_change_lowers_the_rate() -> None:
    before = Rate(2.0, 100.0)
    after = before.observed(100.0, changed=False)
    assert (after.changes, after.seconds) == (2.0, 200.0)
    assert after.mean == before.mean / 2


def test_a_change_raises_it() -> None:
    before = Rate(2.0, 100.0)
    after = before.observed(10.0, changed=True)
    assert after.changes == pytest.approx(2.0 + at_least_one(0.2))
    assert after.mean > before.mean


@pytest.mark.parametrize(
    ("expected", "counted"), [(0.0, 1.0), (1e-12, 1.0), (0.1, 1.05), (5.0, 5.03)]
)
def test_a_refresh_that_saw_a_change_counts_as_all_that_there_may_have_been(
    expected: float, counted: float
) -> None:
    assert at_least_one(expected) == pytest.approx(counted, abs=0.01)


def test_an_announced_change_is_one() -> None:
    """Else a key that is purged again and again would seem to change ever faster."""
    rate = Rate(1.0, 10.0)
    for _ in range(1000):
        rate = rate.observed(30.0, changed=True, announced=True)
    assert rate.mean == pytest.approx(1 / 30)


def test_the_past_loses_weight_and_the_mean_stays() -> None:
    rate = Rate(REMEMBERED, 60.0)
    after = rate.observed(10.0, changed=True)
    assert after.changes == pytest.approx(REMEMBERED)
    assert after.mean == pytest.approx((REMEMBERED + at_least_one(1.0)) / 70.0)


@pytest.mark.parametrize("interval", [1.0, 20.0, 100.0])
def test_it_finds_the_rate_whatever_the_time_between_refreshes(interval: float) -> None:
    """With one change in 20 s: refreshes that see only one of many changes count them all."""
    rng, rate, means = random.Random(7), Rate(1.0, 5.0), []
    for _ in range(3000):
        changed = rng.expovariate(1 / 20) < interval
        rate = rate.observed(interval, changed=changed)
        means.append(rate.mean)
    average = sum(means[500:]) / len(means[500:])
    assert average == pytest.approx(1 / 20, rel=0.35)


def test_a_share_of_the_changes_has_a_lower_rate_but_never_none() -> None:
    rate = Rate(2.0, 100.0)
    assert rate.slowed(0.1).mean == pytest.approx(rate.mean / 10)
    assert rate.slowed(0.0).mean == pytest.approx(rate.mean / 1000)
