"""The moves of a rollout: pure functions from one state to the next.

    (none) ──begin──▶ running ──advance──▶ running … ──advance──▶ complete
                        │  ▲
           advance, and the next phase needs approval
                        ▼  │ approve
                      waiting

    running, waiting ──pause──▶ paused ──resume──▶ running (with the flags of its step)
    any status ──roll_back──▶ rolled back ──resume──▶ running (the phase begins again)

A **phase** turns the cache on for the routes of some risk classes. It has **steps**, such as `shadow`,
`canary 10%` and `on`. The last one is watched for the phase's whole duration, and each step before it for
an equal part of that: of four steps in 24 hours, three take 6 hours each, and then it is on for 24.

A **move** names the next state, the live flags to set, the risk classes to purge, and the record for the
history. The store makes all of it true in one step, and only if the rollout still has the revision that
the move was made from. So if two controllers move at the same time, one succeeds and the other has no
effect.

`_ALLOWED` lists which move is possible in which status. `advance` and `hold` are not in it: only
`decisions` makes them, and only while the rollout is running.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from cachemw.config.rollout_plan import Phase, RolloutPlan
from cachemw.errors import RolloutError
from cachemw.rollout.state import Move, State, Status, record_of

__all__ = [
    "advance",
    "approve",
    "begin",
    "begin_phase",
    "hold",
    "pause",
    "promote",
    "resume",
    "roll_back",
    "step_flags",
]


class _Rule(NamedTuple):
    """The statuses in which a move is possible, and the error message in every other one."""

    statuses: frozenset[Status]
    refusal: str


# `begin` is also possible where there was no rollout yet, and `roll_back` of everything in every status.
_ALLOWED: Final[dict[str, _Rule]] = {
    "begin": _Rule(
        frozenset({"complete", "rolled back"}),
        "a rollout is {status} already: wait until it is complete or roll it back, then start",
    ),
    "promote": _Rule(
        frozenset({"running", "paused"}), "the rollout is {status}: there is nothing to promote"
    ),
    "approve": _Rule(
        frozenset({"waiting"}), "the rollout is {status}: no phase waits to be approved"
    ),
    "pause": _Rule(
        frozenset({"running", "waiting"}), "the rollout is {status}: there is nothing to pause"
    ),
    "resume": _Rule(
        frozenset({"paused", "rolled back"}), "the rollout is {status}: there is nothing to resume"
    ),
    "roll_back": _Rule(
        frozenset({"running", "waiting", "paused", "complete"}),
        "the phase is {status} already; `--all` also rolls back the other phases",
    ),
}

_DEFAULT: Final = "default"
"""The state of a live flag that takes back what was set, so that the configuration applies again."""
_HOLD: Final = "hold"


def _require(move: str, state: State) -> None:
    rule = _ALLOWED[move]
    if state.status not in rule.statuses:
        raise RolloutError(rule.refusal.format(status=state.status))


# -- forward ---------------------------------------------------------------------------------------


def begin(
    plan: RolloutPlan,
    written: Mapping[str, Any],
    before: State | None,
    at: float,
    by: str,
    reason: str,
) -> Move:
    """Begin a rollout: turn off every risk class of the plan, then enter the first step.

    `written` is the plan as its file has it, `before` the state of the last rollout, if there was one.
    """
    if before is not None:
        _require("begin", before)
    revision, attempt = (before.revision, before.attempt) if before else (0, 0)
    state = State(revision=revision, plan=dict(written), attempt=attempt)
    off = {risk: "off" for phase in plan.phases for risk in phase.risks}
    flags = {**off, **_holdout_flag(plan), **_cleared_refusals(before)}
    return _enter_phase(state, plan, 0, at, by, "start", reason, flags)


def begin_phase(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Begin the phase after the present one."""
    levels = _default_levels(plan, state)
    return _enter_phase(state, plan, state.phase + 1, at, by, "phase", reason, levels)


def _enter_phase(
    state: State,
    plan: RolloutPlan,
    index: int,
    at: float,
    by: str,
    action: str,
    reason: str,
    flags: Mapping[str, str],
) -> Move:
    """Enter the first step of a phase with no evidence; `flags` are set besides the phase's own."""
    phase = plan.phases[index]
    entered = replace(
        state,
        revision=state.revision + 1,
        status="running",
        phase=index,
        step=0,
        attempt=state.attempt + 1,
        watched=0.0,
        phase_watched=0.0,
        step_began=0.0,
        held=0.0,
        reason="",
        judged={},
        wrong=(),
        reported=(),
        rolled_back=(),
        check_due=False,
    )
    levels = {f"level:{risk}": phase.log_level for risk in phase.risks}
    return Move(
        state=entered,
        record=record_of(entered, plan, at, by, action, reason=reason),
        flags={**flags, **levels, **step_flags(phase, 0)},
    )


def _holdout_flag(plan: RolloutPlan) -> dict[str, str]:
    return {"holdout": f"{plan.holdout * 100:g}%"}


def _cleared_refusals(state: State | None) -> dict[str, str]:
    """Return the flags that let refused routes in again: the application may have been repaired."""
    return {f"route:{name}": _DEFAULT for name in (state.refused if state else ())}


def step_flags(phase: Phase, step: int) -> dict[str, str]:
    """Return the live flags of a step: one for each risk class of its phase."""
    return dict.fromkeys(phase.risks, phase.steps[step])


def _default_levels(plan: RolloutPlan, state: State) -> dict[str, str]:
    """Return the flags that take back the log levels of the present phase."""
    return {f"level:{risk}": _DEFAULT for risk in plan.phases[state.phase].risks}


def advance(
    state: State,
    plan: RolloutPlan,
    at: float,
    by: str,
    reason: str,
    *,
    refused: Sequence[str] = (),
    numbers: Mapping[str, Any] | None = None,
) -> Move:
    """Go on to the next step, the next phase, or the end; `refused` routes stay in shadow."""
    phase = plan.phases[state.phase]
    shadows = {f"route:{name}": "shadow" for name in refused}
    state = replace(state, refused=tuple(dict.fromkeys((*state.refused, *refused))))
    if state.step + 1 < len(phase.steps):
        after = replace(
            state,
            revision=state.revision + 1,
            status="running",
            step=state.step + 1,
            watched=0.0,
            step_began=state.phase_watched,
            held=0.0,
            reason="",
        )
        move = Move(
            state=after,
            record=record_of(after, plan, at, by, "step", reason=reason),
            flags={**step_flags(phase, after.step), **shadows},
        )
    elif state.phase + 1 == len(plan.phases):
        move = _complete(state, plan, at, by, reason)
    elif plan.phases[state.phase + 1].approve:
        move = _wait_for_approval(state, plan, at, by, reason)
    else:
        move = begin_phase(state, plan, at, by, reason)
    assert move.record is not None
    return replace(move, record=replace(move.record, numbers=dict(numbers or {})))


def _wait_for_approval(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    next_phase = plan.phases[state.phase + 1].name
    why = f"phase {next_phase!r} begins when somebody approves"
    waiting = replace(state, revision=state.revision + 1, status="waiting", reason=why, held=0.0)
    both = "; ".join(filter(None, (reason, why)))
    record = record_of(waiting, plan, at, by, "wait", reason=both)
    return Move(state=waiting, record=record)


def _complete(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    done = replace(state, revision=state.revision + 1, status="complete", reason="", held=0.0)
    return Move(
        state=done,
        record=record_of(done, plan, at, by, "complete", reason=reason),
        flags={"holdout": _DEFAULT, **_default_levels(plan, state)},
    )


def promote(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Go on now, even where evidence is missing. It does not begin a phase that waits for approval."""
    _require("promote", state)
    # An operator may go on without evidence, but not against it (I2): a route that is known to be wrong
    # in shadow stays in shadow.
    in_shadow = plan.phases[state.phase].steps[state.step] == "shadow"
    move = advance(state, plan, at, by, reason, refused=state.wrong if in_shadow else ())
    assert move.record is not None
    action = f"promote: {move.record.action}"
    return replace(move, record=replace(move.record, action=action))


def approve(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Begin the phase that waits for approval."""
    _require("approve", state)
    move = begin_phase(state, plan, at, by, reason)
    assert move.record is not None
    return replace(move, record=replace(move.record, action="approve"))


# -- standing still --------------------------------------------------------------------------------


def pause(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Stay in the present step. Guardrails go on watching, but the step's time does not pass."""
    _require("pause", state)
    paused = replace(state, revision=state.revision + 1, status="paused", reason=reason)
    return Move(state=paused, record=record_of(paused, plan, at, by, "pause", reason=reason))


def hold(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Stay running after the step's time, because evidence is missing; record it once."""
    held = replace(state, revision=state.revision + 1, reason=reason)
    if _HOLD in state.reported:
        return Move(state=held)
    held = replace(held, reported=(*state.reported, _HOLD))
    return Move(state=held, record=record_of(held, plan, at, by, "hold", reason=reason))


def resume(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Go on after a pause; after a rollback, begin the phase again with its first step.

    The flags of the step are set again: somebody may have changed them during the pause, or caused it so.
    """
    _require("resume", state)
    if state.status == "rolled back":
        flags = {**_holdout_flag(plan), **_cleared_refusals(state)}
        cleared = replace(state, refused=())
        return _enter_phase(cleared, plan, state.phase, at, by, "resume", reason, flags)
    running = replace(
        state, revision=state.revision + 1, status="running", reason="", held=0.0, reported=()
    )
    return Move(
        state=running,
        record=record_of(running, plan, at, by, "resume", reason=reason),
        flags=step_flags(plan.phases[state.phase], state.step),
    )


# -- back ------------------------------------------------------------------------------------------


def roll_back(
    state: State,
    plan: RolloutPlan,
    at: float,
    by: str,
    reason: str,
    *,
    everything: bool = False,
    numbers: Mapping[str, Any] | None = None,
) -> Move:
    """Turn off the present phase, or every phase, and purge the entries of its routes (I6).

    After a rollback of everything, `resume` begins with the first phase.
    """
    if not everything:
        _require("roll_back", state)
    phases = plan.phases if everything else (plan.phases[state.phase],)
    risks = tuple(risk for phase in phases for risk in phase.risks)
    back = replace(
        state,
        revision=state.revision + 1,
        status="rolled back",
        phase=0 if everything else state.phase,
        step=0,
        reason=reason,
        rolled_back=risks,
        check_due=True,
    )
    action = "roll back everything" if everything else "roll back"
    # The record names the phase and step in which it happened, so it is made of the state before.
    record = record_of(state, plan, at, by, action, reason=reason, numbers=dict(numbers or {}))
    flags = {**dict.fromkeys(risks, "off"), **_default_levels(plan, state)}
    if everything:  # nothing is left to compare with
        flags["holdout"] = _DEFAULT
    return Move(state=back, record=record, flags=flags, purged=risks)
