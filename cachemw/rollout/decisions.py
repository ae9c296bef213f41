"""The decision that the controller takes at each look: go back, go on, or stay.

The rules are tried in this order, and the first one that applies makes the move:

1. A watched guardrail fails: **roll back** the phase. If it fails on the routes of earlier phases, roll
   back everything.
2. There is something to report that was not reported in this attempt: a guardrail in dry run fails, the
   holdout is broken, or a route in shadow sets cookies or would have served nothing. **Record** one such
   notice and stay.
3. The rollout is paused or waits for approval, or no process of a component is live: stay, and do not
   count the time as watched.
4. The step's time is not over: stay, and count the time.
5. The step is `shadow`: **go on** if enough responses were compared. Routes with a wrong response, or one
   that would have replaced a cookie of its client, stay in shadow. If every route had one, **roll back**.
6. Any other step: **go on** if the holdout is sound, and every watched guardrail has enough evidence and
   passes.
7. Evidence has been missing for longer than the plan's `hold`: **pause**.
8. Otherwise **hold**: stay in the step and wait for evidence.

A move of a running rollout that does not go back expects the flags of its step. If somebody has changed
them by hand, the store refuses it, and the controller pauses: what a person turned off, the next step must
not turn on.

So missing evidence never lets a route in (I6), and harm is judged before anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from cachemw.config.rollout_plan import RolloutPlan
from cachemw.rollout.guardrails.evaluation import Evaluation
from cachemw.rollout.guardrails.measures import Judgement
from cachemw.rollout.state import (
    Group,
    Look,
    Move,
    ShadowCounts,
    State,
    most_frequent,
    record_of,
)
from cachemw.rollout.transitions import advance, hold, pause, roll_back, step_flags

__all__ = ["LookResult", "decide"]

_ENOUGH: Final = 20
"""Requests of a route in shadow before its counts are worth a notice, and responses that a phase in
shadow must have compared before it goes on. With 20 right responses, a route that is wrong one time in
seven is found with a probability of 95 %."""
_COOKIE: Final = "set-cookie"
"""The reason why a response with a cookie is not stored."""
_PLACES_IN_REASON: Final = 3
"""Places that a reason names for one route."""
_PLACES_IN_NUMBERS: Final = 10
"""Places that a record's numbers hold for one route."""


class LookResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one look at the counters of all processes."""

    seconds: float
    """Watched seconds since the last look."""
    judged: dict[Group, tuple[Judgement, ...]] = {}
    look: Look | None = None
    shadow: Mapping[str, ShadowCounts] = {}
    """Counts of the phase's routes in shadow, by name, since the phase began."""
    evaluation: Evaluation | None = None
    """The benefit of the cache in this phase."""
    missing: tuple[str, ...] = ()
    """Components of the phase without a live process."""


class _Notice(NamedTuple):
    """Something to report once in an attempt."""

    key: str
    """Its name in `State.reported`. It is stored."""
    action: str
    reason: str
    numbers: dict[str, Any]


def decide(state: State, plan: RolloutPlan, result: LookResult, at: float, by: str) -> Move:
    """Return the move that follows from a look."""
    looked = replace(
        state,
        judged=result.judged,
        phase_watched=state.phase_watched + result.seconds,
        wrong=tuple(name for name, counts in result.shadow.items() if counts.is_wrong),
    )
    move = _decide(looked, plan, result, at, by)
    going_on = state.status == "running" and move.state.status != "rolled back"
    expected = step_flags(plan.phases[state.phase], state.step) if going_on else {}
    return replace(move, look=result.look, expected=expected)


def _decide(state: State, plan: RolloutPlan, result: LookResult, at: float, by: str) -> Move:
    phase = plan.phases[state.phase]
    if failing := _failing(state, plan, result, in_dry_run=False):
        group, judgement = failing[0]
        return _roll_back_for(state, plan, at, by, group, judgement)
    for notice in _notices(state, plan, result):
        if notice.key not in state.reported:
            return _report(state, plan, at, by, notice)
    if state.status != "running" or result.missing:
        missing = ", ".join(f"no live process of {name!r}" for name in result.missing)
        return _stay(state, missing or state.reason)
    state = replace(state, watched=state.watched + result.seconds)
    if state.watched < phase.step_seconds(state.step):
        return _stay(state, "")
    if phase.steps[state.step] == "shadow":
        return _after_shadow(state, plan, result, at, by)
    return _after_step(state, plan, result, at, by)


def _stay(state: State, reason: str) -> Move:
    return Move(state=replace(state, revision=state.revision + 1, reason=reason))


# -- guardrails ------------------------------------------------------------------------------------


def _judgements(
    state: State, plan: RolloutPlan, result: LookResult
) -> Iterator[tuple[Group, Judgement]]:
    """Yield the judgements that count, with their group.

    A phase in shadow is not judged: the cache has not answered any of its requests yet.
    """
    watch = plan.phases[state.phase].watch
    in_shadow = plan.phases[state.phase].steps[state.step] == "shadow"
    for group, judgements in result.judged.items():
        for judgement in judgements:
            if judgement.guardrail in watch and not (group == "phase" and in_shadow):
                yield group, judgement


def _failing(
    state: State, plan: RolloutPlan, result: LookResult, *, in_dry_run: bool
) -> list[tuple[Group, Judgement]]:
    dry = plan.guardrails.dry_run
    return [
        (group, judgement)
        for group, judgement in _judgements(state, plan, result)
        if judgement.verdict == "fail" and (judgement.guardrail in dry) is in_dry_run
    ]


def _numbers(judgement: Judgement) -> dict[str, Any]:
    """Return the numbers behind a judgement, for the record."""
    return {"guardrail": judgement.guardrail, **judgement.evidence}


def _roll_back_for(
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


def _broken_holdouts(result: LookResult) -> Iterator[tuple[Group, Judgement]]:
    for group, judgements in result.judged.items():
        for judgement in judgements:
            if judgement.guardrail == "holdout" and judgement.verdict == "fail":
                yield group, judgement


# -- notices ---------------------------------------------------------------------------------------


def _notices(state: State, plan: RolloutPlan, result: LookResult) -> Iterator[_Notice]:
    """Yield everything that is worth a record, whether it was reported already or not."""
    for group, judgement in _broken_holdouts(result):
        yield _Notice(
            f"holdout: {group}",
            "warn",
            f"the holdout is broken: {judgement.evidence['drawn']:.2%} of the compared requests went past the"
            f" cache, and {plan.holdout:.2%} were to be drawn; until that is mended no step is passed",
            _numbers(judgement),
        )
    for _, judgement in _failing(state, plan, result, in_dry_run=True):
        yield _Notice(
            f"dry run: {judgement.guardrail}",
            "would roll back",
            f"guardrail {judgement.guardrail} failed, and is in dry run",
            _numbers(judgement),
        )
    is_over = state.watched + result.seconds >= plan.phases[state.phase].step_seconds(state.step)
    for name, counts in sorted(result.shadow.items()):
        yield from _shadow_notices(name, counts, is_over)


def _shadow_notices(name: str, counts: ShadowCounts, is_over: bool) -> Iterator[_Notice]:
    """Yield what is unusual about a route in shadow.

    Cookies are reported when there are enough responses for a useful share, or when the step is over:
    even one cookie in a thousand responses is worth a warning.
    """
    cookies, answers = counts.refused.get(_COOKIE, 0), counts.answers
    if cookies and (is_over or answers >= _ENOUGH):
        reason = (
            f"route {name!r} sets cookies: {cookies} of {answers} answers did, and are not stored;"
            " a stored answer sets no cookie, so a client that needs one may not get it"
        )
        numbers: dict[str, Any] = {_COOKIE: cookies, "answers": answers}
        yield _Notice(f"cookies: {name}", "warn", reason, numbers)
    if counts.replaced:
        reason = (
            f"route {name!r} sets cookies that the cache would have removed from the request:"
            f" {counts.replaced} of {answers} answers did; switched on, each of these requests would call the"
            " application twice, and its URL would bypass the cache for a while, so the route stays in"
            " shadow: list these cookies in `personal_cookies`"
        )
        numbers = {"cookie-conflict": counts.replaced, "answers": answers}
        yield _Notice(f"removed cookies: {name}", "warn", reason, numbers)
    if not counts.hits and counts.misses >= _ENOUGH:
        yield _useless(name, counts)


def _useless(name: str, counts: ShadowCounts) -> _Notice:
    """Return the notice of a route that would have answered nothing, with what is known of the reasons."""
    reason = f"route {name!r} would have answered none of {counts.misses} requests: "
    numbers: dict[str, Any] = {"misses": counts.misses}
    if counts.refused:
        reason += f"not stored were {_listed(counts.refused)} (see `cachemw explain`)"
        numbers["refused"] = dict(counts.refused)
    else:
        reason += (
            "its answers are not stored (see `cachemw stats` and `explain`),"
            " or nobody asks for the same URL twice"
        )
    if counts.default_hits:
        reason += (
            "; with the default lists of cookies it would have answered"
            f" {counts.default_hits} of {counts.asked} (see `cachemw stats`)"
        )
        numbers |= {"requests": counts.asked, "default hits": counts.default_hits}
    return _Notice(f"useless: {name}", "warn", reason, numbers)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in most_frequent(counts))


def _report(state: State, plan: RolloutPlan, at: float, by: str, notice: _Notice) -> Move:
    """Stay, and put a notice into the history."""
    after = replace(state, revision=state.revision + 1, reported=(*state.reported, notice.key))
    record = record_of(
        after, plan, at, by, notice.action, reason=notice.reason, numbers=notice.numbers
    )
    return Move(state=after, record=record)


# -- the end of a step -----------------------------------------------------------------------------


def _after_shadow(state: State, plan: RolloutPlan, result: LookResult, at: float, by: str) -> Move:
    compared = sum(counts.hits + counts.mismatches for counts in result.shadow.values())
    if result.shadow and compared < _ENOUGH:
        # A quiet night proves nothing.
        return _wait(state, plan, result, at, by, f"{compared} answers in shadow were compared")
    wrong = {name: counts for name, counts in result.shadow.items() if counts.is_wrong}
    numbers = {name: _wrong_numbers(counts) for name, counts in wrong.items()}
    listed = ", ".join(f"{name!r}{_places(counts)}" for name, counts in wrong.items())
    if wrong and len(wrong) == len(result.shadow):
        reason = f"every route in shadow would have answered wrongly: {listed}"
        return roll_back(state, plan, at, by, reason, numbers=numbers)
    reason = "all compared answers in shadow were right"
    if wrong:
        reason = f"compared answers in shadow were right, except on {listed}: kept in shadow"
    return advance(state, plan, at, by, reason, refused=tuple(wrong), numbers=numbers)


def _wrong_numbers(counts: ShadowCounts) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "mismatches": counts.mismatches,
        "places": dict(most_frequent(counts.places)[:_PLACES_IN_NUMBERS]),
    }
    return numbers | ({"replaced cookies": counts.replaced} if counts.replaced else {})


def _places(counts: ShadowCounts) -> str:
    replaced = [f"cookies of clients replaced {counts.replaced} times"] if counts.replaced else []
    places = replaced + [place for place, _ in most_frequent(counts.places)]
    more = ", …" if len(places) > _PLACES_IN_REASON else ""
    return f" ({', '.join(places[:_PLACES_IN_REASON])}{more})" if places else ""


def _after_step(state: State, plan: RolloutPlan, result: LookResult, at: float, by: str) -> Move:
    dry = plan.guardrails.dry_run
    if any(_broken_holdouts(result)):
        return _wait(state, plan, result, at, by, "the holdout is broken")
    unsure = [
        f"{judgement.guardrail} ({group})" if group == "before" else judgement.guardrail
        for group, judgement in _judgements(state, plan, result)
        if judgement.verdict == "inconclusive" and judgement.guardrail not in dry
    ]
    if unsure:
        return _wait(state, plan, result, at, by, ", ".join(unsure))
    numbers: dict[str, Any] = {each.guardrail: each.evidence for each in result.judged["phase"]}
    reason = "every guardrail passed"
    if result.evaluation is not None:
        numbers["evaluation"] = msgspec.to_builtins(result.evaluation)
        reason += f": {result.evaluation}"
    return advance(state, plan, at, by, reason, numbers=numbers)


def _wait(
    state: State, plan: RolloutPlan, result: LookResult, at: float, by: str, what: str
) -> Move:
    """Hold because evidence is missing, or pause when it has been missing for too long."""
    reason = f"not enough evidence: {what}"
    held = replace(state, held=state.held + result.seconds)
    if held.held > plan.hold:
        return pause(held, plan, at, by, f"{reason} in {plan.hold:g} s")
    return hold(held, plan, at, by, reason)
