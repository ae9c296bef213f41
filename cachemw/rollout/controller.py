"""The controller: looks at the fleet every interval, and moves the rollout by what it sees.

Any process may be it, one at a time. Who has the lease looks; when it has not been renewed for some
seconds another one takes over, and weighs again what the first had seen. A move is written on the state
that it was made from or not at all, so one that lost its lease without noticing can do no harm.

`turn` does what there is to do now and says when to be called again: it never waits for anything but
the store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cachemw.config.rollout_plan import RolloutPlan
from cachemw.process.clock import Clock
from cachemw.rollout.decisions import decide
from cachemw.rollout.evidence import Evidence
from cachemw.rollout.guardrails.tallies import Growth, Process
from cachemw.rollout.health import examine
from cachemw.rollout.state import Move, Record, State, plan_of, record_of
from cachemw.rollout.store import Store

__all__ = ["Controller"]

_TURN = 1.0
"""Seconds between two turns, at most: the lease is renewed at each."""
_SETTLE = 3.0
"""Seconds after a rollback in which it gets everywhere, and every process reports what it counted."""
_MOST = 2.0
"""Of its interval a look counts for this much at most: while nobody looked nothing was watched."""


class _MovedOn(Exception):
    """Somebody else has moved the rollout: what was decided is about the past."""


class Controller:
    """What one process does when it has the lease. For one thread."""

    def __init__(
        self,
        store: Store,
        *,
        risks: Mapping[str, str],
        bounds: Sequence[float],
        fleet: Callable[[], Sequence[Process]],
        clock: Clock,
        name: Callable[[], str],
        tell: Callable[[Record], None],
    ) -> None:
        """`risks` are routes' risk classes by name, `bounds` those of the histograms in seconds.

        `fleet` gives what the processes have counted and raises StoreUnavailable; `tell` tells people
        of a record.
        """
        self._store = store
        self._risks = risks
        self._bounds = bounds
        self._fleet = fleet
        self._clock = clock
        self._name = name
        self._tell = tell
        self.forget()

    def forget(self) -> None:
        """Forget the evidence: another controller goes on, or nothing is left to do."""
        self._evidence: Evidence | None = None
        self._after: Growth | None = None
        self._looked_at = 0.0
        self._rolled_back = 0

    def turn(self) -> float | None:
        """Do what is due; give the seconds until the next turn, None when nothing is left to do.

        Raises StoreUnavailable: then nothing has moved, and the next turn tries again.
        """
        state = self._store.read()
        if state is None or not state.needs_controller:
            self.forget()
            self._store.resign()
            return None
        if not self._store.lead():
            self.forget()
            return _TURN
        plan = plan_of(state)
        return self._watch(state, plan) if state.active else self._check(state, plan)

    # -- while it goes forward ---------------------------------------------------------------------

    def _watch(self, state: State, plan: RolloutPlan) -> float:
        self._after = None
        interval = plan.phases[state.phase].interval
        now = self._clock.monotonic()
        if self._evidence is None or self._evidence.attempt != state.attempt:
            self._evidence = Evidence(plan, state, self._risks, self._bounds)
            self._evidence.replay(self._store.looks(state.attempt))
            self._evidence.look(state, self._fleet(), 0.0)
            self._looked_at = now
        elif now - self._looked_at >= interval:
            self._look(self._evidence, state, plan, min(now - self._looked_at, _MOST * interval))
            self._looked_at = now
        return max(0.0, min(_TURN, self._looked_at + interval - self._clock.monotonic()))

    def _look(self, evidence: Evidence, state: State, plan: RolloutPlan, seconds: float) -> None:
        processes = self._fleet()
        phase = plan.phases[state.phase]
        there = {process.component for process in processes if process.live}
        seen = evidence.look(state, processes, seconds)
        seen = replace(seen, missing=tuple(c for c in phase.components if c not in there))
        self._commit(state, lambda: decide(state, plan, seen, self._clock.time(), self._name()))

    def _commit(self, seen: State, make: Callable[[], Move]) -> None:
        """Make a move on the state that was seen, and on no other."""

        def unless_moved(present: State | None) -> Move:
            if present is None or present.revision != seen.revision:
                raise _MovedOn
            return make()

        try:
            move = self._store.commit(unless_moved)
        except _MovedOn:
            return
        if move.record is not None:
            self._tell(move.record)

    # -- after a rollback --------------------------------------------------------------------------

    def _check(self, state: State, plan: RolloutPlan) -> float:
        """Look once when the rollback must have arrived, then examine what came since."""
        now = self._clock.monotonic()
        if self._rolled_back != state.revision:
            self._rolled_back, self._looked_at = state.revision, now
            self._evidence, self._after = None, None
        elif now - self._looked_at >= _SETTLE:
            processes = self._fleet()
            self._looked_at = now
            if self._after is None:
                self._after = Growth(len(self._bounds) + 1)
                self._after.since_last(processes)
            else:
                self._examine(state, plan, processes, self._after)
        return _TURN

    def _examine(
        self, state: State, plan: RolloutPlan, processes: Sequence[Process], after: Growth
    ) -> None:
        grown = after.since_last(processes)
        assert grown is not None
        off = [name for name, risk in self._risks.items() if risk in state.rolled_back]
        findings = examine(
            state,
            processes,
            grown,
            off,
            store=self._store.probe(),
            failing=_failing_before(state) + plan.guardrails.errors,
        )
        ill = [f"{each.what}: {each.said}" for each in findings if not each.well]
        reason = f"ill: {'; '.join(ill)}" if ill else "all is well"

        def checked() -> Move:
            done = replace(state, revision=state.revision + 1, check_due=False)
            record = record_of(
                done,
                plan,
                self._clock.time(),
                self._name(),
                "health check",
                reason=reason,
                numbers={each.what: msgspec.to_builtins(each) for each in findings},
            )
            return Move(state=done, record=record)

        self._commit(state, checked)


def _failing_before(state: State) -> float:
    """Give the share of the control's answers that failed, as the last look had it."""
    rates = [
        judgement.evidence.get("control", 0.0)
        for judgements in state.judged.values()
        for judgement in judgements
        if judgement.guardrail == "errors"
    ]
    return max(rates, default=0.0)
