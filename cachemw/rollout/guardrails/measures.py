"""The counts that guardrails judge, and their judgements: a verdict with its numbers."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Final, Literal

from msgspec import Struct

__all__ = ["FEWEST", "Judgement", "Tally", "Verdict", "judgement", "rate_of"]

Verdict = Literal["pass", "fail", "inconclusive"]

FEWEST: Final = 200
"""Control responses below which a 95th percentile means nothing: ten are above it then."""


class Tally(Struct, frozen=True, kw_only=True):
    """The counts of all processes between two looks, on one group of routes. A stored `Look` holds it."""

    control: int = 0
    control_failed: int = 0
    control_times: tuple[int, ...] = ()
    """Counts by bucket, of the bounds that the guardrails were made with."""
    control_missed_times: tuple[int, ...] = ()
    """The same, of control requests that their process's memory would not have answered."""
    treated: int = 0
    treated_failed: int = 0
    treated_times: tuple[int, ...] = ()
    missed_times: tuple[int, ...] = ()
    """The same, of treated requests that their process's memory did not answer."""
    hits: int = 0
    """Hits and stale responses."""
    eligible: int = 0
    """Hits, stale responses and misses: the requests that policy lets the cache answer."""
    saved: int = 0
    """Treated requests minus the calls of the application for them and minus refreshes; may be negative."""
    memory: float | None = None
    """The memory of the fullest process, as a share of its planned size."""

    def __add__(self, later: Tally) -> Tally:
        """Return the sums of both, with the memory of the later one."""
        sums = {
            name: _added(getattr(self, name), getattr(later, name))
            for name in self.__struct_fields__
            if name != "memory"
        }
        return Tally(**sums, memory=later.memory)


def _added(one: Any, other: Any) -> Any:
    if not isinstance(one, tuple):
        return one + other
    return tuple(map(sum, zip_longest(one, other, fillvalue=0)))


class Judgement(Struct, frozen=True, kw_only=True):
    """The verdict of one guardrail, and the numbers behind it."""

    guardrail: str
    verdict: Verdict
    evidence: dict[str, float]


def judgement(
    name: str, *, fails: bool, enough: bool, evidence: float, **numbers: float
) -> Judgement:
    """Return a judgement with its numbers; `evidence` is a share of what is needed to fail."""
    verdict: Verdict = "fail" if fails else "pass" if enough else "inconclusive"
    return Judgement(guardrail=name, verdict=verdict, evidence={"evidence": evidence, **numbers})


def rate_of(count: float, of: float) -> float:
    """Return a count as a share; 0.0 of nothing."""
    return count / of if of else 0.0
