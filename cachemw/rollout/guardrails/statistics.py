"""The statistics of guardrails: tests that may be looked at all the time, and stay right.

A threshold that is looked at every 30 seconds is crossed by chance sooner or later. So evidence is
gathered as bets against "there is no harm", which nobody expects to win money by while that is true:
a capital of 1/alpha is then as rare as alpha, however often one looks (Ville 1939; Ramdas, Grünwald,
Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical Science
2023). Harm may begin late, when bets that began early are long lost: a `Detector` begins another one
every few minutes and adds their capitals up (Shin, Ramdas and Rinaldo, "E-detectors", NEJSDS 2024),
which is as rare as alpha if as many times the capital is asked for as bets are begun.

All that is bet on is one stream of yes and no, of which yes has, without harm, at most a known
probability:

- **errors and slow answers, of two arms**: a request is treated with the probability `share`, drawn by
  chance. Without harm a *bad* answer was treated with that probability or a lower one, whatever makes
  answers bad at that hour: only bad answers are counted, by arm, and no rate needs to be known, or to
  stay the same (Wald, "Sequential Analysis", 1947, §6.2: double dichotomies);
- **misses, of one arm**: without harm a request misses with at most the probability that is allowed.

The bet is the likelihood ratio of a greater probability, averaged over several of them (Robbins 1970).
Its expectation is at most one under every smaller probability, also under one that moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["CLOSE", "SEVERAL", "Detector", "threshold"]

SEVERAL = (0.7, 0.5, 0.35, 0.2, 0.1, 0.04)
"""What the probability of a no is multiplied by in each bet: harm of any size, great harm soonest."""
CLOSE = (0.95, 0.9, 0.85, 0.75, 0.6, 0.4)
"""The same for harm that may be small, where there is much to count."""


class Detector:
    """Bets on one stream, begun again and again."""

    def __init__(self, fractions: Sequence[float] = SEVERAL) -> None:
        self._fractions = fractions
        self._wealth = [0.0] * len(fractions)
        """The logarithm of what one unit, bet from the first moment on, has become."""
        self._starts: list[list[float]] = []

    def begin(self) -> None:
        """Begin another bet, on what comes from now on."""
        self._starts.append(self._wealth.copy())

    def add(self, yes: float, no: float, most: float) -> None:
        """Count what came since, of a stream whose yes has at most the probability `most`."""
        for index, fraction in enumerate(self._fractions):
            gain = yes * math.log((1.0 - (1.0 - most) * fraction) / most)
            self._wealth[index] += gain + no * math.log(fraction)

    def capitals(self) -> list[float]:
        """Give the logarithm of each bet's capital, in the order in which they were begun."""
        return [
            _log_mean([now - then for now, then in zip(self._wealth, start, strict=True)])
            for start in self._starts
        ]

    def evidence(self) -> float:
        """Give the logarithm of all capitals together; minus infinity before the first bet."""
        capitals = self.capitals()
        return _log_mean(capitals) + math.log(len(capitals)) if capitals else -math.inf


def _log_mean(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    total = sum(math.exp(each - largest) for each in logarithms)
    return largest + math.log(total / len(logarithms))


def threshold(alpha: float, bets: int) -> float:
    """Give the evidence that is exceeded with at most the probability `alpha`, of so many bets."""
    return math.log(bets / alpha)
