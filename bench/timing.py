"""Rounds of different subjects, one after the other and again, so that noise falls on all alike.

A figure here is never a time alone: it is the median over the rounds of a *ratio*, taken between
two subjects in the same round, with the smallest and the largest beside it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["SLICES", "Spread", "Subject", "interleave", "ratio", "spread"]

SLICES = 10
"""Per round, of about a millisecond each, for what runs in this process."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to measure: `round` does it a number of times and gives the mean seconds of one."""

    name: str
    round: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of what the rounds gave, and the outermost of them."""

    median: float
    low: float
    high: float

    def show(self, unit: str = "", scale: float = 1.0, digits: int = 2) -> str:
        """Write it for people: `7.11 x (6.90-7.80)`, the ends of the range in brackets."""
        low, mid, high = (
            f"{value * scale:,.{digits}f}" for value in (self.low, self.median, self.high)
        )
        return f"{mid}{unit} ({low}-{high})"


def interleave(
    subjects: Sequence[Subject], rounds: int, *, slices: int = 1, warmups: int = 2
) -> dict[str, list[float]]:
    """Run every subject in every round, in an order that turns; gives seconds by name and round.

    A round may be cut into slices, in each of which every subject runs: a subject's figure is then
    the median of its slices, so that what else the machine does in between falls out.
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
        for name, found in cut.items():
            times[name].append(median(found))
    return times


def spread(values: Sequence[float]) -> Spread:
    """Sum up the rounds of one subject."""
    return Spread(median(values), min(values), max(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Compare two subjects round by round."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
