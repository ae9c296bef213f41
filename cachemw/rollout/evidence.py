"""The evidence of one phase: what the fleet has counted since it began, as the guardrails weigh it.

Two groups of routes are weighed apart: the phase's own, and those of the phases before it. For a while
after each step what it has let in is cold: until then only failures and memory are weighed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from cachemw.config.rollout_plan import Phase, RolloutPlan
from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.decisions import Seen
from cachemw.rollout.guardrails.evaluation import evaluate
from cachemw.rollout.guardrails.guardrails import Guardrails, Judgement, Margins, Tally
from cachemw.rollout.guardrails.tallies import Grown, Growth, Process, fullest, tally_of
from cachemw.rollout.state import Group, Look, Shadowed, State, most_frequent

__all__ = ["Evidence", "grouped"]

_LONGEST_BET = 300.0
_BETS = 48
"""Of a phase of four hours: one every five minutes. A shorter phase has as many."""

_KEPT = 50
"""Reasons and places kept of a route at a look: as many as a process keeps."""


def grouped(plan: RolloutPlan, phase: int, risks: Mapping[str, str]) -> dict[Group, frozenset[str]]:
    """Give the routes to be weighed together; `risks` are routes' risk classes by name."""

    def routes(phases: Sequence[Phase]) -> frozenset[str]:
        classes = {risk for each in phases for risk in each.risks}
        return frozenset(name for name, risk in risks.items() if risk in classes)

    groups: dict[Group, frozenset[str]] = {"phase": routes(plan.phases[phase : phase + 1])}
    if before := routes(plan.phases[:phase]):
        groups["before"] = before
    return groups


class Evidence:
    """What is known about one attempt at a phase. For one thread."""

    def __init__(
        self, plan: RolloutPlan, state: State, risks: Mapping[str, str], bounds: Sequence[float]
    ) -> None:
        """`bounds` are those of the histograms, in seconds."""
        self.attempt = state.attempt
        self._warm_up = plan.warm_up
        self._groups = grouped(plan, state.phase, risks)
        self._growth = Growth(len(bounds) + 1)
        self._bounds = bounds
        self._tallies: dict[Group, Tally] = {}
        """All that was weighed of each group."""
        self._shadow = dict.fromkeys(sorted(self._groups["phase"]), Shadowed())
        phase = plan.phases[state.phase]
        self._steps = phase.steps
        self._guardrails = {
            group: Guardrails(_margins(plan, phase, len(self._groups)), bounds)
            for group in self._groups
        }

    def replay(self, looks: Iterable[Look]) -> None:
        """Weigh what another controller has seen of this attempt."""
        for look in looks:
            self._weigh(look)

    def look(self, state: State, processes: Sequence[Process], seconds: float) -> Seen:
        """Weigh what came since the last look, which `seconds` have passed since.

        The first look only sees where counting begins.
        """
        grown = self._growth.since_last(processes)
        if grown is None:
            return Seen(seconds=0.0, judged=state.judged, shadow=self._shadow)
        memory = fullest(processes)
        warm = state.watched + seconds > self._warm_up
        tallies = {
            group: _weighed(tally_of(grown, routes, memory), warm=warm)
            for group, routes in self._groups.items()
        }
        look = Look(
            attempt=self.attempt,
            seconds=state.phase_watched,
            tallies=tallies,
            shadow=_shadowed(grown, self._shadow, self._in_shadow(state)),
        )
        judged = self._weigh(look)
        evaluation = evaluate(self._tallies.values(), self._bounds)
        return Seen(
            seconds=seconds, judged=judged, look=look, shadow=self._shadow, evaluation=evaluation
        )

    def _in_shadow(self, state: State) -> Collection[str]:
        """Give the routes that are all in shadow: of others most that is refused was let in."""
        return self._shadow if self._steps[state.step] == "shadow" else state.refused

    def _weigh(self, look: Look) -> dict[Group, tuple[Judgement, ...]]:
        for name, shadowed in look.shadow.items():
            if name in self._shadow:
                self._shadow[name] += shadowed
        for group, tally in look.tallies.items():
            before = self._tallies.get(group)
            self._tallies[group] = tally if before is None else before + tally
        return {
            group: tuple(guardrails.look(look.tallies[group], look.seconds))
            for group, guardrails in self._guardrails.items()
            if group in look.tallies
        }


def _margins(plan: RolloutPlan, phase: Phase, groups: int) -> Margins:
    trust = plan.guardrails
    return Margins(
        holdout=plan.holdout,
        errors=trust.errors,
        latency=trust.latency,
        hits=trust.hits,
        memory=trust.memory,
        alpha=trust.alpha / groups,
        seconds=phase.duration,
        bet_every=max(phase.interval, min(_LONGEST_BET, phase.duration / _BETS)),
    )


def _weighed(tally: Tally, *, warm: bool) -> Tally:
    """Leave out what is not to be weighed while what was let in is cold: hits, and times."""
    if warm:
        return tally
    return replace(
        tally,
        control_times=(),
        control_missed_times=(),
        treated_times=(),
        missed_times=(),
        hits=0,
        eligible=0,
    )


def _shadowed(
    grown: Grown, routes: Iterable[str], in_shadow: Collection[str]
) -> dict[str, Shadowed]:
    found = {}
    for name in routes:
        counts = grown.requests.get(name, {})
        hits, misses, mismatches = (
            counts.get(outcome.label, 0)
            for outcome in (Outcome.SHADOW_HIT, Outcome.SHADOW_MISS, Outcome.SHADOW_MISMATCH)
        )
        shadowed = Shadowed(
            hits=hits,
            misses=misses,
            mismatches=mismatches,
            refused=_most(grown.refused.get(name, {}) if name in in_shadow else {}),
            places=_most(grown.differences.get(name, {})),
        )
        if shadowed != Shadowed():
            found[name] = shadowed
    return found


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    """Give what is counted most; a look is kept, and of a large fleet there may be many places."""
    grown = {name: count for name, count in counts.items() if count}
    return dict(most_frequent(grown)[:_KEPT])
