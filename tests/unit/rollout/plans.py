"""Plans for the tests, as they would be written."""

from __future__ import annotations

from typing import Any

from cachemw.config.rollout_plan import RolloutPlan, plan_from
from cachemw.rollout.guardrails.guardrails import Margins
from cachemw.rollout.state import State
from cachemw.rollout.transitions import begin

__all__ = ["AT", "BY", "begun", "default_margins", "plan", "written"]

AT, BY = 1_800_000_000.0, "ada"


def written(**changed: Any) -> dict[str, Any]:
    """Give a plan of three short phases; the last waits for approval."""
    watch = ["errors", "latency", "misses", "hits", "memory"]
    common = {"duration": 40, "interval": 1, "steps": ["shadow", "canary 10%", "on"]}
    return {
        "holdout": "5%",
        "warm_up": 4,
        "hold": 10,
        "phases": [
            {"name": "one", "risks": ["low"], **common, "watch": watch, "log_level": "debug"},
            {"name": "two", "risks": ["medium"], **common, "watch": watch},
            {"name": "three", "risks": ["high"], **common, "watch": watch, "approve": True},
        ],
        **changed,
    }


def plan(**changed: Any) -> RolloutPlan:
    return plan_from(written(**changed))


def begun(**changed: Any) -> State:
    """Give a rollout that has just begun."""
    return begin(plan(**changed), written(**changed), None, AT, BY, "").state


def default_margins() -> Margins:
    """Return the margins of a plan that says nothing of guardrails, over four hours."""
    return Margins(
        holdout=0.05,
        errors=0.005,
        latency=0.2,
        hits=0.4,
        memory=1.2,
        alpha=0.01,
        seconds=4 * 3600.0,
        bet_every=300.0,
    )
