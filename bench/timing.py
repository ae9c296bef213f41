"""Rounds of several subjects in turn, and ratios between them.

The subjects run one after the other, again and again, so that noise on the machine hits all of
them alike. A figure is the median over all rounds of a *ratio* of two subjects in the same round,
shown with the smallest and the largest ratio.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["SLICES", "Spread", "Subject", "interleave", "ratio", "spread"]

SLICES = 10
"""Slices of a round, of about a millisecond each, for subjects in this process."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to measure: `round` runs it several times and returns the mean seconds of one run."""

    name: str
    round: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    def show(self, unit: str = "", scale: float = 1.0, digits: int = 2) -> str:
        """Return a text such as `7.11 x (6.90-7.80)`, with the range in brackets."""
        low, mid, high = (
            f"{value * scale:,.{digits}f}" for value in (self.low, self.median, self.high)
        )
        return f"{mid}{unit} ({low}-{high})"


def interleave(
    subjects: Sequence[Subject], rounds: int, *, slices: int = 1, warmups: int = 2
) -> dict[str, list[float]]:
    """Run every subject in every round, in a changing order; return the seconds by name and round.

    A round may be cut into slices, and every subject runs in each slice. The figure of a round is
    then the median of its slices, so that a short disturbance does not change it.
    """
    for _ in range(warmups):
        for subject in subjects:
            subject.round()
    gc.collect()
    times: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for number in range(rounds):
        cut: dict[str, list[float]] = {subject.name: [] for subject in subjects}
        for part in range(slices):
            turn = (number * slices + part) % len(subjects)
            for subject in (*subjects[turn:], *subjects[:turn]):
                cut[subject.name].append(subject.round())
        for name, seconds in cut.items():
            times[name].append(median(seconds))
    return times


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the range of some values."""
    return Spread(median(values), min(values), max(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the spread of the ratios of two subjects, round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
