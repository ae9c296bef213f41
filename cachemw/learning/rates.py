"""How often the content of a key changes, estimated from what its refreshes show.

Theory of operation. Changes are taken to come independently of each other, at a rate that is not known
(a Poisson process). What is believed of the rate is a Gamma distribution, which is conjugate to it: with
the shape `changes` and the rate parameter `seconds`, as if so many changes had been seen in so many
seconds (Gelman et al., "Bayesian Data Analysis", section 2.6).

A refresh does not show how many changes there were since the last one, only whether there was any. It
counts as the expected number of changes, given that there was at least one: x / (1 - exp(-x)), where x is
the number expected before. This is one step of the EM algorithm for grouped data (Dempster, Laird and
Rubin 1977, section 4.2). Cho and Garcia-Molina, "Estimating Frequency of Change" (ACM TOIT 2003), show why
counting such a refresh as one change would underestimate the rate.

Old observations lose weight, since rates change: both numbers are scaled down as soon as more than
`REMEMBERED` changes are counted. So a key that changes often forgets fast, and one that changes rarely
remembers for long. A quiet time needs no such rule: it adds seconds, so the rate falls by itself.
"""

from __future__ import annotations

from math import expm1

from msgspec import Struct

__all__ = ["REMEMBERED", "Rate", "at_least_one"]

REMEMBERED = 6.0
"""Changes that one key remembers. With fewer it would follow bursts faster, but every estimate would be
less certain, and lifetimes shorter for it: in simulations 4 to 8 differ by a tenth."""


class Rate(Struct, frozen=True, gc=False):
    """The belief about a rate of changes: a Gamma distribution. Times are in seconds."""

    changes: float
    """The shape: the changes that were seen, or are assumed."""
    seconds: float
    """The time in which they were seen."""

    @property
    def mean(self) -> float:
        """The expected number of changes in a second."""
        return self.changes / self.seconds

    def observed(self, seconds: float, *, changed: bool, announced: bool = False) -> Rate:
        """Return what is believed after a refresh, `seconds` after the one before it.

        A change that was `announced` has ended the old answer itself, so it was the first one.
        """
        changes, total = self.changes, self.seconds + seconds
        if changed:
            changes += 1.0 if announced else at_least_one(self.mean * seconds)
        scale = min(1.0, REMEMBERED / changes)
        return Rate(changes * scale, total * scale)

    def slowed(self, factor: float) -> Rate:
        """Return the rate of a share of the changes, at least of a thousandth of them."""
        return Rate(self.changes, self.seconds / max(factor, 1e-3))


def at_least_one(expected: float) -> float:
    """Return the expected number of changes if there was at least one."""
    return expected / -expm1(-expected) if expected > 1e-9 else 1.0
