"""The guardrails of a rollout: five checks that can turn a phase off, and one of the comparison itself.

At each look a guardrail gets what all processes have counted since the last look (a `Tally`) and returns
a `Judgement`: `fail`, `pass`, or `inconclusive` while it has too little to compare.

| guardrail | what is compared | fails from (by default) |
|---|---|---|
| `errors` | failed responses, treated against control | half a percentage point more |
| `latency` | the 95th percentile of all durations, treated against control | a fifth more |
| `misses` | the same, of requests that memory did not answer, or would not have answered | a fifth more |
| `hits` | the hit rate, against the least allowed one | below 40 % |
| `memory` | the fullest process, against the planned size | over 120 % in three looks in a row |

**Control and treated.** A random share of requests, the *holdout*, goes past the cache. These requests
are the *control*: they come from the same hour, the same clients and the same keys as the *treated*
ones, so a slow database or a broken release harms both and is no alarm.

The sixth, `holdout` (`sample_ratio`), finds that the control is not the share that was to be drawn. Then
the others compare unlike requests, so no step is passed on their word. It rolls nothing back.

**Two conditions.** A guardrail fails only if

1. the evidence exceeds its threshold, so that chance is no explanation (`statistics`), *and*
2. the harm, measured since the strongest bet began or since any bet that is certain by itself, is at
   least the margin.

A difference that is certain but small is no reason to roll back, and one that is large but uncertain is
not a reason yet. Without the first condition, a threshold that is checked every 30 s fails in 38 to 93 %
of healthy runs (simulated by `bench/rollouts.py`).

**What alpha means.** `Margins.alpha` bounds the probability that any guardrail that bets fails in the
planned time of the phase although there is no harm. `_PARTS` divides it among the guardrails (a union
bound). A phase that waits, is paused or holds is watched on with the same thresholds, so harm is found as
fast on the third day as in the first hour. In exchange each further planned time may add as much as the
first (see `statistics`). `bench/rollouts.py` simulates both: it is far less.

**Why misses need a control of their own.** Which keys miss is not random: rare keys miss, and rare pages
may be slow anyway. So a held-out request notes whether this process's memory *would* have answered it
(`CONTROL_HIT`, `CONTROL_MISS`), and misses are compared with requests that would have been misses.

**How durations are compared.** At each look, the bucket above the control's recent 95th percentile is
the limit. Every response in or above it is "slow", in either arm, and the test bets on the arms of the
slow responses. The limit is fixed before the look's responses are counted, which keeps the bet fair. It
follows the hour of the day: old responses count half as often after each `_RECENT` newer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Literal, Protocol

from msgspec import Struct

from cachemw.rollout.guardrails.measures import FEWEST, Judgement, Tally, judgement, rate_of
from cachemw.rollout.guardrails.sample_ratio import SampleRatio
from cachemw.rollout.guardrails.statistics import CLOSE, MeasuredDetector

__all__ = ["Guardrails", "Margins"]

_TAIL: Final = 0.05
"""The share of responses above the 95th percentile."""
_LATENCIES: Final[tuple[Literal["latency", "misses"], ...]] = ("latency", "misses")
_PARTS: Final = {"errors": 0.4, "latency": 0.2, "misses": 0.2, "hits": 0.2}
"""The parts of the false-alarm probability. They add up to 1; memory needs none."""
_RECENT: Final = 10_000
"""Control responses of which the limit is the 95th percentile. With 500 slow ones among them, chance
moves it by less than a tenth of a bucket."""


class _Guardrail(Protocol):
    """One check."""

    def begin(self) -> None:
        """Begin another bet."""

    def add(self, tally: Tally) -> None:
        """Add what was counted since the last look."""

    def judge(self) -> Judgement:
        """Judge everything that was added."""


class ErrorsGuardrail:
    """Failed responses, in both arms."""

    name = "errors"

    def __init__(self, *, share: float, margin: float, alpha: float, bets: int) -> None:
        """Watch a stream in which `share` is treated; `margin` is a difference of failure rates."""
        self._share = share
        self._margin = margin
        self._bets = MeasuredDetector(alpha, bets, 4)

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Add a tally."""
        totals = (tally.treated, tally.treated_failed, tally.control, tally.control_failed)
        self._bets.add(tally.treated_failed, tally.control_failed, self._share, totals)

    def judge(self) -> Judgement:
        """Judge whether treated requests fail more often than control requests."""

        def rates(totals: Sequence[float]) -> tuple[float, float]:
            treated, failed, control, control_failed = totals
            return rate_of(failed, treated), rate_of(control_failed, control)

        measured = [rates(totals) for totals in self._bets.measured()]
        harmful = [each for each in measured if each[0] - each[1] >= self._margin]
        rate, base = (harmful or measured or [rates(self._bets.totals)])[0]
        held_out, held_out_failed = self._bets.totals[2:]
        return judgement(
            self.name,
            fails=bool(harmful),
            enough=self._bets.totals[2] >= FEWEST,
            evidence=self._bets.evidence,
            treated=rate,
            control=base,
            held_out=held_out,
            held_out_failed=held_out_failed,
        )


class LatencyGuardrail:
    """Responses slower than the control's 95th percentile, in both arms."""

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
        """Compare all durations (`latency`) or those of misses only (`misses`).

        `bounds` are the histograms' upper bounds in seconds; a `margin` of 0.2 is a fifth slower.
        """
        self.name = name
        self._bounds = bounds
        self._share = share
        self._margin = margin
        self._buckets = len(bounds) + 1
        self._bets = MeasuredDetector(alpha, bets, 2 * self._buckets)
        self._recent: list[float] = [0.0] * self._buckets
        """Control responses that set the limit."""
        self._control = 0.0
        """The number of control responses that set it at any time."""
        self._compared = 0.0
        """All control responses. With `misses`, `_control` counts a part of them."""

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Add a tally, judged by the limit that the control set before it."""
        if self.name == "latency":
            treated, control = tally.treated_times, tally.control_times
        else:
            treated, control = tally.missed_times, tally.control_missed_times
        self._compared += sum(tally.control_times)
        if not treated or not control:
            return
        if self._control >= FEWEST:
            slow = _first_slow(self._recent)
            self._bets.add(
                sum(treated[slow:]), sum(control[slow:]), self._share, (*treated, *control)
            )
        self._control += sum(control)
        kept = 0.5 if sum(self._recent) > _RECENT else 1.0
        self._recent = [kept * had + new for had, new in zip(self._recent, control, strict=True)]

    def judge(self) -> Judgement:
        """Judge whether the treated 95th percentile is a margin above the control's."""

        def quantiles(totals: Sequence[float]) -> tuple[float, float]:
            treated, control = totals[: self._buckets], totals[self._buckets :]
            return self._quantile(treated), self._quantile(control)

        measured = [quantiles(totals) for totals in self._bets.measured()]
        harmful = [each for each in measured if each[0] >= (1.0 + self._margin) * each[1] > 0.0]
        p95, base = (harmful or measured or [quantiles(self._bets.totals)])[0]
        return judgement(
            self.name,
            fails=bool(harmful),
            enough=self._compared >= FEWEST and (self._rare or self._control >= FEWEST),
            evidence=self._bets.evidence,
            treated=p95,
            control=base,
        )

    @property
    def _rare(self) -> bool:
        """Whether misses are under 5 % of the requests.

        Then they cannot move the 95th percentile of all responses, however slow they are, and a phase
        need not wait for enough of them.
        """
        return self._control < _TAIL * self._compared

    def _quantile(self, times: Sequence[float]) -> float:
        """Return the 95th percentile in seconds, interpolated in its bucket; 0.0 without responses."""
        wanted, below = (1.0 - _TAIL) * sum(times), 0.0
        for index, count in enumerate(times[:-1]):
            if count and below + count >= wanted:
                lower = self._bounds[index - 1] if index else 0.0
                return lower + (self._bounds[index] - lower) * (wanted - below) / count
            below += count
        return self._bounds[-1] if below else 0.0


def _first_slow(times: Sequence[float]) -> int:
    """Return the first bucket with at most one response in twenty in it or above it."""
    wanted = (1.0 - _TAIL) * sum(times)
    return next(index + 1 for index, n in enumerate(accumulate(times)) if n >= wanted)


class HitsGuardrail:
    """The hit rate of the treated requests."""

    name = "hits"

    def __init__(self, *, least: float, alpha: float, bets: int) -> None:
        """Watch that the hit rate is not below `least`."""
        self._least = least
        self._bets = MeasuredDetector(alpha, bets, 2, CLOSE)

    def begin(self) -> None:
        """Begin another bet."""
        self._bets.begin()

    def add(self, tally: Tally) -> None:
        """Add a tally."""
        misses = tally.eligible - tally.hits
        self._bets.add(misses, tally.hits, 1.0 - self._least, (tally.hits, tally.eligible))

    def judge(self) -> Judgement:
        """Judge whether the hit rate is too low."""
        measured = [rate_of(hits, eligible) for hits, eligible in self._bets.measured()]
        low = [rate for rate in measured if rate < self._least]
        return judgement(
            self.name,
            fails=bool(low),
            enough=self._bets.totals[1] >= FEWEST,
            evidence=self._bets.evidence,
            rate=(low or measured or [rate_of(*self._bets.totals)])[0],
        )


class MemoryGuardrail:
    """The memory of the fullest process, as a share of its planned size.

    It is measured, not sampled, so it needs no bet: three looks in a row rule out a short peak.
    """

    name = "memory"

    def __init__(self, *, most: float, looks: int = 3) -> None:
        """Fail above the share `most` in `looks` looks in a row."""
        self._most = most
        self._looks = looks
        self._over = 0
        self._last: float | None = None

    def begin(self) -> None:
        """Do nothing: there is no bet."""

    def add(self, tally: Tally) -> None:
        """Add a tally, of which only the memory counts."""
        self._last = tally.memory
        over = tally.memory is not None and tally.memory > self._most
        self._over = self._over + 1 if over else 0

    def judge(self) -> Judgement:
        """Judge whether a process took too much in the last looks."""
        return judgement(
            self.name,
            fails=self._over >= self._looks,
            enough=self._last is not None,
            evidence=self._over / self._looks,
            planned=self._last or 0.0,
        )


class Margins(Struct, frozen=True, kw_only=True):
    """The limits of harm, and the certainty that is required. The plan has the defaults."""

    holdout: float
    """The share of requests that is held out."""
    errors: float
    """By how much the treated failure rate may be higher (0.005: half a percentage point)."""
    latency: float
    """By how much the treated 95th percentile may be higher (0.2: a fifth)."""
    hits: float
    """The least hit rate."""
    memory: float
    """The most memory, as a share of the planned size."""
    alpha: float
    """The probability of a false alarm in each `seconds` that are watched."""
    seconds: float
    """The planned time of the phase."""
    bet_every: float
    """Seconds between two bets. Harm that begins between two bets is found a little later; but more bets
    in the same time raise the threshold."""


class Guardrails:
    """All guardrails of one group of routes in one phase."""

    def __init__(self, margins: Margins, bounds: Sequence[float]) -> None:
        """Begin without evidence; `bounds` are the upper bounds of a tally's buckets in seconds."""
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
            SampleRatio(holdout=margins.holdout, bets=bets),
        )
        self._next_bet = 0.0

    def look(self, tally: Tally, seconds: float) -> list[Judgement]:
        """Add a tally, and return every guardrail's judgement.

        `seconds` is the watched time since the phase began; a new bet begins every `bet_every` of it.
        """
        if seconds >= self._next_bet:
            self._next_bet = seconds + self._bet_every
            for each in self._all:
                each.begin()
        for each in self._all:
            each.add(tally)
        return [each.judge() for each in self._all]
