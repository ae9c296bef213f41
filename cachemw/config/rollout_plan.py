"""The options of a rollout plan: phases, their steps, and the guardrails that end them.

Defaults are written as in a file, and are parsed like any other value. `DEFAULT` is the plan of a
deployment without a plan of its own: three phases, ordered by the cost of a wrong answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, ClassVar

from cachemw.config.checks.warnings import health_check_warning
from cachemw.config.model import Config
from cachemw.config.sources import read_toml
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Parser,
    Rule,
    Setting,
    Settings,
    list_of,
    option,
    required,
    settings,
    table,
)
from cachemw.config.syntax.flag import FULL, parse_flag, parse_holdout, share_of
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.raw_types import Duration, Names, RawTable
from cachemw.errors import ConfigError, Problem

__all__ = [
    "DEFAULT",
    "GUARDRAILS",
    "GuardrailSettings",
    "Phase",
    "RolloutPlan",
    "fit",
    "gated_flags",
    "load_plan",
    "plan_from",
    "uncovered",
]

GUARDRAILS = ("errors", "latency", "misses", "hits", "memory")

_PER_CENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%", re.ASCII)


def _share(value: object) -> float:
    """Parse a share, "0.5%" or 0.005; 0 and 1 are excluded."""
    share = value
    if isinstance(value, str) and (found := _PER_CENT.fullmatch(value)):
        share = float(Decimal(found[1]) / 100)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(
            f'expected a share above 0% and below 100%, such as "0.5%", got {show(value)}'
        )
    return float(share)


def _factor(value: object) -> float:
    """Parse a factor of `memory.planned_size`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 100:
        raise ValueError(f"expected a factor from 1 to 100, such as 1.2, got {show(value)}")
    return float(value)


def _plan_holdout(value: object) -> float:
    """Parse the share of requests that bypass the cache. It becomes a live flag, so its steps are 0.01%."""
    share = parse_holdout(value)
    if not share:
        raise ValueError(
            f"expected a share above 0%, got {show(value)}: a rollout needs requests to compare with"
        )
    steps = share * FULL
    if abs(steps - round(steps)) > 1e-6 or steps < 1 - 1e-6:
        raise ValueError(
            f'expected at most two decimals of a per cent, such as "0.01%", got {show(value)}'
        )
    return share


SHARE = Parser(_share, 'a share such as "0.5%"')
FACTOR = Parser(_factor, "a factor from 1 to 100")
STEP = Parser(parse_flag, '"shadow", "canary 10%" or "on"')
WATCHED = v.names(v.choice(*GUARDRAILS), at_least=1)


@settings
class GuardrailSettings(Settings):
    """How much harm is too much, and how sure the rollout must be before it rolls back."""

    errors: Setting[str | float, float] = option(
        SHARE,
        default="0.5%",
        help="Roll back if this many percentage points more answers fail than without the cache.",
    )
    latency: Setting[str | float, float] = option(
        SHARE,
        default="20%",
        help="Roll back if the 95th percentile is slower by this share than without the cache.",
    )
    hits: Setting[str | float, float] = option(
        SHARE, default="40%", help="Roll back if the hit rate is below this."
    )
    memory: Setting[float, float] = option(
        FACTOR,
        default=1.2,
        help="Roll back if a process uses more than this many times `memory.planned_size`.",
    )
    alpha: Setting[str | float, float] = option(
        SHARE,
        default="1%",
        help="Maximum probability per phase that it is rolled back without any harm.",
    )
    dry_run: Setting[Names, tuple[str, ...]] = option(
        v.names(v.choice(*GUARDRAILS)),
        default=(),
        help="Guardrails that are only reported: they neither hold nor roll back.",
    )


def _steps_ascend(phase: Any) -> Iterator[Problem]:
    """Check that each step lets more keys use the cache than the one before, up to "on"."""
    for index, (before, after) in enumerate(pairwise(phase.steps), 1):
        unread = before is None or after is None
        if not unread and before != after and share_of(after) <= share_of(before):
            yield Problem(
                f"steps[{index}]",
                f"{show(after)} lets no more keys use the cache than the step before:"
                " put the steps in ascending order",
            )
    if not phase.steps or phase.steps[-1] not in ("on", None):
        yield Problem("steps", 'must end with "on": add it as the last step')
    if "off" in phase.steps:
        at = f"steps[{phase.steps.index('off')}]"
        yield Problem(at, '"off" cannot be a step: leave it out, a phase is off until it begins')


def _interval_fits_steps(phase: Any) -> Iterator[Problem]:
    """Check that the guardrails are checked at least once in each step."""
    if phase.steps and phase.interval > phase.duration / len(phase.steps):
        yield Problem(
            "interval",
            f"{phase.interval:g} s is longer than a step ({phase.duration / len(phase.steps):g} s):"
            " write a shorter interval or a longer duration",
        )


@settings
class Phase(Settings):
    """One phase: risk classes whose routes are turned on together, step by step."""

    name: Setting[str, str] = required(v.KEY, help="The name of the phase, unique in the plan.")
    risks: Setting[Names, tuple[str, ...]] = required(
        v.names(v.RISK, at_least=1), help="The risk classes whose routes it turns on."
    )
    duration: Setting[Duration, float] = required(
        v.positive_duration,
        help="How long the phase is watched fully on. Each step before takes an equal part of this time.",
    )
    interval: Setting[Duration, float] = option(
        v.positive_duration, default="1m", help="Time between two checks of the guardrails."
    )
    steps: Setting[Names, tuple[str, ...]] = option(
        v.names(STEP),
        default=("shadow", "canary 10%", "canary 50%", "on"),
        help='The flags that the risk classes get, one after the other. The last one is "on".',
    )
    watch: Setting[Names, tuple[str, ...]] = option(
        WATCHED,
        default=GUARDRAILS,
        help="The guardrails that must pass. If one fails, it rolls back.",
    )
    log_level: Setting[str, str] = option(
        v.LEVEL, default="info", help="The log level of requests to its routes during the phase."
    )
    components: Setting[Names, tuple[str, ...]] = option(
        v.names(v.KEY),
        default=(),
        help="Components that must each have a live process. Without one, no time counts.",
    )
    approve: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether the phase waits for `cachemw rollout approve` before it begins.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("steps",), _steps_ascend),
        Rule(("steps", "interval", "duration"), _interval_fits_steps),
    )

    def step_seconds(self, step: int) -> float:
        """Return how long a step is watched, in seconds: the last one for the whole `duration`."""
        last = step == len(self.steps) - 1
        return self.duration if last else self.duration / len(self.steps)

    @property
    def seconds(self) -> float:
        """How long all steps together are watched, in seconds."""
        return sum(map(self.step_seconds, range(len(self.steps))))


def _unique_risks_and_names(plan: Any) -> Iterator[Problem]:
    """Check that no two phases share a risk class or a name."""
    seen: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, phase in enumerate(plan.phases):
        for risk in filter(None, getattr(phase, "risks", ())):
            if seen.setdefault(risk, index) != index:
                yield Problem(
                    f"phases[{index}].risks",
                    f"{show(risk)} is already in phases[{seen[risk]}]: name it in one phase only",
                )
        name = getattr(phase, "name", f"#{index}")
        if names.setdefault(name, index) != index:
            yield Problem(
                f"phases[{index}].name",
                f"{show(name)} is already the name of phases[{names[name]}]: choose another",
            )
    if not plan.phases:
        yield Problem("phases", "expected at least one phase, got none: add [[phases]]")


def _steps_outlast_warm_up(plan: Any) -> Iterator[Problem]:
    """Check that something is left of each step when its warm-up is over."""
    for index, phase in enumerate(plan.phases):
        seconds = getattr(phase, "duration", 0.0) / max(1, len(getattr(phase, "steps", ())))
        if hasattr(phase, "duration") and plan.warm_up >= seconds:
            yield Problem(
                f"phases[{index}].duration",
                f"each step takes {seconds:g} s and ends before `warm_up` ({plan.warm_up:g} s):"
                " write a longer duration or a shorter warm_up",
            )


@settings
class RolloutPlan(Settings):
    """A rollout plan: all phases from the first to the last."""

    holdout: Setting[str | float, float] = option(
        Parser(_plan_holdout, 'a share of requests such as "5%"'),
        default="5%",
        help="The share of requests, chosen at random, that bypass the cache for comparison.",
    )
    warm_up: Setting[Duration, float] = option(
        v.duration,
        default="10m",
        help="How long hit rate and latency are not judged after a step: new keys have no entries yet.",
    )
    hold: Setting[Duration, float] = option(
        v.duration,
        default="1h",
        help="How long a step waits for missing evidence when its time is over. Then the rollout pauses.",
    )
    guardrails: Setting[GuardrailSettings | RawTable, GuardrailSettings] = option(
        table(GuardrailSettings), factory=dict, help="When the rollout rolls back."
    )
    phases: Setting[Sequence[Phase | RawTable], tuple[Phase, ...]] = option(
        list_of(table(Phase)), default=(), help="The phases, in order."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("phases",), _unique_risks_and_names),
        Rule(("phases", "warm_up"), _steps_outlast_warm_up),
    )


DEFAULT: Mapping[str, Any] = {
    "phases": (
        {
            "name": "low",
            "risks": ["low"],
            "duration": "4h",
            "interval": "30s",
            # No canary: with few URLs, a canary of 10 % of the keys may select none.
            "steps": ["shadow", "on"],
            "watch": ["errors", "latency", "misses", "memory"],
            "log_level": "debug",
        },
        {
            "name": "medium",
            "risks": ["medium"],
            "duration": "24h",
            "interval": "1m",
            "log_level": "debug",
        },
        {
            "name": "all",
            "risks": ["high"],
            "duration": "48h",
            "interval": "1m",
            "approve": True,
        },
    )
}
"""The three default phases, written as in a file."""


def plan_from(mapping: Mapping[str, Any], *, source: str = "plan") -> RolloutPlan:
    """Return the plan that a mapping describes. Raises ConfigError with every mistake in it."""
    try:
        return table(RolloutPlan)(mapping)
    except ConfigError as error:
        problems = list(error.problems)
    except ValueError as error:
        problems = [Problem("", str(error))]
    raise ConfigError(problems, source)


def load_plan(path: str | os.PathLike[str]) -> RolloutPlan:
    """Read a plan from a TOML file. Raises ConfigError, also if the file cannot be read."""
    return plan_from(read_toml(path), source=os.fspath(path))


def fit(plan: RolloutPlan, config: Config, *, source: str = "plan") -> list[str]:
    """Check a plan against the configuration that it rolls out. Return warnings; raise ConfigError."""
    problems = [
        Problem(
            f"phases[{index}].watch",
            '"memory" needs `memory.planned_size` in the configuration: set it, or leave "memory" out',
        )
        for index, phase in enumerate(plan.phases)
        if "memory" in phase.watch and config.memory.planned_size is None
    ]
    if config.kill:
        problems.append(
            Problem("kill", "the configuration has kill = true, so nothing can be rolled out")
        )
    if problems:
        raise ConfigError(problems, source)
    warnings = [warning for phase in plan.phases for warning in _warnings(phase, config)]
    return [*warnings, *uncovered(plan, config)]


def uncovered(plan: RolloutPlan, config: Config) -> Iterator[str]:
    """Yield a warning for each risk class with routes that no phase of the plan names."""
    for risk in dict.fromkeys(route.risk for route in config.routes if route.methods):
        if not any(risk in phase.risks for phase in plan.phases):
            names = ", ".join(r.name for r in config.routes if r.risk == risk and r.methods)
            state = config.flags.get(risk, "on")
            yield f"no phase names the risk class {risk!r} ({names}): it stays {state!r}, unwatched"


def gated_flags(plan: RolloutPlan, config: Config) -> dict[str, str]:
    """Return the configured flags of risk classes, with those of the plan off: it lets them in."""
    return {**config.flags, **{risk: "off" for phase in plan.phases for risk in phase.risks}}


def _warnings(phase: Phase, config: Config) -> Iterator[str]:
    """Yield what is allowed, but probably not what the operator wants."""
    routes = [route for route in config.routes if route.risk in phase.risks and route.methods]
    if not routes:
        yield f"phase {phase.name!r} has no routes: none has the risk {' or '.join(phase.risks)}"
    for route in routes:
        flag = config.route_flags.get(route.name) or ("on" if route.enabled else "off")
        if flag == "off":
            yield f"route {route.name!r} stays off: the configuration turns it off"
            continue
        if flag != "on":
            yield f"route {route.name!r} stays at {flag!r}: the configuration limits it"
        if warning := health_check_warning(route.name, route.path, route.mount):
            yield warning
