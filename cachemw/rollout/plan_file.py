"""The plan file that `cachemw rollout plan` writes: the default plan, fitted to a configuration."""

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
from cachemw.config.sources import read_toml
from cachemw.config.syntax.decode import options_of
from cachemw.errors import ConfigError, Problem

__all__ = ["default_plan", "own_plan", "plan_text"]

_HEAD = """\
# The plan of a rollout. Start it with: cachemw rollout start --plan FILE
#
# A phase turns the cache on for the routes of its risk classes, step by step. The last step
# is watched for the phase's whole duration, each step before it for an equal part of that. If a guardrail
# fails, the phase is turned off at once. If a guardrail has too little evidence at the end of a step, the
# rollout stays in that step.
"""


def own_plan(config: Config) -> dict[str, Any]:
    """Return the plan that the configuration names, else the default plan.

    Raises ConfigError if that file cannot be read, or no route can be cached.
    """
    path = config.rollout.plan
    return default_plan(config) if path is None else read_toml(path)


def default_plan(config: Config) -> dict[str, Any]:
    """Return the default plan with the keys of a plan file, fitted to a configuration.

    Raises ConfigError if no route of the configuration can be cached.
    """
    phases = []
    for phase in DEFAULT["phases"]:
        watch = phase.get("watch", GUARDRAILS)
        if config.memory.planned_size is None:
            watch = [name for name in watch if name != "memory"]
        if any(route.risk in phase["risks"] and route.methods for route in config.routes):
            fitted = {"watch": list(watch), "components": [config.component]}
            phases.append({**phase, **fitted})
    if not phases:
        message = "no route can be cached, so there is nothing to roll out"
        raise ConfigError([Problem("routes", message)], "the configuration")
    return {"phases": phases}


def plan_text(config: Config) -> str:
    """Return the default plan as TOML, with every option and its help."""
    written = default_plan(config)
    lines = [_HEAD]
    if config.memory.planned_size is None:
        lines.append("# Memory is not watched: set `memory.planned_size` to watch it.\n")
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
