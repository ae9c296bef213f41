"""Sequential tests that stay valid however often one looks at them: betting e-processes.

**The problem.** A rollout is judged every few seconds for hours. A fixed threshold that is checked that
often is crossed by chance sooner or later, in healthy runs too.

**The idea.** Evidence is collected as a bet against "there is no harm". The bettor starts with a capital
of 1 and bets on each observation at odds that are fair, or worse than fair, while there is no harm. Then
the capital is a nonnegative supermartingale, and Ville's inequality (1939) says that it *ever* reaches
1/alpha with a probability of at most alpha, however often one looks and whenever one stops. So alpha is
the probability of a false alarm over the whole time that is watched, not per look. See Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86(1), 2024; for an overview
Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 38(4), 2023.

**What is bet on.** A stream of yes and no, in which a yes has at most a known probability `most` while
there is no harm:

- *Errors and slow responses, two arms.* Each request is treated with probability `share`, by a random
  draw. Without harm, a bad response was treated with at most that probability, whatever made responses
  bad at that hour. So only bad responses are counted, by arm, and no error rate has to be known or
  constant (Wald, "Sequential Analysis", 1947, section 6.2: double dichotomies).
- *Misses, one arm.* Without harm, a request misses with at most the allowed probability.

**How much is bet.** The size of the harm is not known beforehand. The capital is therefore spread evenly
over several alternatives, each with its own likelihood ratio, and their mean is used (the method of
mixtures: Robbins, "Statistical methods related to the law of the iterated logarithm", 1970). Each ratio
has an expectation of at most 1 under every probability up to `most`, also if it changes over time.

**When harm begins late.** A bet that began early has lost its capital by then. So a `Detector` begins a
new bet every few minutes for as long as the phase stands, and adds up the capitals: an e-detector (Shin,
Ramdas and Rinaldo, "E-detectors", NEJSDS 2(2), 2024; after Roberts, "A comparison of some control chart
procedures", Technometrics 8(3), 1966). After n bets the sum has an expectation of at most n at any
stopping time, so it has reached a threshold c by then with a probability of at most n/c.

**The threshold does not grow.** With c = n/alpha, alpha bounds the probability of a false alarm in the
time of n bets, and each further such time adds at most alpha. The other way, weights that form a
convergent series, bounds the whole future by alpha; but then a bet of the third day starts with a
millionth of the capital of the first one, and needs about twice the observations. A phase that waits for
approval needs its guardrails on the third day too, so this module takes the first way.

All capitals are kept as logarithms, since they grow and shrink exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["CLOSE", "SEVERAL", "Detector", "MeasuredDetector", "threshold"]

SEVERAL: Final = (0.7, 0.5, 0.35, 0.2, 0.1, 0.04)
"""The alternatives of a bet: factors on the probability of a no. They cover harm of any size, from 30 %
fewer nos to 96 % fewer, and find large harm soonest."""
CLOSE: Final = (0.95, 0.9, 0.85, 0.75, 0.6, 0.4)
"""Alternatives for small harm, for streams with many observations."""
_BEYOND: Final = 10.0
"""Evidence beyond the threshold that is kept."""
_MOST_STARTS: Final = 64
"""Bets of which it is known when they began (I4): five hours, with one every five minutes."""


class Detector:
    """Bets on one stream, of which a new one begins now and then, without end."""

    def __init__(self, fractions: Sequence[float] = SEVERAL, most: float = math.inf) -> None:
        """Begin without a bet; `fractions` are the alternatives.

        What exceeds the evidence `most` is given away. That wins nothing, and when harm ends, its evidence
        is soon lost.
        """
        self._fractions = fractions
        self._most = most
        self._wealth = [0.0] * len(fractions)
        """For each alternative, the logarithm of a capital of 1 that was bet from the first moment on.

        A bet that began later has this wealth divided by the wealth at its beginning, so one running
        sum serves all bets.
        """
        self._sums = [-math.inf] * len(fractions)
        """For each alternative, the logarithm of the sum of all bets' capitals, also of dropped bets."""
        self._starts: list[list[float]] = []
        """The wealth at the beginning of each bet that is still known by itself."""

    def begin(self) -> None:
        """Begin another bet on what comes from now on."""
        self._starts.append(self._wealth.copy())
        self._sums = [_log_mean((each, 0.0)) + math.log(2.0) for each in self._sums]

    def add(self, yes: float, no: float, most: float) -> None:
        """Add observations of a stream in which a yes has at most the probability `most`.

        With a fraction f, the alternative says that a no has the probability (1 - most) * f.
        """
        for index, fraction in enumerate(self._fractions):
            gain = yes * math.log((1.0 - (1.0 - most) * fraction) / most)
            gain += no * math.log(fraction)
            self._wealth[index] += gain
            self._sums[index] = min(self._most, self._sums[index] + gain)

    def forget_oldest(self) -> None:
        """Forget when the oldest known bet began. It still counts in `evidence`."""
        del self._starts[0]

    def capitals(self) -> list[float]:
        """Return the logarithm of each known bet's capital, the oldest bet first."""
        return [
            _log_mean([now - then for now, then in zip(self._wealth, start, strict=True)])
            for start in self._starts
        ]

    def evidence(self) -> float:
        """Return the logarithm of the sum of all capitals; minus infinity before the first bet."""
        return _log_mean(self._sums) if self._starts else -math.inf


def _log_mean(logarithms: Sequence[float]) -> float:
    """Return the logarithm of the mean, without overflow (the log-sum-exp method)."""
    largest = max(logarithms)
    total = sum(math.exp(each - largest) for each in logarithms)
    return largest + math.log(total / len(logarithms))


def threshold(alpha: float, bets: int) -> float:
    """Return the evidence that the first `bets` bets exceed with a probability of at most `alpha`."""
    return math.log(bets / alpha)


class MeasuredDetector:
    """A detector and the totals since each bet began, by which the harm is measured."""

    def __init__(
        self, alpha: float, bets: int, width: int, fractions: Sequence[float] = SEVERAL
    ) -> None:
        """Begin without a bet; `width` is the number of totals.

        `alpha` bounds the probability of a false alarm in the time of each `bets` bets.
        """
        self._threshold = threshold(alpha, bets)
        self._detector = Detector(fractions, self._threshold + _BEYOND)
        self.totals = [0.0] * width
        self._starts: list[list[float]] = []

    def begin(self) -> None:
        """Begin another bet."""
        self._detector.begin()
        self._starts.append(self.totals.copy())
        if len(self._starts) > _MOST_STARTS:
            self._detector.forget_oldest()
            del self._starts[0]

    def add(self, yes: float, no: float, most: float, totals: Sequence[float]) -> None:
        """Add observations (see `Detector.add`), and the totals by which the harm is measured."""
        self.totals = [a + b for a, b in zip(self.totals, totals, strict=True)]
        self._detector.add(yes, no, most)

    @property
    def evidence(self) -> float:
        """The evidence as a share of the threshold: harm is certain above 1."""
        return max(0.0, self._detector.evidence() / self._threshold)

    def measured(self) -> list[list[float]]:
        """Return the totals by which certain harm is measured; none while it is not certain.

        The first are those since the bet with the largest capital began, which is about when the harm
        began. Then come those since each bet that is certain by itself, the oldest first: a difference
        that was small for days, and has become large, is large only since one of the last ones.
        """
        if self.evidence <= 1.0:
            return []
        capitals = self._detector.capitals()
        certain = [index for index, each in enumerate(capitals) if each > self._threshold]
        strongest = capitals.index(max(capitals))
        return [
            [now - then for now, then in zip(self.totals, self._starts[index], strict=True)]
            for index in (strongest, *certain)
        ]
