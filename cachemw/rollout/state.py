"""The documents of a rollout: its state, its history, its evidence, and one move from state to state.

Everything here is a value. `transitions` holds the functions that make moves, and `store` writes them.

The documents are stored in Redis as JSON, so field names are a stored format. A field that was renamed
in the code keeps its stored name (`name=`).

**Time is watched time.** `State.watched` and its siblings count the seconds in which a controller looked
at the counters. While no controller runs, no time counts, so a phase cannot pass unwatched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from cachemw.config.rollout_plan import RolloutPlan, plan_from
from cachemw.rollout.guardrails.measures import Judgement, Tally

__all__ = [
    "Group",
    "Look",
    "Move",
    "Record",
    "ShadowCounts",
    "State",
    "Status",
    "most_frequent",
    "plan_of",
    "record_of",
]

Status = Literal["running", "waiting", "paused", "rolled back", "complete"]
Group = Literal["phase", "before"]
"""The routes of the present phase, and the routes of all phases before it. Each group is judged by itself."""

_ACTIVE: Final = frozenset({"running", "waiting", "paused"})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the history: a decision, who made it, and the numbers behind it."""

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
    """Grows by one with every move. The store writes a move only on the revision it was made from."""
    status: Status = "running"
    plan: dict[str, Any]
    phase: int = 0
    step: int = 0
    attempt: int = 1
    """The number of this phase, where a phase that began again counts again. Evidence belongs to one
    attempt and is not used for another."""
    watched: float = 0.0
    """Seconds for which the present step was watched."""
    phase_watched: float = 0.0
    """Seconds for which the present phase was watched, also while it waited or was paused."""
    step_began: float = 0.0
    """The value of `phase_watched` when the present step began."""
    held: float = 0.0
    """Watched seconds in which the step was over and evidence was still missing."""
    reason: str = ""
    judged: dict[Group, tuple[Judgement, ...]] = {}
    """The guardrails' judgements at the last look."""
    wrong: tuple[str, ...] = ()
    """Routes of the phase that would have served a wrong response, or replaced a cookie, in shadow."""
    refused: tuple[str, ...] = ()
    """Routes that stay in shadow because they were wrong."""
    reported: tuple[str, ...] = msgspec.field(default=(), name="told")
    """Findings of this attempt that have a record already, so that they are not repeated at every look."""
    rolled_back: tuple[str, ...] = ()
    """Risk classes that the last rollback turned off."""
    check_due: bool = False
    """Whether the health check after a rollback is still to come."""
    flags_revision: int = 0
    """The revision of the live flags that the last move wrote. The store sets it."""

    @property
    def active(self) -> bool:
        """Whether guardrails watch this rollout."""
        return self.status in _ACTIVE

    @property
    def needs_controller(self) -> bool:
        """Whether a controller still has work to do."""
        return self.active or self.check_due


_CONFLICT: Final = "cookie-conflict"
"""The reason why a response is not stored that sets a cookie which is removed from its request."""


class ShadowCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one route in shadow: what the cache would have done."""

    hits: int = 0
    misses: int = 0
    mismatches: int = 0
    refused: dict[str, int] = {}
    """Responses that would not have been stored, by reason."""
    places: dict[str, int] = {}
    """Places in the responses that differed, such as `$.total` or `header vary`."""
    asked: int = 0
    """Requests for which other cookie lists were tried, those that bypass by their cookies included."""
    default_hits: int = 0
    """Those of them that would have been answered with these lists."""

    @property
    def replaced(self) -> int:
        """Responses that set a cookie which the cache would have removed from the request."""
        return self.refused.get(_CONFLICT, 0)

    @property
    def is_wrong(self) -> bool:
        """Whether the route must stay in shadow: switched on, it would have done harm."""
        return bool(self.mismatches or self.replaced)

    @property
    def answers(self) -> int:
        """The number of responses in shadow."""
        return self.hits + self.misses + self.mismatches

    def __add__(self, other: ShadowCounts) -> ShadowCounts:
        """Return the sum of both."""
        return ShadowCounts(
            hits=self.hits + other.hits,
            misses=self.misses + other.misses,
            mismatches=self.mismatches + other.mismatches,
            refused=_sum(self.refused, other.refused),
            places=_sum(self.places, other.places),
            asked=self.asked + other.asked,
            default_hits=self.default_hits + other.default_hits,
        )


def most_frequent(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return names and counts, the largest count first and equal counts by name.

    The order does not depend on the process: another controller writes the same record.
    """
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _sum(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence that one look added. It is stored, so that another controller can go on with it."""

    attempt: int
    seconds: float
    """Watched seconds since the phase began."""
    tallies: dict[Group, Tally]
    shadow: dict[str, ShadowCounts] = {}
    """By route."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a rollout: everything that becomes true together."""

    state: State
    record: Record | None = None
    flags: dict[str, str] = {}
    """Live flags to set, in the form that `Flags.set` takes."""
    expected: dict[str, str] = {}
    """Risk class -> live flag. If one of them is another now, the store refuses the move."""
    purged: tuple[str, ...] = ()
    """Risk classes whose routes' entries are purged."""
    look: Look | None = None


def plan_of(state: State) -> RolloutPlan:
    """Return the plan that a rollout follows."""
    return plan_from(state.plan, source="the plan of the rollout")


def record_of(
    state: State, plan: RolloutPlan, at: float, by: str, action: str, **more: Any
) -> Record:
    """Return a record of an action in the present step of a rollout."""
    phase = plan.phases[state.phase]
    step = phase.steps[state.step]
    return Record(at=at, by=by, action=action, phase=phase.name, step=step, **more)
