"""The controller: it looks at the counters of all processes and moves the rollout.

**One at a time.** Every process may run a controller, and a lease in Redis lets one of them work. When
its holder stops renewing the lease, another process takes it over after some seconds and replays the
stored looks. A controller that lost its lease without noticing does no harm: a move is written only on
the revision that it was made from (see `store`).

**One turn.** `turn` does what is due now and returns the seconds until the next turn. It waits for
nothing but the store. There are two kinds of work:

- While the rollout is active, it makes a *look* once per interval of the phase: `evidence` judges what
  was counted, and `decisions` makes the move.
- After a rollback it makes one *health check*. First it waits `_SETTLE` seconds, so that every process
  has the flags, and notes where the counters stand. After `_SETTLE` more it examines what was counted
  since then, and again until that is enough to judge by, for at most `_LONGEST_CHECK` seconds.

**Failures.** If the store is away, `turn` raises StoreUnavailable and nothing has moved: flags that are
on stay on, and no step is taken without evidence (I6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Final

import msgspec
from msgspec.structs import replace

from cachemw.config.rollout_plan import RolloutPlan
from cachemw.process.clock import Clock
from cachemw.rollout.decisions import LookResult, decide
from cachemw.rollout.evidence import Evidence
from cachemw.rollout.guardrails.tallies import Increase, IncreaseTracker, Process
from cachemw.rollout.health import conclusion, examine, failed_in_control
from cachemw.rollout.state import Move, Record, State, plan_of, record_of
from cachemw.rollout.store import FlagsChanged, Store
from cachemw.rollout.transitions import pause

__all__ = ["Controller"]

_TURN: Final = 1.0
"""Most seconds between two turns: the lease is renewed at each one."""
_SETTLE: Final = 3.0
"""Seconds in which a rollback reaches every process (at most one, I6) and every process has published
its counts (once per second)."""
_LONGEST_CHECK: Final = 30.0
"""Seconds for which a health check waits for enough answers to judge by."""
_MAX_INTERVALS: Final = 2.0
"""A look counts for at most this many intervals of watched time. If the controller slept for an hour,
nobody watched that hour."""


class _Overtaken(Exception):
    """Another process has moved the rollout since the state was read."""


class Controller:
    """The work of the one process that holds the lease. For one thread."""

    def __init__(
        self,
        store: Store,
        *,
        risks: Mapping[str, str],
        bounds: Sequence[float],
        fleet: Callable[[], Sequence[Process]],
        clock: Clock,
        name: Callable[[], str],
        report: Callable[[Record], None],
    ) -> None:
        """Control the rollout in `store`.

        `risks` maps route names to risk classes, `bounds` are the histograms' upper bounds in seconds.
        `fleet` returns what each process has counted, or raises StoreUnavailable. `report` is called
        with each new record of the history.
        """
        self._store = store
        self._risks = risks
        self._bounds = bounds
        self._fleet = fleet
        self._clock = clock
        self._name = name
        self._report = report
        self.forget()

    def forget(self) -> None:
        """Drop the evidence: another controller goes on, or there is nothing left to do."""
        self._evidence: Evidence | None = None
        self._after_rollback: IncreaseTracker | None = None
        self._looked_at = 0.0
        self._counted_from = 0.0
        self._rolled_back = 0
        """The revision of the rollback whose health check is under way."""

    def turn(self) -> float | None:
        """Do what is due; return the seconds until the next turn, or None if nothing is left to do.

        Raises StoreUnavailable. Then nothing has moved, and the next turn tries again.
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
        return self._watch(state, plan) if state.active else self._check_health(state, plan)

    # -- while the rollout is active ---------------------------------------------------------------

    def _watch(self, state: State, plan: RolloutPlan) -> float:
        self._after_rollback = None
        interval = plan.phases[state.phase].interval
        now = self._clock.monotonic()
        if self._evidence is None or self._evidence.attempt != state.attempt:
            self._evidence = Evidence(plan, state, self._risks, self._bounds)
            self._evidence.replay(self._store.looks(state.attempt))
            self._evidence.look(state, self._fleet(), 0.0)
            self._looked_at = now
        elif now - self._looked_at >= interval:
            watched = min(now - self._looked_at, _MAX_INTERVALS * interval)
            self._look(self._evidence, state, plan, watched)
            self._looked_at = now
        return max(0.0, min(_TURN, self._looked_at + interval - self._clock.monotonic()))

    def _look(self, evidence: Evidence, state: State, plan: RolloutPlan, seconds: float) -> None:
        processes = self._fleet()
        phase = plan.phases[state.phase]
        live = {process.component for process in processes if process.live}
        result = evidence.look(state, processes, seconds)
        result = replace(result, missing=tuple(c for c in phase.components if c not in live))
        self._decide(state, plan, result)

    def _decide(self, state: State, plan: RolloutPlan, result: LookResult) -> None:
        now = self._clock.time()
        try:
            self._commit(state, lambda: decide(state, plan, result, now, self._name()))
        except FlagsChanged as error:  # by hand, and the next step must not undo that
            reason = f"somebody changed the flags: {error}; `resume` sets that again"
            self._commit(state, lambda: pause(state, plan, now, self._name(), reason))

    def _commit(self, state: State, make: Callable[[], Move]) -> None:
        """Make a move on this state; do nothing if the rollout has moved since. Raises FlagsChanged."""

        def unless_overtaken(present: State | None) -> Move:
            if present is None or present.revision != state.revision:
                raise _Overtaken
            return make()

        try:
            move = self._store.commit(unless_overtaken)
        except _Overtaken:
            return
        if move.record is not None:
            self._report(move.record)

    # -- after a rollback --------------------------------------------------------------------------

    def _check_health(self, state: State, plan: RolloutPlan) -> float:
        """Do the next of three parts: begin to wait, note where the counters stand, examine."""
        now = self._clock.monotonic()
        if self._rolled_back != state.revision:
            self._rolled_back, self._looked_at = state.revision, now
            self._evidence, self._after_rollback = None, None
        elif now - self._looked_at >= _SETTLE:
            processes = self._fleet()
            self._looked_at = now
            if self._after_rollback is None:
                self._after_rollback = IncreaseTracker(len(self._bounds) + 1)
                self._after_rollback.since_last(processes)
                self._counted_from = now
            else:
                # A copy, so that the next look counts from the same moment on.
                increase = copy(self._after_rollback).since_last(processes)
                assert increase is not None
                self._examine(state, plan, processes, increase)
        return _TURN

    def _examine(
        self,
        state: State,
        plan: RolloutPlan,
        processes: Sequence[Process],
        increase: Increase,
    ) -> None:
        off = [name for name, risk in self._risks.items() if risk in state.rolled_back]
        findings = examine(
            state,
            processes,
            increase,
            off,
            store=self._store.probe(),
            control=failed_in_control(state),
            margin=plan.guardrails.errors,
        )
        waited = self._clock.monotonic() - self._counted_from
        unsure = not all(each.conclusive for each in findings)
        if unsure and waited < _LONGEST_CHECK and not any(each.problem for each in findings):
            return  # more answers will tell

        def checked() -> Move:
            done = replace(state, revision=state.revision + 1, check_due=False)
            record = record_of(
                done,
                plan,
                self._clock.time(),
                self._name(),
                "health check",
                reason=conclusion(findings),
                numbers={each.name: msgspec.to_builtins(each) for each in findings},
            )
            return Move(state=done, record=record)

        self._commit(state, checked)
