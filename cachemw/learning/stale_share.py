"""Which share of the answers is stale with a lifetime, and the longest lifetime for a given share.

Theory of operation. An entry is made by a request, is fresh for T seconds, and is made anew by the first
request after that. With r requests a second, 1 + rT requests see it in each round. The content changes at
a rate that is known as a Gamma distribution (see `rates`), so it is still unchanged after t seconds with
the probability (b / (b + t)) ** a: the distribution of Lomax, with a = changes and b = seconds. So the
share of stale answers is

    r · (T - U(T)) / (1 + r·T),    U(T) = integral of (b / (b + t)) ** a from 0 to T

Where a stale answer is served while it is refreshed, the request that ends the round is stale as well,
if the content has changed since the round began: it comes 1/r seconds after T, on average.

The share grows with T, so the longest lifetime for a share is found by halving an interval.
"""

from __future__ import annotations

from math import exp, log

from cachemw.learning.rates import Rate

__all__ = ["longest_lifetime", "stale_share"]

_STEPS = 24
"""Halvings of the interval: 2**-24 of the range from a millisecond to a year is below a millionth."""


def stale_share(lifetime: float, rate: Rate, requests: float, window: float = 0.0) -> float:
    """Return the expected share of stale answers, from 0 to 1.

    `requests` is their number in a second, and `window` the seconds after the lifetime in which a stale
    answer is served while it is refreshed.
    """
    stale = requests * (lifetime - _unchanged(lifetime, rate))
    if window > 0.0:
        waited = 1.0 / requests
        inside = 1.0 - exp(-window / waited)  # the share of rounds whose next request comes in time
        stale += inside * (1.0 - _still(lifetime + min(waited, window), rate))
    return stale / (1.0 + requests * lifetime)


def longest_lifetime(
    share: float,
    rate: Rate,
    requests: float,
    bounds: tuple[float, float],
    window: float = 0.0,
) -> float:
    """Return the longest lifetime in seconds, inside the bounds, that keeps to a share of stale answers.

    Where even the shortest does not keep to it, that one is returned.
    """
    shortest, longest = bounds
    if stale_share(longest, rate, requests, window) <= share:
        return longest
    if stale_share(shortest, rate, requests, window) >= share:
        return shortest
    low, high = log(shortest), log(longest)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if stale_share(exp(middle), rate, requests, window) <= share:
            low = middle
        else:
            high = middle
    return exp(low)


def _still(seconds: float, rate: Rate) -> float:
    """Return the probability that nothing changes for so long."""
    return float((rate.seconds / (rate.seconds + seconds)) ** rate.changes)


def _unchanged(seconds: float, rate: Rate) -> float:
    """Return the expected time without a change, of so many seconds."""
    shape = rate.changes - 1.0
    ratio = log(rate.seconds / (rate.seconds + seconds))
    if abs(shape) < 1e-6:  # the limit of the formula below
        return -rate.seconds * ratio
    return rate.seconds / shape * (1.0 - exp(shape * ratio))
