"""What a look at the fleet makes of a rollout. Rules, the first that applies:

1. a guardrail that is watched fails: **roll back** the phase; of the phases before it, everything;
2. one that is in dry run fails, or a route in shadow sets cookies or will be of no use: say so, once;
3. the rollout is paused or waits, or a component is missing: nothing comes nearer;
4. the step's time is not over: go on watching;
5. in shadow, where some answers could be compared: **go on**, without the routes that would have
   answered wrongly; if that is all of them, **roll back**;
6. elsewhere, where every guardrail has the evidence that it needs, and passes: **go on**;
7. the evidence has not come for as long as the plan holds: **pause**;
8. else **hold**.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from cachemw.config.rollout_plan import RolloutPlan
from cachemw.rollout.guardrails.evaluation import Evaluation
from cachemw.rollout.guardrails.guardrails import Judgement
from cachemw.rollout.state import (
    Group,
    Look,
    Move,
    Shadowed,
    State,
    advance,
    hold,
    most_frequent,
    pause,
    record_of,
    roll_back,
)

__all__ = ["Seen", "decide"]

_ENOUGH = 20
"""Requests that a route in shadow must have had before what it does of them says something, and answers
that its phase must have compared before their being right does."""
_COOKIE = "set-cookie"
"""Among the reasons why an answer is not stored."""
_FEW = 3
"""Places that a reason names of a route."""
_SOME = 10
"""Places that the numbers of a record hold of a route."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a look has found."""

    seconds: float
    """For which the fleet was watched since the last look."""
    judged: dict[Group, tuple[Judgement, ...]] = {}
    look: Look | None = None
    shadow: Mapping[str, Shadowed] = {}
    """What the phase's routes would have done, by name, since the phase began."""
    evaluation: Evaluation | None = None
    """What the cache has been worth in this phase."""
    missing: tuple[str, ...] = ()
    """Components of which no process is there."""


def decide(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str) -> Move:
    """Give the move that a look makes."""
    looked = replace(
        state,
        judged=seen.judged,
        phase_watched=state.phase_watched + seen.seconds,
        wrong=tuple(name for name, each in seen.shadow.items() if each.mismatches),
    )
    move = _decide(looked, plan, seen, at, by)
    return replace(move, look=seen.look)


def _decide(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str) -> Move:
    phase = plan.phases[state.phase]
    if failing := _failing(state, plan, seen, acting=True):
        group, judgement = failing[0]
        return _go_back(state, plan, at, by, group, judgement)
    if said := _untold(state, plan, seen, at, by):
        return said
    if state.status != "running" or seen.missing:
        missing = " and ".join(f"no {name} is there" for name in seen.missing)
        return _watched(state, missing or state.reason)
    state = replace(state, watched=state.watched + seen.seconds)
    if state.watched < phase.step_seconds:
        return _watched(state, "")
    if phase.steps[state.step] == "shadow":
        return _after_shadow(state, plan, seen, at, by)
    return _at_the_end(state, plan, seen, at, by)


def _watched(state: State, reason: str) -> Move:
    return Move(state=replace(state, revision=state.revision + 1, reason=reason))


def _judgements(state: State, plan: RolloutPlan, seen: Seen) -> Iterator[tuple[Group, Judgement]]:
    """Give what counts, with its group. A phase that is in shadow has let nobody in yet."""
    watch = plan.phases[state.phase].watch
    in_shadow = plan.phases[state.phase].steps[state.step] == "shadow"
    for group, judgements in seen.judged.items():
        for judgement in judgements:
            if judgement.guardrail in watch and not (group == "phase" and in_shadow):
                yield group, judgement


def _failing(
    state: State, plan: RolloutPlan, seen: Seen, *, acting: bool
) -> list[tuple[Group, Judgement]]:
    dry = plan.guardrails.dry_run
    return [
        (group, judgement)
        for group, judgement in _judgements(state, plan, seen)
        if judgement.verdict == "fail" and (judgement.guardrail not in dry) is acting
    ]


def _numbers(judgement: Judgement) -> dict[str, Any]:
    """Give what a judgement was made on, for the record."""
    return {"guardrail": judgement.guardrail, **judgement.evidence}


def _go_back(
    state: State, plan: RolloutPlan, at: float, by: str, group: Group, judgement: Judgement
) -> Move:
    reason = f"guardrail {judgement.guardrail} failed"
    if group == "before":
        reason += " on the routes of the phases before"
    return roll_back(
        state,
        plan,
        at,
        by,
        reason,
        everything=group == "before",
        numbers=_numbers(judgement),
    )


def _untold(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str) -> Move | None:
    """Tell what nobody has been told of in this attempt yet, one thing at a look."""
    for _, judgement in _failing(state, plan, seen, acting=False):
        what = f"dry run: {judgement.guardrail}"
        if what not in state.told:
            reason = f"guardrail {judgement.guardrail} failed, and is in dry run"
            return _tell(state, plan, at, by, what, "would roll back", reason, _numbers(judgement))
    phase = plan.phases[state.phase]
    is_over = state.watched + seen.seconds >= phase.step_seconds
    for name, shadowed in sorted(seen.shadow.items()):
        for what, reason, numbers in _odd(name, shadowed, is_over):
            if what not in state.told:
                return _tell(state, plan, at, by, what, "warn", reason, numbers)
    return None


def _odd(name: str, shadowed: Shadowed, is_over: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give what is odd about a route in shadow: as what it is told, in words, and in numbers.

    Cookies are told of when there are answers enough to say how many set some, or when no more of
    them come: one in a thousand is worth a warning, too.
    """
    cookies, answers = shadowed.refused.get(_COOKIE, 0), shadowed.answers
    if cookies and (is_over or answers >= _ENOUGH):
        reason = (
            f"route {name!r} sets cookies: {cookies} of {answers} answers did, and are not stored;"
            " what is stored sets none, so a client who is to have one may not get it"
        )
        yield f"cookies: {name}", reason, {_COOKIE: cookies, "answers": answers}
    if not shadowed.hits and shadowed.misses >= _ENOUGH:
        reason = f"route {name!r} would have answered none of {shadowed.misses} requests: "
        if shadowed.refused:
            reason += f"not stored were {_listed(shadowed.refused)} (see `cachemw explain`)"
        else:
            reason += "its answers are not stored (see `cachemw stats` and `explain`), or nobody asks twice"
        numbers: dict[str, Any] = {"misses": shadowed.misses}
        if shadowed.refused:
            numbers["refused"] = dict(shadowed.refused)
        yield f"useless: {name}", reason, numbers


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in most_frequent(counts))


def _tell(
    state: State,
    plan: RolloutPlan,
    at: float,
    by: str,
    what: str,
    action: str,
    reason: str,
    numbers: dict[str, Any],
) -> Move:
    told = replace(state, revision=state.revision + 1, told=(*state.told, what))
    record = record_of(told, plan, at, by, action, reason=reason, numbers=numbers)
    return Move(state=told, record=record)


def _after_shadow(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str) -> Move:
    compared = sum(each.hits + each.mismatches for each in seen.shadow.values())
    if seen.shadow and compared < _ENOUGH:
        return _wait(state, plan, seen, at, by, f"{compared} answers in shadow were compared")
    wrong = {name: each for name, each in seen.shadow.items() if each.mismatches}
    numbers = {
        name: {
            "mismatches": each.mismatches,
            "places": dict(most_frequent(each.places)[:_SOME]),
        }
        for name, each in wrong.items()
    }
    listed = ", ".join(f"{name!r}{_where(each)}" for name, each in wrong.items())
    if wrong and len(wrong) == len(seen.shadow):
        reason = f"every route in shadow would have answered wrongly: {listed}"
        return roll_back(state, plan, at, by, reason, numbers=numbers)
    reason = "what was watched in shadow was right"
    if wrong:
        reason = f"what was watched in shadow was right, but for {listed}: kept in shadow"
    return advance(state, plan, at, by, reason, refused=tuple(wrong), numbers=numbers)


def _where(shadowed: Shadowed) -> str:
    places = [place for place, _ in most_frequent(shadowed.places)]
    more = ", …" if len(places) > _FEW else ""
    return f" ({', '.join(places[:_FEW])}{more})" if places else ""


def _at_the_end(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str) -> Move:
    dry = plan.guardrails.dry_run
    unsure = [
        f"{judgement.guardrail} ({group})" if group == "before" else judgement.guardrail
        for group, judgement in _judgements(state, plan, seen)
        if judgement.verdict == "inconclusive" and judgement.guardrail not in dry
    ]
    if not unsure:
        numbers: dict[str, Any] = {each.guardrail: each.evidence for each in seen.judged["phase"]}
        reason = "every guardrail passed"
        if seen.evaluation is not None:
            numbers["evaluation"] = msgspec.to_builtins(seen.evaluation)
            reason += f": {seen.evaluation}"
        return advance(state, plan, at, by, reason, numbers=numbers)
    return _wait(state, plan, seen, at, by, ", ".join(unsure))


def _wait(state: State, plan: RolloutPlan, seen: Seen, at: float, by: str, what: str) -> Move:
    """Hold for want of evidence, or pause when that has lasted for too long."""
    reason = f"not enough evidence: {what}"
    held = replace(state, held=state.held + seen.seconds)
    if held.held > plan.hold:
        return pause(held, plan, at, by, f"{reason} in {plan.hold:g} s")
    return hold(held, plan, at, by, reason)
