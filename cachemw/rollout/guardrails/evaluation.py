"""The evaluation of a phase: the benefit of the cache, compared with the held-out requests.

It decides nothing. It is written into the record of a step, for people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

import msgspec

from cachemw.rollout.guardrails.measures import Tally

__all__ = ["Evaluation", "evaluate"]

HITS, SAVED, FASTER = 0.6, 0.5, 0.3
"""The targets of the project: a hit rate of 60 %, half of the calls of the application saved, and a mean
response that is 30 % faster. A value below its target is marked in the record."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The benefit as shares (0.6 is 60 %); None if nothing was counted."""

    treated: int
    control: int
    hit_rate: float | None
    origin_calls_saved: float | None
    """Of the calls without a cache. A refresh counts as a call, so it is below 0 if they cost more than
    hits save."""
    faster: float | None
    """By how much the treated mean duration is below the control's, estimated from the buckets."""
    failed: float | None
    failed_control: float | None

    def __str__(self) -> str:
        parts = (
            _part("hit rate", self.hit_rate, HITS),
            _part("origin calls saved", self.origin_calls_saved, SAVED),
            _part("faster by", self.faster, FASTER),
            _part("failed", self.failed),
            _part("of the control", self.failed_control),
        )
        return ", ".join(filter(None, parts))


def _part(what: str, share: float | None, target: float = -1.0) -> str:
    if share is None:
        return ""
    below = f" (below its target of {target:.0%})" if share < target else ""
    return f"{what} {share:.1%}{below}" if target >= 0 else f"{what} {share:.2%}"


def evaluate(tallies: Iterable[Tally], bounds: Sequence[float]) -> Evaluation:
    """Return the evaluation of the tallies of a phase. Tallies of a warm-up have no hits and durations."""
    every = list(tallies)
    treated, eligible = _sum(every, "treated"), _sum(every, "eligible")
    hits, control = _sum(every, "hits"), _sum(every, "control")
    warm = sum(sum(tally.treated_times) for tally in every)
    mean, base = _mean(every, "treated_times", bounds), _mean(every, "control_times", bounds)
    return Evaluation(
        treated=treated,
        control=control,
        hit_rate=_share(hits, eligible),
        origin_calls_saved=_share(_sum(every, "saved"), warm),
        faster=None if mean is None or not base else 1.0 - mean / base,
        failed=_share(_sum(every, "treated_failed"), treated),
        failed_control=_share(_sum(every, "control_failed"), control),
    )


def _sum(tallies: Sequence[Tally], name: str) -> int:
    return sum(getattr(tally, name) for tally in tallies)


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _mean(tallies: Sequence[Tally], name: str, bounds: Sequence[float]) -> float | None:
    """Return the mean in seconds, with each response at the geometric middle of its bucket."""
    lower = (bounds[0] / 2, *bounds)
    middles = [*(sqrt(a * b) for a, b in zip(lower, bounds, strict=False)), bounds[-1]]
    seconds = count = 0.0
    for tally in tallies:
        times = getattr(tally, name)
        count += sum(times)
        seconds += sum(n * middle for n, middle in zip(times, middles, strict=False))
    return seconds / count if count else None
