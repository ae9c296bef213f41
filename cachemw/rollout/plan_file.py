"""The plan that `cachemw rollout plan` writes: the default one, fitted to a configuration, to be edited."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cachemw.config import Config
from cachemw.config.rollout_plan import (
    DEFAULT,
    GUARDRAILS,
    GuardrailSettings,
    Phase,
    RolloutPlan,
    fit,
    plan_from,
)
from cachemw.config.syntax.decode import options_of
from cachemw.errors import ConfigError, Problem

__all__ = ["default_plan", "written_plan"]

_HEAD = """\
# How the cache is let in. Begin with: cachemw rollout start --plan FILE
#
# A phase lets in the routes of its risk classes, step by step, and watches each step for an equal part
# of its duration. A guardrail that fails turns the phase off at once; one that has not enough evidence
# at the end of a step holds it.
"""


def default_plan(config: Config) -> dict[str, Any]:
    """Give the default plan, as it would be written, fitted to a configuration.

    Raises ConfigError where there is nothing to roll out.
    """
    phases = []
    for phase in DEFAULT["phases"]:
        watch = phase.get("watch", GUARDRAILS)
        if config.memory.planned_size is None:
            watch = [name for name in watch if name != "memory"]
        if any(route.risk in phase["risks"] and route.methods for route in config.routes):
            here = {"watch": list(watch), "components": [config.component]}
            phases.append({**phase, **here})
    if not phases:
        message = "none of them can be cached: there is nothing to roll out"
        raise ConfigError([Problem("routes", message)], "the configuration")
    return {"phases": phases}


def plan_text(config: Config) -> str:
    """Write the default plan as TOML, with every option in it."""
    written = default_plan(config)
    lines = [_HEAD]
    if config.memory.planned_size is None:
        lines.append("# Memory is not watched: say in `memory.planned_size` what was planned.\n")
    lines += [f"# Warning: {each}\n" for each in fit(plan_from(written), config)]
    lines += _table(RolloutPlan, {}, without=("guardrails", "phases"))
    lines += ["\n[guardrails]\n", *_table(GuardrailSettings, {})]
    for phase in written["phases"]:
        routes = [r.name for r in config.routes if r.risk in phase["risks"] and r.methods]
        lines += ["\n[[phases]]", f"  # Lets in: {', '.join(routes)}\n", *_table(Phase, phase)]
    return "".join(lines)


def _table(cls: Any, given: Mapping[str, Any], without: tuple[str, ...] = ()) -> Iterator[str]:
    for name, option in options_of(cls).items():
        if name not in without:
            value = given.get(name, option.default)
            yield f"{name} = {json.dumps(value)}  # {option.help}\n"
