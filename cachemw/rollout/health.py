"""The health check after a rollback: whether it has reached every process, and whether all is well.

**Failed responses** are a sample, and so are those of the control that they are compared with. A plain
comparison of two rates is wrong by chance in one of six rollbacks. So the check calls them

- *not well* if chance explains the difference with a probability of at most `_CHANCE`. Both rates may
  differ from the true ones: half of `_CHANCE` bounds each (a union bound). The probability that n draws
  of probability p have a share of at least r is at most exp(-n KL(r, p)), where KL is the relative entropy
  (Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58, 1963, theorem 1);
- *well* if both samples have at least `_FEWEST` responses and the rate is at most the control's plus the
  margin. If the rate is at most the margin alone, the control does not matter;
- *inconclusive* otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.guardrails.tallies import TREATED, Increase, Process
from cachemw.rollout.state import State

__all__ = ["FailureSample", "Finding", "conclusion", "examine", "failed_in_control"]

_OFF: Final = Outcome.OFF.label
_CHANCE: Final = 0.01
"""The probability with which the check calls an unchanged application not well."""
_FEWEST: Final = 200
"""Responses below which a rate is not called well: one failure more or less is half a per cent."""


class FailureSample(msgspec.Struct, frozen=True):
    """Responses, and the share of them that failed."""

    count: float = 0.0
    rate: float = 0.0

    def is_chance(self, true: float) -> bool:
        """Tell whether chance explains so high a rate where the true one is `true` (below 1)."""
        return self.rate <= true or self.count * _entropy(self.rate, true) < _SURPRISE

    def highest(self) -> float:
        """Return the highest true rate with which so low a rate is explained by chance."""
        low, high = self.rate, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            explained = self.count * _entropy(self.rate, middle) < _SURPRISE
            low, high = (middle, high) if explained else (low, middle)
        return high


_SURPRISE: Final = math.log(2 / _CHANCE)


def _entropy(rate: float, true: float) -> float:
    """Return the relative entropy of two probabilities, KL(rate, true), in nats; `true` is not 0."""
    yes = rate * math.log(rate / true) if rate else 0.0
    if rate == 1.0:
        return yes
    return yes + (1.0 - rate) * math.log((1.0 - rate) / (1.0 - true)) if true < 1.0 else math.inf


class Finding(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"name": "what", "healthy": "well", "detail": "said"},
):
    """The result of one check. Its stored names are part of the history's format."""

    name: str
    healthy: bool
    detail: str
    conclusive: bool = True
    """Whether there was enough to judge by. What is inconclusive is neither healthy nor a problem."""

    @property
    def problem(self) -> bool:
        """Whether something is wrong."""
        return self.conclusive and not self.healthy


def examine(
    state: State,
    processes: Sequence[Process],
    increase: Increase,
    routes: Collection[str],
    *,
    store: str,
    control: FailureSample,
    margin: float,
) -> list[Finding]:
    """Check everything once, some time after a rollback.

    `increase` is what was counted since the rollback must have reached every process, and `routes` are
    those it turned off. `store` says what is wrong with Redis, empty if nothing. `control` are the
    responses held out before, and `margin` is by how much more may fail.
    """
    live = [process for process in processes if process.live]
    return [
        Finding(name="processes", healthy=bool(live), detail=f"{len(live)} are live"),
        Finding(name="store", healthy=not store, detail=store or "accepts writes"),
        _flags(state, live),
        _log(live),
        _uncached(increase, routes),
        _errors(increase, routes, control, margin),
    ]


def _flags(state: State, live: Sequence[Process]) -> Finding:
    have = sum(p.stats.gauges.get("flags_revision", 0) >= state.flags_revision for p in live)
    detail = f"{have} of {len(live)} processes have them"
    return Finding(name="flags", healthy=have == len(live), detail=detail)


def _log(live: Sequence[Process]) -> Finding:
    cut_off = sum(not process.stats.gauges.get("log_connected", 1) for process in live)
    broken = sum(bool(process.stats.gauges.get("breaker", 0)) for process in live)
    detail = f"{cut_off} processes do not follow the log, {broken} have a Redis breaker that is not closed"
    return Finding(name="log", healthy=not cut_off and not broken, detail=detail)


def _uncached(increase: Increase, routes: Collection[str]) -> Finding:
    """Check that no request of the routes was answered through the cache any more (I6)."""
    still = sum(
        increase.requests.get(name, {}).get(outcome.label, 0)
        for name in routes
        for outcome in TREATED
    )
    detail = f"{still} answers still through the cache"
    return Finding(name="routes", healthy=not still, detail=detail)


def _errors(
    increase: Increase, routes: Collection[str], control: FailureSample, margin: float
) -> Finding:
    count = sum(increase.requests.get(name, {}).get(_OFF, 0) for name in routes)
    failed = sum(increase.failures.get(name, {}).get(_OFF, 0) for name in routes)
    answers = FailureSample(count, failed / count if count else 0.0)
    limit = control.rate + margin
    certain = not answers.is_chance(control.highest() + margin) if control.count else False
    comparable = control.count >= _FEWEST or answers.rate <= margin
    healthy = answers.count >= _FEWEST and comparable and answers.rate <= limit
    detail = (
        f"{answers.rate:.2%} of {count} answers failed; {control.rate:.2%} of {control.count:.0f}"
        f" held out before, and at most {limit:.2%} is normal"
    )
    return Finding(name="errors", healthy=healthy, detail=detail, conclusive=certain or healthy)


def failed_in_control(state: State) -> FailureSample:
    """Return the control responses of the phase. Of several groups, the one that excuses most."""
    samples = [
        FailureSample(count, judgement.evidence.get("held_out_failed", 0.0) / count)
        for judgements in state.judged.values()
        for judgement in judgements
        if judgement.guardrail == "errors" and (count := judgement.evidence.get("held_out"))
    ]
    return max(samples, key=FailureSample.highest, default=FailureSample())


def conclusion(findings: Sequence[Finding]) -> str:
    """Return what the findings say together, for the history."""
    problems = [f"{each.name}: {each.detail}" for each in findings if each.problem]
    unsure = [f"{each.name}: {each.detail}" for each in findings if not each.conclusive]
    parts = [f"problems: {'; '.join(problems)}"] if problems else []
    parts += [f"inconclusive: {'; '.join(unsure)}"] if unsure else []
    return ". ".join(parts) or "all is well"
