"""Where a rollout stands, and the only ways in which it moves. Values and pure functions.

    idle -> running -> complete           every phase has been let in, and its evidence was good
            running -> waiting            the next phase begins when somebody approves
            running -> paused             by an operator, or because evidence did not come
            any of these -> rolled back   by a guardrail, or by an operator; `resume` begins the phase again

A `Move` is one change of it: the next state, what the fleet's flags are to be, what is to be purged,
and the record that says why. The store makes all of it true in one step, and only on the state that
the move was made from (`revision`), so of two controllers one is right and the other has looked in
vain. Time is counted in seconds that were *watched*: while nobody looks nothing comes nearer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from cachemw.config.rollout_plan import Phase, RolloutPlan, plan_from
from cachemw.errors import RolloutError
from cachemw.rollout.guardrails.guardrails import Judgement, Tally

__all__ = [
    "Group",
    "Look",
    "Move",
    "Record",
    "Shadowed",
    "State",
    "Status",
    "advance",
    "approve",
    "begin",
    "begin_phase",
    "hold",
    "most_frequent",
    "pause",
    "plan_of",
    "promote",
    "record_of",
    "resume",
    "roll_back",
]

Status = Literal["running", "waiting", "paused", "rolled back", "complete"]
Group = Literal["phase", "before"]
"""The routes of the present phase, and those of the phases before it: each is judged by itself."""

_ACTIVE = frozenset({"running", "waiting", "paused"})
_DEFAULT = "default"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: a decision, who made it, and the numbers that it was made on."""

    at: float
    """Seconds since the epoch."""
    by: str
    action: str
    phase: str = ""
    step: str = ""
    reason: str = ""
    numbers: dict[str, Any] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout at one moment."""

    revision: int = 0
    status: Status = "running"
    plan: dict[str, Any]
    phase: int = 0
    step: int = 0
    attempt: int = 1
    """Which phase this is, counting those that were begun again: evidence of one is not another's."""
    watched: float = 0.0
    """Seconds for which the present step was watched."""
    phase_watched: float = 0.0
    held: float = 0.0
    """Seconds for which its end has been waiting for evidence."""
    reason: str = ""
    judged: dict[Group, tuple[Judgement, ...]] = {}
    """What the guardrails said at the last look."""
    wrong: tuple[str, ...] = ()
    """Routes of the phase that would have answered wrongly, so far."""
    refused: tuple[str, ...] = ()
    """Those that stay in shadow because of it."""
    told: tuple[str, ...] = ()
    """What has been told of this attempt, and is not told at every look."""
    rolled_back: tuple[str, ...] = ()
    """The risk classes that the last rollback has turned off."""
    check_due: bool = False
    """Whether a health check has still to follow a rollback."""
    flags_revision: int = 0
    """The revision of the live flags that the last move has made; set by the store."""

    @property
    def active(self) -> bool:
        """Whether guardrails watch over it."""
        return self.status in _ACTIVE

    @property
    def needs_controller(self) -> bool:
        """Whether there is still something to do for whoever controls it."""
        return self.active or self.check_due


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a route in shadow would have done."""

    hits: int = 0
    misses: int = 0
    mismatches: int = 0
    refused: dict[str, int] = {}
    """How many of its answers would not have been stored, by reason."""
    places: dict[str, int] = {}
    """Where the mismatches were."""

    @property
    def answers(self) -> int:
        """How many there were in shadow."""
        return self.hits + self.misses + self.mismatches

    def __add__(self, other: Shadowed) -> Shadowed:
        """Give both together."""
        return Shadowed(
            hits=self.hits + other.hits,
            misses=self.misses + other.misses,
            mismatches=self.mismatches + other.mismatches,
            refused=_sum(self.refused, other.refused),
            places=_sum(self.places, other.places),
        )


def most_frequent(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Order what was counted, by name where it is as many: another controller says it alike."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _sum(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has added to the evidence: kept, so that whoever takes over can go on with it."""

    attempt: int
    seconds: float
    """Into the phase."""
    tallies: dict[Group, Tally]
    shadow: dict[str, Shadowed] = {}
    """By route."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a rollout."""

    state: State
    record: Record | None = None
    flags: dict[str, str] = {}
    """Live flags to be set, as `flags.set` takes them."""
    purged: tuple[str, ...] = ()
    """Risk classes whose routes' entries are to go."""
    look: Look | None = None


def plan_of(state: State) -> RolloutPlan:
    """Read the plan that a rollout follows."""
    return plan_from(state.plan, source="the plan of the rollout")


def record_of(
    state: State, plan: RolloutPlan, at: float, by: str, action: str, **more: Any
) -> Record:
    """Make a record of what is done in the present step."""
    phase = plan.phases[state.phase]
    step = phase.steps[state.step]
    return Record(at=at, by=by, action=action, phase=phase.name, step=step, **more)


# -- forward ---------------------------------------------------------------------------------------


def begin(
    plan: RolloutPlan,
    written: Mapping[str, Any],
    before: State | None,
    at: float,
    by: str,
    reason: str,
) -> Move:
    """Begin a rollout: everything that it will let in is off, but the first step of the first phase."""
    if before is not None and before.active:
        raise RolloutError(
            f"a rollout is {before.status} already: let it end, or roll it back, and start then"
        )
    revision, attempt = (before.revision, before.attempt) if before else (0, 0)
    state = State(revision=revision, plan=dict(written), attempt=attempt)
    off = {risk: "off" for phase in plan.phases for risk in phase.risks}
    flags = {**off, **_held_out(plan), **_forgiven(before)}
    return _phase(state, plan, 0, at, by, "start", reason, flags)


def begin_phase(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Begin the phase after the present one."""
    return _phase(state, plan, state.phase + 1, at, by, "phase", reason, _levels_back(plan, state))


def _phase(
    state: State,
    plan: RolloutPlan,
    index: int,
    at: float,
    by: str,
    action: str,
    reason: str,
    flags: Mapping[str, str],
) -> Move:
    phase = plan.phases[index]
    begun = replace(
        state,
        revision=state.revision + 1,
        status="running",
        phase=index,
        step=0,
        attempt=state.attempt + 1,
        watched=0.0,
        phase_watched=0.0,
        held=0.0,
        reason="",
        judged={},
        wrong=(),
        told=(),
        rolled_back=(),
        check_due=False,
    )
    levels = {f"level:{risk}": phase.log_level for risk in phase.risks}
    return Move(
        state=begun,
        record=record_of(begun, plan, at, by, action, reason=reason),
        flags={**flags, **levels, **_let_in(phase, 0)},
    )


def _held_out(plan: RolloutPlan) -> dict[str, str]:
    return {"holdout": f"{plan.holdout * 100:g}%"}


def _forgiven(state: State | None) -> dict[str, str]:
    """Give the flags that let routes in again which have been refused: the application may be mended."""
    return {f"route:{name}": _DEFAULT for name in (state.refused if state else ())}


def _let_in(phase: Phase, step: int) -> dict[str, str]:
    return dict.fromkeys(phase.risks, phase.steps[step])


def _levels_back(plan: RolloutPlan, state: State) -> dict[str, str]:
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
    kept = tuple(dict.fromkeys((*state.refused, *refused)))
    shadows = {f"route:{name}": "shadow" for name in refused}
    state = replace(state, refused=kept)
    evidence = dict(numbers or {})
    if state.step + 1 < len(phase.steps):
        after = replace(
            state,
            revision=state.revision + 1,
            status="running",
            step=state.step + 1,
            watched=0.0,
            held=0.0,
            reason="",
        )
        move = Move(
            state=after,
            record=record_of(after, plan, at, by, "step", reason=reason),
            flags={**_let_in(phase, after.step), **shadows},
        )
    elif state.phase + 1 == len(plan.phases):
        move = _complete(state, plan, at, by, reason)
    elif plan.phases[state.phase + 1].approve:
        move = _wait(state, plan, at, by, reason)
    else:
        move = begin_phase(state, plan, at, by, reason)
    assert move.record is not None
    return replace(move, record=replace(move.record, numbers=evidence))


def _wait(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    following = plan.phases[state.phase + 1].name
    why = f"phase {following!r} begins when somebody approves"
    waiting = replace(state, revision=state.revision + 1, status="waiting", reason=why, held=0.0)
    said = "; ".join(filter(None, (reason, why)))
    record = record_of(waiting, plan, at, by, "wait", reason=said)
    return Move(state=waiting, record=record)


def _complete(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    done = replace(state, revision=state.revision + 1, status="complete", reason="", held=0.0)
    return Move(
        state=done,
        record=record_of(done, plan, at, by, "complete", reason=reason),
        flags={"holdout": _DEFAULT, **_levels_back(plan, state)},
    )


def promote(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Go on now, whatever the evidence; a phase that waits for approval is not begun by it."""
    if state.status not in ("running", "paused"):
        raise RolloutError(f"the rollout is {state.status}: there is nothing to promote")
    # Whatever the evidence that is missing; what is known to be wrong is let in by nobody.
    in_shadow = plan.phases[state.phase].steps[state.step] == "shadow"
    move = advance(state, plan, at, by, reason, refused=state.wrong if in_shadow else ())
    assert move.record is not None
    action = f"promote: {move.record.action}"
    return replace(move, record=replace(move.record, action=action))


def approve(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Let the phase begin that waits for it."""
    if state.status != "waiting":
        raise RolloutError(f"the rollout is {state.status}: no phase waits to be approved")
    move = begin_phase(state, plan, at, by, reason)
    assert move.record is not None
    return replace(move, record=replace(move.record, action="approve"))


# -- standing still --------------------------------------------------------------------------------


def pause(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Stay in the present step; guardrails go on watching, and no time counts."""
    if state.status not in ("running", "waiting"):
        raise RolloutError(f"the rollout is {state.status}: there is nothing to pause")
    paused = replace(state, revision=state.revision + 1, status="paused", reason=reason)
    return Move(state=paused, record=record_of(paused, plan, at, by, "pause", reason=reason))


def hold(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Say once that a step is over and that its evidence is not there."""
    held = replace(state, revision=state.revision + 1, reason=reason)
    if _HOLD in state.told:
        return Move(state=held)
    told = replace(held, told=(*state.told, _HOLD))
    return Move(state=told, record=record_of(told, plan, at, by, "hold", reason=reason))


_HOLD = "hold"


def resume(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
    """Go on after a pause; after a rollback, begin the phase again from its first step."""
    if state.status == "rolled back":
        flags = {**_held_out(plan), **_forgiven(state)}
        again = replace(state, refused=())
        return _phase(again, plan, state.phase, at, by, "resume", reason, flags)
    if state.status != "paused":
        raise RolloutError(f"the rollout is {state.status}: there is nothing to resume")
    running = replace(
        state, revision=state.revision + 1, status="running", reason="", held=0.0, told=()
    )
    return Move(state=running, record=record_of(running, plan, at, by, "resume", reason=reason))


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
    """Turn off what the present phase lets in, or every phase; purge what that has stored.

    After a complete rollback `resume` begins with the first phase again.
    """
    if state.status == "rolled back" and not everything:
        raise RolloutError("the phase is rolled back already; `--all` takes back the others too")
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
    record = record_of(
        state,
        plan,
        at,
        by,
        "roll back everything" if everything else "roll back",
        reason=reason,
        numbers=dict(numbers or {}),
    )
    levels = _levels_back(plan, state)
    return Move(
        state=back, record=record, flags={**dict.fromkeys(risks, "off"), **levels}, purged=risks
    )
