"""The statistics of guardrails: tests that may be looked at all the time, and stay right.

A threshold that is looked at every 30 seconds is crossed by chance sooner or later, so evidence is
gathered as *e-values*: bets against "there is no harm" that nobody expects to win money with while it
is true. A bet's capital above 1/alpha is then as rare as alpha, however often one looks (Ville 1939;
Ramdas, Grünwald, Vovk and Shafer, Statistical Science 2023). Harm may begin late, when bets that
began early are long lost: a `Detector` begins another one every few minutes and adds them all up
(Shin, Ramdas and Rinaldo, "E-detectors", 2024), which is as rare as alpha if 1/alpha is multiplied by
their number.

What is bet on:

- **two arms** (errors, slow answers): requests are put in an arm by chance, the treatment with the
  probability `share`. Without harm a *bad* one comes from the treatment with that probability or a
  lower one, whatever makes answers bad at that hour. So bad answers are counted by arm, and no rate
  needs to be known or to stay the same (Wald, Sequential Analysis, 1947, §5.3: double dichotomies);
- **one arm** (hits): without harm each request is a hit with at least the probability `least`.

Both are one stream of yes and no with a known greatest probability of yes, and the bet is the
likelihood ratio of greater ones, averaged over several (Robbins 1970). It is a supermartingale for
every stream whose probability is no greater, also for one that moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Detector", "log_e_value", "threshold"]

_ALTERNATIVES = tuple(0.8**power for power in range(1, 17))
"""By how much the probability of a *no* may be smaller: from a little to almost never."""


def log_e_value(yes: int, no: int, most: float) -> float:
    """Give the logarithm of the capital that was won by betting on more than `most` of yes.

    `most` is the greatest probability of yes without harm, in (0, 1).
    """
    bets = []
    for fraction in _ALTERNATIVES:
        other = (1.0 - most) * fraction
        bets.append(yes * math.log((1.0 - other) / most) + no * math.log(fraction))
    return _log_sum(bets) - math.log(len(bets))


def _log_sum(logarithms: Iterable[float]) -> float:
    values = list(logarithms)
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def threshold(alpha: float, starts: int) -> float:
    """Give the logarithm that a detector's sum exceeds with at most the probability `alpha`.

    `starts` is how many bets it begins while it is looked at.
    """
    return math.log(starts / alpha)


class Detector:
    """Bets on one stream, begun again and again: finds harm that begins late."""

    def __init__(self, most: float) -> None:
        self.most = most
        self._bets: list[tuple[int, int]] = []
        """Of each bet that was begun: how many yes and how many no came since."""

    def begin(self) -> None:
        """Begin another bet, with what comes from now on."""
        self._bets.append((0, 0))

    def add(self, yes: int, no: int) -> None:
        """Count what came."""
        self._bets = [(old_yes + yes, old_no + no) for old_yes, old_no in self._bets]

    def log_sum(self) -> float:
        """Give the logarithm of the capital of all bets together; minus infinity before the first."""
        if not self._bets:
            return -math.inf
        return _log_sum(log_e_value(yes, no, self.most) for yes, no in self._bets)
