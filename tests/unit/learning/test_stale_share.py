"""The share of stale answers of a lifetime, compared with a simulation of it."""

from __future__ import annotations

import random

import pytest

from cachemw.learning.rates import Rate
from cachemw.learning.stale_share import longest_lifetime, stale_share

CERTAIN = 1e5
"""Changes: so many that the rate counts as known."""


def rate_of(every: float) -> Rate:
    return Rate(CERTAIN, CERTAIN * every)


def simulated(lifetime: float, every: float, requests: float, window: float) -> float:
    """Return the share of stale answers of many rounds."""
    rng = random.Random(11)
    stale = total = 0
    for _ in range(20_000):
        change = rng.expovariate(1 / every)  # after the entry was made
        at = rng.expovariate(requests)
        while at < lifetime:
            total += 1
            stale += change < at
            at += rng.expovariate(requests)
        total += 1  # the request that ends the round
        stale += at < lifetime + window and change < at
    return stale / total


@pytest.mark.parametrize("requests", [0.1, 2.0])
@pytest.mark.parametrize(("lifetime", "every"), [(1.0, 20.0), (20.0, 20.0), (30.0, 600.0)])
def test_it_is_what_requests_see(lifetime: float, every: float, requests: float) -> None:
    share = stale_share(lifetime, rate_of(every), requests)
    assert share == pytest.approx(simulated(lifetime, every, requests, 0.0), rel=0.15, abs=0.003)


@pytest.mark.parametrize("window", [0.5, 30.0])
def test_a_stale_answer_that_is_served_while_it_is_refreshed_counts(window: float) -> None:
    share = stale_share(5.0, rate_of(20.0), 1.0, window)
    assert share == pytest.approx(simulated(5.0, 20.0, 1.0, window), rel=0.1)
    assert share > stale_share(5.0, rate_of(20.0), 1.0)


def test_who_knows_little_of_the_rate_is_careful() -> None:
    bounds = (0.001, 1e6)
    little = longest_lifetime(0.02, Rate(1.0, 60.0), 1.0, bounds)
    much = longest_lifetime(0.02, Rate(100.0, 6000.0), 1.0, bounds)
    assert little != much
    assert stale_share(little, Rate(1.0, 60.0), 1.0) == pytest.approx(0.02, rel=1e-3)
    assert stale_share(much, Rate(100.0, 6000.0), 1.0) == pytest.approx(0.02, rel=1e-3)


@pytest.mark.parametrize("changes", [0.5, 1.0, 1.0 + 1e-8, 6.0])
def test_the_formula_has_no_gap(changes: float) -> None:
    near = stale_share(10.0, Rate(changes * 1.0001, 60.0), 1.0)
    assert stale_share(10.0, Rate(changes, 60.0), 1.0) == pytest.approx(near, rel=1e-3)


def test_the_lifetime_stays_inside_its_bounds() -> None:
    assert longest_lifetime(0.02, rate_of(1e9), 1.0, (10.0, 3600.0)) == 3600.0
    assert longest_lifetime(0.02, rate_of(1.0), 1.0, (10.0, 3600.0)) == 10.0
    assert 10.0 < longest_lifetime(0.02, rate_of(3600.0), 1.0, (10.0, 3600.0)) < 3600.0
