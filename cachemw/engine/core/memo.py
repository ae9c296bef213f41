"""The plan memo: a bounded map from targets to plans.

A plan is everything about a target that is worked out once (`model.plan`). The memo has two
generations. New plans go into the young one. When it is full, it becomes the old one and the old one
is dropped. A plan that is found in the old generation moves to the young one, so plans in use stay.
The memo therefore holds at most two times `limit` bytes (I4), without a list in order of use.

There is no lock. Threads that race can lose a plan or count a weight twice; then the plan is made
again, or a generation ends early. Neither changes a response.
"""

from __future__ import annotations

from cachemw.engine.model.plan import Plan, weigh
from cachemw.engine.model.routes import Target

__all__ = ["PlanMemo"]

_MEMO_SIZE = 16_384
"""Plans in one generation."""
_HEAVY = 64
"""A plan may take at most this fraction of a generation, so that one target cannot push out the others."""


class PlanMemo:
    """The plans of the targets that were last asked for."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """The weight of each generation, in bytes."""
        self.young: dict[Target, Plan] = {}
        """The young generation. The fast path reads it directly; a call costs more than the lookup."""
        self._old: dict[Target, Plan] = {}
        self.weight = 0
        """The weight of the young generation, with everything that was added to its plans."""

    def known(self, target: Target) -> Plan | None:
        """Return the plan of a target, if there is one."""
        return self.young.get(target) or self.from_old(target)

    def from_old(self, target: Target) -> Plan | None:
        """Return the plan of a target that only the old generation has, and make it young again."""
        plan = self._old.get(target)
        if plan is not None:
            self.remember(target, plan)
        return plan

    def remember(self, target: Target, plan: Plan) -> None:
        """Store a plan.

        A plan that has become heavy, by plans for other headers or by variants, starts again without
        them: no client can make it grow without limit.
        """
        weight = weigh(plan)
        if weight * _HEAVY > self.limit:
            plan.others = plan.variants = None
            weight = weigh(plan)
            if weight * _HEAVY > self.limit:
                return
        self.add_weight(weight)
        self.young[target] = plan

    def add_weight(self, weight: int) -> None:
        """Count what is about to be added; start a new generation when that is too much."""
        if len(self.young) >= _MEMO_SIZE or self.weight + weight > self.limit:
            self._old, self.young, self.weight = self.young, {}, 0
        self.weight += weight
