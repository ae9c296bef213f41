"""Guardrails: what makes a rollout take itself back, judged on evidence and on the size of the harm.

Each guardrail is told what the fleet has counted since the last look and gives a `Judgement`. It alarms
where chance is no explanation any more (`statistics`) *and* the harm is at least its margin, counted
from when the strongest evidence began: a difference that is certain and small is no reason to go back,
and one that is large and uncertain is none yet.

- `errors`: answers that failed, of the treated beside the held-out; half a percentage point more;
- `latency`: answers slower than 1.2 times the control's 95th percentile; more than one in twenty;
- `misses`: the same, of the requests that the cache did not answer;
- `hits`: misses, beside the least hit rate; fewer hits than that;
- `memory`: a process over 1.2 times what was planned, three looks in a row.

The held-out requests are drawn by chance from the same hour and the same keys, so what harms both is no
alarm. Misses are not drawn by chance (rare keys miss more, and may be slower): the third guardrail
compares their share among slow answers with their share among all, and says so in its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct

from cachemw.rollout.statistics import Detector, threshold

__all__ = ["Errors", "Hits", "Judgement", "Latency", "Memory", "Tally", "Verdict"]

Verdict = Literal["pass", "fail", "inconclusive"]

_TAIL = 0.05
"""The share of answers above the 95th percentile."""
_FEWEST = 200
"""Control answers, below which no percentile is worth anything."""


class Tally(Struct, frozen=True, kw_only=True):
    """What the fleet counted between two looks, on the routes of a phase."""

    control: int = 0
    control_failed: int = 0
    control_times: tuple[int, ...] = ()
    """Counts by the buckets of the bounds that the guardrails were made with."""
    treated: int = 0
    treated_failed: int = 0
    treated_times: tuple[int, ...] = ()
    missed_times: tuple[int, ...] = ()
    """Those of the treated that the application answered."""
    hits: int = 0
    eligible: int = 0
    memory: float | None = None
    """What the fullest process takes, as a share of what was planned."""


class Judgement(Struct, frozen=True, kw_only=True):
    """What one guardrail says, and the numbers that it says it by."""

    guardrail: str
    verdict: Verdict
    evidence: dict[str, float]


class _Bets:
    """A detector with totals beside it, so that the harm can be measured from when a bet began."""

    def __init__(self, alpha: float, bets: int, width: int) -> None:
        self._detector = Detector()
        self._threshold = threshold(alpha, bets)
        self._bets_left = bets
        self._totals = [0.0] * width
        self._starts: list[list[float]] = []

    def begin(self) -> None:
        """Begin another bet, while there are any left."""
        if self._bets_left:
            self._bets_left -= 1
            self._detector.begin()
            self._starts.append(self._totals.copy())

    def add(self, yes: float, no: float, most: float, totals: Sequence[float]) -> None:
        """Count what came, and the totals that the harm is measured by."""
        self._totals = [a + b for a, b in zip(self._totals, totals, strict=True)]
        self._detector.add(yes, no, most)

    def strongest(self) -> tuple[bool, float, list[float]]:
        """Say whether the evidence is enough, give it, and the totals since the best bet began."""
        capitals = self._detector.capitals()
        if not capitals:
            return False, 0.0, self._totals
        evidence = self._detector.evidence()
        start = self._starts[capitals.index(max(capitals))]
        since = [now - then for now, then in zip(self._totals, start, strict=True)]
        return evidence > self._threshold, evidence / self._threshold, since


def _rate(count: float, of: float) -> float:
    return count / of if of else 0.0


class Errors:
    """Answers that failed, in either arm."""

    name = "errors"

    def __init__(self, *, share: float, margin: float, alpha: float, bets: int) -> None:
        """`share` of the requests is treated; `margin` is a difference of rates."""
        self._share = share
        self._margin = margin
        self._bets = _Bets(alpha, bets, 4)

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Count what came."""
        totals = (tally.treated, tally.treated_failed, tally.control, tally.control_failed)
        self._bets.add(tally.treated_failed, tally.control_failed, self._share, totals)

    def judge(self) -> Judgement:
        """Say whether the treated fail more often."""
        certain, evidence, (treated, failed, control, control_failed) = self._bets.strongest()
        rate, base = _rate(failed, treated), _rate(control_failed, control)
        return _judgement(
            self.name,
            fails=certain and rate - base >= self._margin,
            enough=control >= _FEWEST,
            evidence=evidence,
            treated=rate,
            control=base,
        )


class Latency:
    """Answers that are slower than the control's slowest in twenty ought to be."""

    def __init__(
        self,
        name: Literal["latency", "misses"],
        *,
        bounds: Sequence[float],
        share: float,
        margin: float,
        alpha: float,
        bets: int,
    ) -> None:
        """`bounds` are those of the histograms, in seconds; `margin` 0.2 for a fifth slower."""
        self.name = name
        self._bounds = bounds
        self._share = share
        self._margin = margin
        self._bets = _Bets(alpha, bets, 4)
        self._control: list[float] = [0.0] * (len(bounds) + 1)

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Count what came, against the limit that the control had set before."""
        limit = self._limit()
        times = tally.treated_times if self.name == "latency" else tally.missed_times
        if limit is not None and times and tally.control_times:
            slow, control_slow = sum(times[limit:]), sum(tally.control_times[limit:])
            count, control = sum(times), sum(tally.control_times)
            # Misses come in no fixed proportion to the control: theirs is that of this look.
            share = self._share if self.name == "latency" else _rate(count, count + control)
            if 0.0 < share < 1.0:
                self._bets.add(slow, control_slow, share, (count, slow, control, control_slow))
        if tally.control_times:
            pairs = zip(self._control, tally.control_times, strict=True)
            self._control = [before + more for before, more in pairs]

    def judge(self) -> Judgement:
        """Say whether more than one in twenty are slower than they ought to be."""
        certain, evidence, (count, slow, control, control_slow) = self._bets.strongest()
        limit = self._limit()
        return _judgement(
            self.name,
            fails=certain and _rate(slow, count) > _TAIL,
            enough=control >= _FEWEST,
            evidence=evidence,
            treated=_rate(slow, count),
            control=_rate(control_slow, control),
            **({} if limit is None else {"seconds": self._bounds[limit - 1]}),
        )

    def _limit(self) -> int | None:
        """Give the first bucket that is too slow; None where the control is too small to say."""
        count = sum(self._control)
        if count < _FEWEST:
            return None
        reached = (index for index, n in enumerate(accumulate(self._control)) if n >= 0.95 * count)
        p95 = self._bounds[min(next(reached), len(self._bounds) - 1)]
        wanted = p95 * (1.0 + self._margin)
        return next(
            (index + 1 for index, bound in enumerate(self._bounds) if bound >= wanted * 0.999), None
        )


class Hits:
    """Requests that the cache could have answered, and did not."""

    name = "hits"

    def __init__(self, *, least: float, alpha: float, bets: int) -> None:
        """`least` is the hit rate below which the cache is not worth it."""
        self._least = least
        self._bets = _Bets(alpha, bets, 2)

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Count what came."""
        misses = tally.eligible - tally.hits
        self._bets.add(misses, tally.hits, 1.0 - self._least, (tally.hits, tally.eligible))

    def judge(self) -> Judgement:
        """Say whether the hit rate is too low."""
        certain, evidence, (hits, eligible) = self._bets.strongest()
        return _judgement(
            self.name,
            fails=certain and _rate(hits, eligible) < self._least,
            enough=eligible >= _FEWEST,
            evidence=evidence,
            rate=_rate(hits, eligible),
        )


class Memory:
    """The memory of the fullest process, as a share of what was planned."""

    name = "memory"

    def __init__(self, *, most: float, looks: int = 3) -> None:
        """`most` of the planned share, in so many looks in a row."""
        self._most = most
        self._looks = looks
        self._over = 0
        self._last: float | None = None

    def begin(self) -> None:
        """Do nothing: there is no bet."""

    def add(self, tally: Tally) -> None:
        """Look once more."""
        self._last = tally.memory
        over = tally.memory is not None and tally.memory > self._most
        self._over = self._over + 1 if over else 0

    def judge(self) -> Judgement:
        """Say whether a process took too much, again and again."""
        return _judgement(
            self.name,
            fails=self._over >= self._looks,
            enough=self._last is not None,
            evidence=self._over / self._looks,
            planned=self._last or 0.0,
        )


def _judgement(
    name: str, *, fails: bool, enough: bool, evidence: float, **numbers: float
) -> Judgement:
    verdict: Verdict = "fail" if fails else "pass" if enough else "inconclusive"
    return Judgement(guardrail=name, verdict=verdict, evidence={"evidence": evidence, **numbers})
