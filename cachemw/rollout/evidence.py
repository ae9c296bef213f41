"""The evidence of one attempt at a phase, from all processes' counters to the guardrails' judgements.

At each look the controller passes in what every process has counted since it started. `Evidence` turns
that into what was counted *since the last look* and gives it to two sets of guardrails:

- group `phase`: the routes of the present phase;
- group `before`: the routes of all earlier phases. They can still be harmed, for example because they
  share the memory limit with the new routes.

The plan's false-alarm probability is divided by the number of groups, so that it holds for the phase as
a whole (a union bound).

**Warm-up.** After a step, the entries of the newly admitted keys are not stored yet, so hit rate and
durations say nothing about the step. During the plan's `warm_up` only failures and memory count. It
passes while the rollout is paused, too: the cache fills up all the same, and harm must be found then.

**Handing over.** Each look is stored. A new controller replays the stored looks of the attempt, so the
evidence is the same as if one controller had made all of them. Its own first look only notes where the
counters stand: what was counted while no controller ran is not evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from cachemw.config.rollout_plan import Phase, RolloutPlan
from cachemw.engine.model.outcomes import Outcome
from cachemw.rollout.decisions import LookResult
from cachemw.rollout.guardrails.evaluation import evaluate
from cachemw.rollout.guardrails.guardrails import Guardrails, Margins
from cachemw.rollout.guardrails.measures import Judgement, Tally
from cachemw.rollout.guardrails.tallies import Increase, IncreaseTracker, Process, fullest, tally_of
from cachemw.rollout.state import Group, Look, ShadowCounts, State, most_frequent

__all__ = ["Evidence", "route_groups"]

_LONGEST_BET: Final = 300.0
_BETS: Final = 48
"""Bets in the planned time of a phase. In four hours that is one every five minutes (`_LONGEST_BET`), and a
shorter phase has as many. A longer phase keeps five minutes and has more bets."""

_MAX_PLACES: Final = 50
"""Reasons and places kept of one route at a look: as many as a process keeps (`Mismatches`)."""


def route_groups(
    plan: RolloutPlan, phase: int, risks: Mapping[str, str]
) -> dict[Group, frozenset[str]]:
    """Return the routes of each group; `risks` maps route names to risk classes."""

    def routes(phases: Sequence[Phase]) -> frozenset[str]:
        classes = {risk for each in phases for risk in each.risks}
        return frozenset(name for name, risk in risks.items() if risk in classes)

    groups: dict[Group, frozenset[str]] = {"phase": routes(plan.phases[phase : phase + 1])}
    if before := routes(plan.phases[:phase]):
        groups["before"] = before
    return groups


class Evidence:
    """All evidence of one attempt at a phase. For one thread."""

    def __init__(
        self, plan: RolloutPlan, state: State, risks: Mapping[str, str], bounds: Sequence[float]
    ) -> None:
        """Begin without evidence; `bounds` are the histograms' upper bounds in seconds."""
        phase = plan.phases[state.phase]
        self.attempt = state.attempt
        self._warm_up = plan.warm_up
        self._steps = phase.steps
        self._bounds = bounds
        self._groups = route_groups(plan, state.phase, risks)
        self._tracker = IncreaseTracker(len(bounds) + 1)
        self._tallies: dict[Group, Tally] = {}
        """The sum of all tallies of each group."""
        self._shadow = dict.fromkeys(sorted(self._groups["phase"]), ShadowCounts())
        self._guardrails = {
            group: Guardrails(_margins(plan, phase, len(self._groups)), bounds)
            for group in self._groups
        }

    def replay(self, looks: Iterable[Look]) -> None:
        """Add the looks that other controllers made in this attempt."""
        for look in looks:
            self._add(look)

    def look(self, state: State, processes: Sequence[Process], seconds: float) -> LookResult:
        """Judge what was counted since the last look, `seconds` ago.

        The first look only notes where the counters stand, and adds no evidence.
        """
        increase = self._tracker.since_last(processes)
        if increase is None:
            return LookResult(seconds=0.0, judged=state.judged, shadow=self._shadow)
        memory = fullest(processes)
        warm = state.phase_watched + seconds - state.step_began > self._warm_up
        tallies = {
            group: _without_cold(tally_of(increase, routes, memory), warm=warm)
            for group, routes in self._groups.items()
        }
        look = Look(
            attempt=self.attempt,
            seconds=state.phase_watched,
            tallies=tallies,
            shadow=_shadow_counts(increase, self._shadow, self._in_shadow(state)),
        )
        judged = self._add(look)
        evaluation = evaluate(self._tallies.values(), self._bounds)
        return LookResult(
            seconds=seconds, judged=judged, look=look, shadow=self._shadow, evaluation=evaluation
        )

    def _in_shadow(self, state: State) -> Collection[str]:
        """Return the routes of which every request is in shadow.

        On any other route most of the responses that were not stored came from requests that the cache
        was allowed to answer, so their reasons say nothing about shadow.
        """
        return self._shadow if self._steps[state.step] == "shadow" else state.refused

    def _add(self, look: Look) -> dict[Group, tuple[Judgement, ...]]:
        for name, counts in look.shadow.items():
            if name in self._shadow:
                self._shadow[name] += counts
        for group, tally in look.tallies.items():
            before = self._tallies.get(group)
            self._tallies[group] = tally if before is None else before + tally
        return {
            group: tuple(guardrails.look(look.tallies[group], look.seconds))
            for group, guardrails in self._guardrails.items()
            if group in look.tallies
        }


def _margins(plan: RolloutPlan, phase: Phase, groups: int) -> Margins:
    settings = plan.guardrails
    return Margins(
        holdout=plan.holdout,
        errors=settings.errors,
        latency=settings.latency,
        hits=settings.hits,
        memory=settings.memory,
        alpha=settings.alpha / groups,
        seconds=phase.seconds,
        bet_every=max(phase.interval, min(_LONGEST_BET, phase.seconds / _BETS)),
    )


def _without_cold(tally: Tally, *, warm: bool) -> Tally:
    """Return the tally, without hit rate and durations while the step is still cold."""
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
        saved=0,
    )


def _shadow_counts(
    increase: Increase, routes: Iterable[str], in_shadow: Collection[str]
) -> dict[str, ShadowCounts]:
    counts_by_route = {}
    for name in routes:
        counts = increase.requests.get(name, {})
        hits, misses, mismatches = (
            counts.get(outcome.label, 0)
            for outcome in (Outcome.SHADOW_HIT, Outcome.SHADOW_MISS, Outcome.SHADOW_MISMATCH)
        )
        forecast = increase.forecasts.get(name, {})
        shadow = ShadowCounts(
            hits=hits,
            misses=misses,
            mismatches=mismatches,
            refused=_largest(increase.refused.get(name, {}) if name in in_shadow else {}),
            places=_largest(increase.differences.get(name, {})),
            asked=forecast.get("default_requests", 0),
            default_hits=forecast.get("default_hits", 0),
        )
        if shadow != ShadowCounts():
            counts_by_route[name] = shadow
    return counts_by_route


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the largest counts only: a look is stored, and many processes may report many places."""
    grown = {name: count for name, count in counts.items() if count}
    return dict(most_frequent(grown)[:_MAX_PLACES])
