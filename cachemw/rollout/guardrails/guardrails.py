"""Guardrails: what makes a rollout take itself back, judged on evidence and on the size of the harm.

Each guardrail is told what the fleet has counted since the last look and gives a `Judgement`. It alarms
where chance is no explanation any more (`statistics`) *and* the harm is at least its margin, measured
from when the strongest evidence began: a difference that is certain and small is no reason to go back,
and one that is large and uncertain is none yet.

- `errors`: answers that failed, of the treated beside the held-out; half a percentage point more;
- `latency`: answers slower than the control's 95th percentile; the treated's own is a fifth above it;
- `misses`: the same, of the requests that the memory of their process did not answer, or would not have;
- `hits`: misses, beside the least hit rate; fewer hits than that;
- `memory`: a process over 1.2 times what was planned, three looks in a row.

The held-out requests are drawn by chance from the same hour and the same keys, so what harms both arms
is no alarm. That is why the control has misses, too: which keys miss is no matter of chance (rare ones
do, and may be slower), so misses are to be compared with requests that would have been some.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from typing import Any, Literal, Protocol

from msgspec import Struct

from cachemw.rollout.guardrails.statistics import CLOSE, SEVERAL, Detector, threshold

__all__ = ["Guardrails", "Judgement", "Margins", "Tally", "Verdict"]

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
    control_missed_times: tuple[int, ...] = ()
    """Those of the control that the memory of their process would not have answered."""
    treated: int = 0
    treated_failed: int = 0
    treated_times: tuple[int, ...] = ()
    missed_times: tuple[int, ...] = ()
    """Those of the treated that the memory of their process did not answer."""
    hits: int = 0
    eligible: int = 0
    memory: float | None = None
    """What the fullest process takes, as a share of what was planned."""

    def __add__(self, later: Tally) -> Tally:
        """Give what both have counted, and the memory of the later one."""
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
    """What one guardrail says, and the numbers that it says it by."""

    guardrail: str
    verdict: Verdict
    evidence: dict[str, float]


class _Guardrail(Protocol):
    def begin(self) -> None:
        """Begin another bet."""

    def add(self, tally: Tally) -> None:
        """Count what came since the last look."""

    def judge(self) -> Judgement:
        """Say what is thought of all that came."""


class _Bets:
    """A detector with totals beside it, so that the harm can be measured from when a bet began."""

    def __init__(
        self, alpha: float, bets: int, width: int, fractions: Sequence[float] = SEVERAL
    ) -> None:
        self._detector = Detector(fractions)
        self._threshold = threshold(alpha, bets)
        self._bets_left = bets
        self.totals = [0.0] * width
        self._starts: list[list[float]] = []

    def begin(self) -> None:
        """Begin another bet, while there are any left."""
        if self._bets_left:
            self._bets_left -= 1
            self._detector.begin()
            self._starts.append(self.totals.copy())

    def add(self, yes: float, no: float, most: float, totals: Sequence[float]) -> None:
        """Count what came, and the totals that the harm is measured by."""
        self.totals = [a + b for a, b in zip(self.totals, totals, strict=True)]
        self._detector.add(yes, no, most)

    def strongest(self) -> tuple[bool, float, list[float]]:
        """Say whether there is evidence of harm, how much of what is needed, and the totals to measure by.

        Those are since the best bet began where there is evidence, and else of all that came.
        """
        capitals = self._detector.capitals()
        if not capitals:
            return False, 0.0, self.totals
        evidence = self._detector.evidence()
        if evidence <= self._threshold:
            return False, evidence / self._threshold, self.totals
        start = self._starts[capitals.index(max(capitals))]
        since = [now - then for now, then in zip(self.totals, start, strict=True)]
        return True, evidence / self._threshold, since


def _rate(count: float, of: float) -> float:
    return count / of if of else 0.0


class ErrorsGuardrail:
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
            enough=self._bets.totals[2] >= _FEWEST,
            evidence=evidence,
            treated=rate,
            control=base,
        )


class LatencyGuardrail:
    """Answers slower than all but one in twenty of the control's."""

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
        self._buckets = len(bounds) + 1
        self._bets = _Bets(alpha, bets, 2 * self._buckets)
        self._control: list[float] = [0.0] * self._buckets
        self._compared = 0.0
        """Answers of the control, of which those are a part."""

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Count what came, against the limit that the control had set before."""
        if self.name == "latency":
            treated, control = tally.treated_times, tally.control_times
        else:
            treated, control = tally.missed_times, tally.control_missed_times
        self._compared += sum(tally.control_times)
        if not treated or not control:
            return
        if sum(self._control) >= _FEWEST:
            slow = _first_slow(self._control)
            self._bets.add(
                sum(treated[slow:]), sum(control[slow:]), self._share, (*treated, *control)
            )
        self._control = [before + more for before, more in zip(self._control, control, strict=True)]

    def judge(self) -> Judgement:
        """Say whether the slowest in twenty of the treated are slower than the control's."""
        certain, evidence, since = self._bets.strongest()
        treated, control = since[: self._buckets], since[self._buckets :]
        p95, base = self._quantile(treated), self._quantile(control)
        return _judgement(
            self.name,
            fails=certain and base > 0.0 and p95 >= (1.0 + self._margin) * base,
            enough=self._compared >= _FEWEST and (self._rare or sum(self._control) >= _FEWEST),
            evidence=evidence,
            treated=p95,
            control=base,
        )

    @property
    def _rare(self) -> bool:
        """Whether so few miss that no percentile of all answers can show it, however slow they are."""
        return sum(self._control) < _TAIL * self._compared

    def _quantile(self, times: Sequence[float]) -> float:
        """Give the 95th percentile in seconds, interpolated in its bucket; zero without any."""
        wanted, below = (1.0 - _TAIL) * sum(times), 0.0
        for index, count in enumerate(times[:-1]):
            if count and below + count >= wanted:
                lower = self._bounds[index - 1] if index else 0.0
                return lower + (self._bounds[index] - lower) * (wanted - below) / count
            below += count
        return self._bounds[-1] if below else 0.0


def _first_slow(times: Sequence[float]) -> int:
    """Give the first bucket with no more than one in twenty at or above it."""
    wanted = (1.0 - _TAIL) * sum(times)
    return next(index + 1 for index, n in enumerate(accumulate(times)) if n >= wanted)


class HitsGuardrail:
    """Requests that the cache could have answered, and did not."""

    name = "hits"

    def __init__(self, *, least: float, alpha: float, bets: int) -> None:
        """`least` is the hit rate below which the cache is not worth it."""
        self._least = least
        self._bets = _Bets(alpha, bets, 2, CLOSE)

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
            enough=self._bets.totals[1] >= _FEWEST,
            evidence=evidence,
            rate=_rate(hits, eligible),
        )


class MemoryGuardrail:
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


class Margins(Struct, frozen=True, kw_only=True):
    """How much harm is too much, and how sure one has to be of it."""

    holdout: float
    """The share of requests that is held out."""
    errors: float = 0.005
    """By how much the treated may fail more often (0.005: half a percentage point)."""
    latency: float = 0.2
    """By how much the treated may be slower."""
    hits: float = 0.4
    """The least hit rate."""
    memory: float = 1.2
    """The most memory, as a share of what was planned."""
    alpha: float = 0.01
    """The probability of an alarm without any harm, in all of the time that is watched."""
    seconds: float = 4 * 3600.0
    """For how long is watched."""
    bet_every: float = 300.0
    """Seconds. Harm that begins between two bets is found a little later, and each bet asks for more
    evidence."""


class Guardrails:
    """All guardrails of one phase."""

    def __init__(self, margins: Margins, bounds: Sequence[float]) -> None:
        """`bounds` are those of the histograms in a `Tally`, in seconds."""
        self._bet_every = margins.bet_every
        bets = max(1, round(margins.seconds / margins.bet_every))
        share = 1.0 - margins.holdout
        alpha = {name: margins.alpha * part for name, part in _PARTS.items()}
        latencies = [
            LatencyGuardrail(
                name,
                bounds=bounds,
                share=share,
                margin=margins.latency,
                alpha=alpha[name],
                bets=bets,
            )
            for name in _LATENCIES
        ]
        self._all: tuple[_Guardrail, ...] = (
            ErrorsGuardrail(share=share, margin=margins.errors, alpha=alpha["errors"], bets=bets),
            *latencies,
            HitsGuardrail(least=margins.hits, alpha=alpha["hits"], bets=bets),
            MemoryGuardrail(most=margins.memory),
        )
        self._next_bet = 0.0

    def look(self, tally: Tally, seconds: float) -> list[Judgement]:
        """Take what the fleet has counted since the last look, and judge; `seconds` into the phase."""
        if seconds >= self._next_bet:
            self._next_bet = seconds + self._bet_every
            for each in self._all:
                each.begin()
        for each in self._all:
            each.add(tally)
        return [each.judge() for each in self._all]


_LATENCIES: tuple[Literal["latency", "misses"], ...] = ("latency", "misses")
_PARTS = {"errors": 0.4, "latency": 0.2, "misses": 0.2, "hits": 0.2}
"""How the probability of a false alarm is divided; memory is no matter of chance."""
