"""What an operator writes about a rollout: phases, their steps, and when to go back.

Defaults stand as they would be written in a file, and are parsed like anything else. `DEFAULT` is the
plan of a deployment that nobody has thought about yet: three phases, by what a wrong answer would cost.
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
    "load_plan",
    "plan_from",
]

GUARDRAILS = ("errors", "latency", "misses", "hits", "memory")


_PER_CENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%", re.ASCII)


def _share(value: object) -> float:
    """Read a share, "0.5%" or 0.005."""
    share = value
    if isinstance(value, str) and (found := _PER_CENT.fullmatch(value)):
        share = float(Decimal(found[1]) / 100)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f'expected a share between none and all as "0.5%", got {show(value)}')
    return float(share)


def _factor(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value <= 100:
        raise ValueError(f"expected a factor from 1 to 100 as 1.2, got {show(value)}")
    return float(value)


def _held_out(value: object) -> float:
    share = parse_holdout(value)
    if not share:
        raise ValueError("expected more than none: there would be nothing to compare with")
    steps = share * FULL
    if abs(steps - round(steps)) > 1e-6 or steps < 1 - 1e-6:  # it becomes a live flag
        raise ValueError(f'expected hundredths of a per cent as "0.01%", got {show(value)}')
    return share


SHARE = Parser(_share, 'a share as "0.5%"')
FACTOR = Parser(_factor, "a factor from 1 to 100")
STEP = Parser(parse_flag, '"shadow", "canary 10%" or "on"')
WATCHED = v.names(v.choice(*GUARDRAILS), at_least=1)


@settings
class GuardrailSettings(Settings):
    """The guardrails' margins, and how sure one has to be before going back."""

    errors: Setting[str | float, float] = option(
        SHARE, default="0.5%", help="Roll back where this share more of the answers fails."
    )
    latency: Setting[str | float, float] = option(
        SHARE, default="20%", help="Roll back where the slowest in twenty are slower by this share."
    )
    hits: Setting[str | float, float] = option(
        SHARE, default="40%", help="Roll back where the hit rate is below."
    )
    memory: Setting[float, float] = option(
        FACTOR, default=1.2, help="Roll back where a process takes more, in planned sizes."
    )
    alpha: Setting[str | float, float] = option(
        SHARE, default="1%", help="How probable a rollback of a phase without any harm may be."
    )
    dry_run: Setting[Names, tuple[str, ...]] = option(
        v.names(v.choice(*GUARDRAILS)),
        default=(),
        help="Guardrails that are judged and told of, and do not act.",
    )


def _ordered(phase: Any) -> Iterator[Problem]:
    for index, (before, after) in enumerate(pairwise(phase.steps), 1):
        unread = before is None or after is None
        if not unread and before != after and share_of(after) <= share_of(before):
            yield Problem(f"steps[{index}]", f"{show(after)} lets in no more than the step before")
    if not phase.steps or phase.steps[-1] not in ("on", None):
        yield Problem("steps", 'must end with "on": that is what the phase is for')
    if "off" in phase.steps:
        at = f"steps[{phase.steps.index('off')}]"
        yield Problem(at, '"off" is no step: a phase that has not begun is off')


def _looked_at(phase: Any) -> Iterator[Problem]:
    if phase.steps and phase.interval > phase.duration / len(phase.steps):
        yield Problem("interval", "is longer than a step, which nobody would look at then")


@settings
class Phase(Settings):
    """One phase: risk classes that are let in together, step by step."""

    name: Setting[str, str] = required(v.KEY, help="What the phase is called.")
    risks: Setting[Names, tuple[str, ...]] = required(
        v.names(v.RISK, at_least=1), help="The risk classes that it lets in."
    )
    duration: Setting[Duration, float] = required(
        v.positive_duration, help="How long it is watched in all; its steps have equal parts of it."
    )
    interval: Setting[Duration, float] = option(
        v.positive_duration, default="1m", help="How often the guardrails look."
    )
    steps: Setting[Names, tuple[str, ...]] = option(
        v.names(STEP),
        default=("shadow", "canary 10%", "canary 50%", "on"),
        help='How far it lets in, in this order; the last one is "on".',
    )
    watch: Setting[Names, tuple[str, ...]] = option(
        WATCHED, default=GUARDRAILS, help="The guardrails that must pass, and roll back."
    )
    log_level: Setting[str, str] = option(
        v.LEVEL, default="info", help="The level of its classes' request lines meanwhile."
    )
    components: Setting[Names, tuple[str, ...]] = option(
        v.names(v.KEY),
        default=(),
        help="Components of which a process must be there; while there is none, no time counts.",
    )
    approve: Setting[bool, bool] = option(
        v.boolean, default=False, help="Whether it begins only when somebody approves."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("steps",), _ordered),
        Rule(("steps", "interval", "duration"), _looked_at),
    )

    @property
    def step_seconds(self) -> float:
        """How long one step is watched."""
        return self.duration / len(self.steps)


def _disjoint(plan: Any) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    names: dict[str, int] = {}
    for index, phase in enumerate(plan.phases):
        for risk in filter(None, getattr(phase, "risks", ())):
            if seen.setdefault(risk, index) != index:
                yield Problem(
                    f"phases[{index}].risks",
                    f"{show(risk)} is let in by phases[{seen[risk]}] already",
                )
        name = getattr(phase, "name", f"#{index}")
        if names.setdefault(name, index) != index:
            yield Problem(
                f"phases[{index}].name", f"{show(name)} is the name of phases[{names[name]}]"
            )
    if not plan.phases:
        yield Problem("phases", "expected at least one, got none")


def _warms_up(plan: Any) -> Iterator[Problem]:
    for index, phase in enumerate(plan.phases):
        seconds = getattr(phase, "duration", 0.0) / max(1, len(getattr(phase, "steps", ())))
        if hasattr(phase, "duration") and plan.warm_up >= seconds:
            yield Problem(
                f"phases[{index}].duration",
                f"its steps take {seconds:g} s each and are over before `warm_up`"
                f" ({plan.warm_up:g} s) is",
            )


@settings
class RolloutPlan(Settings):
    """A rollout from the first phase to the last."""

    holdout: Setting[str | float, float] = option(
        Parser(_held_out, 'a share of requests as "5%"'),
        default="5%",
        help="The share of requests that goes past the cache, to compare the others with.",
    )
    warm_up: Setting[Duration, float] = option(
        v.duration,
        default="10m",
        help="How long after each step hits and times are not judged: what is new is cold.",
    )
    hold: Setting[Duration, float] = option(
        v.duration,
        default="1h",
        help="How long a step waits for evidence when its time is over; then the rollout pauses.",
    )
    guardrails: Setting[GuardrailSettings | RawTable, GuardrailSettings] = option(
        table(GuardrailSettings), factory=dict, help="When to go back."
    )
    phases: Setting[Sequence[Phase | RawTable], tuple[Phase, ...]] = option(
        list_of(table(Phase)), default=(), help="The phases, in order."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("phases",), _disjoint),
        Rule(("phases", "warm_up"), _warms_up),
    )


DEFAULT: Mapping[str, Any] = {
    "phases": (
        {
            "name": "low",
            "risks": ["low"],
            "duration": "4h",
            "interval": "30s",
            # Its routes have a few keys: of a tenth of them there may be none.
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
"""The owner's three phases (R29-R31), as they would be written."""


def plan_from(mapping: Mapping[str, Any], *, source: str = "plan") -> RolloutPlan:
    """Decode a plan. Raises ConfigError with every mistake in it."""
    try:
        return table(RolloutPlan)(mapping)
    except ConfigError as error:
        problems = list(error.problems)
    except ValueError as error:
        problems = [Problem("", str(error))]
    raise ConfigError(problems, source)


def load_plan(path: str | os.PathLike[str]) -> RolloutPlan:
    """Read a plan's TOML file. Raises ConfigError, also for a file that cannot be read."""
    return plan_from(read_toml(path), source=os.fspath(path))


def fit(plan: RolloutPlan, config: Config, *, source: str = "plan") -> list[str]:
    """Check a plan against what it is to roll out, and give warnings. Raises ConfigError."""
    problems = [
        Problem(
            f"phases[{index}].watch",
            '"memory" can be judged only where `memory.planned_size` says what was planned',
        )
        for index, phase in enumerate(plan.phases)
        if "memory" in phase.watch and config.memory.planned_size is None
    ]
    if config.kill:
        problems.append(Problem("kill", "the configuration turns the whole cache off"))
    if problems:
        raise ConfigError(problems, source)
    return [warning for phase in plan.phases for warning in _warnings(phase, config)]


def _warnings(phase: Phase, config: Config) -> Iterator[str]:
    routes = [route for route in config.routes if route.risk in phase.risks and route.methods]
    if not routes:
        yield f"phase {phase.name!r} lets in no route: none is of risk {', '.join(phase.risks)}"
    for route in routes:
        flag = config.route_flags.get(route.name) or ("on" if route.enabled else "off")
        if flag == "off":
            yield f"route {route.name!r} stays off: the configuration says so"
            continue
        if flag != "on":
            yield f"route {route.name!r} comes no further than {flag!r}: the configuration says so"
        if warning := health_check_warning(route):
            yield warning
