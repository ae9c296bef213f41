"""The command `cachemw rollout`: start, move and roll back a rollout.

A rollout has phases, one for some risk classes each, and a phase has steps such as `shadow`,
`canary 10%` and `on`. The plan says how long each takes and which guardrails watch it.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo, echo_json, make_table, make_text, open_console
from cachemw.cli.common.redis_access import (
    command_cache,
    redis_settings,
    reporting_redis_errors,
)
from cachemw.config.rollout_plan import RolloutPlan, fit, plan_from
from cachemw.config.sources import read_toml
from cachemw.rollout.manager import Rollout
from cachemw.rollout.plan_file import own_plan, plan_text
from cachemw.rollout.state import Record, State, plan_of

__all__ = ["rollout"]

_WITHOUT_REDIS = (
    "each process has a rollout of its own, which this command cannot reach."
    " Call cache.rollout.start() in the application"
)


@click.group(short_help="Turn the cache on step by step, and back on harm.")
def rollout() -> None:
    """Turn the cache on by risk class, step by step; roll back where a guardrail fails."""


@contextmanager
def _open_rollout(path: ConfigLocation, undone: str) -> Iterator[Rollout]:
    """Yield the rollout in Redis; see `reporting_redis_errors` for `undone`."""
    config = read_config(path)
    redis = redis_settings(config, _WITHOUT_REDIS)
    cache, _ = command_cache(config, _WITHOUT_REDIS)
    try:
        with reporting_redis_errors(redis, undone):
            yield cache.rollout
    finally:
        cache.close()


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container, the user may have no name
        return f"uid {os.getuid()}"


def _move_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that changes the rollout."""
    reason = click.option("--reason", default="", help="Why, for the history.")
    by = click.option(
        "--by",
        default=_user_name,
        show_default="the current user",
        help="Who does this, for the history.",
    )
    return config_option(by(reason(command)))


@rollout.command(short_help="Write a default plan, to be edited.")
@config_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="Write the plan to this new file instead of stdout; it must not exist.",
)
def plan(path: ConfigLocation, out: str | None) -> None:
    """Write a default plan for the configuration: three phases by risk class, to be edited.

    Its guardrails, durations and intervals are general defaults. Adapt them to your traffic.
    """
    config = read_config(path)
    text = plan_text(config)
    if out is None:
        echo(*text.removesuffix("\n").split("\n"))
    else:
        try:
            with Path(out).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise click.ClickException(f"{out} exists already: nothing was written") from error
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error.strerror}") from error


@rollout.command()
@_move_options
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    help="A plan file, such as `cachemw rollout plan` writes. Left out: `rollout.plan`, or the default.",
)
def start(path: ConfigLocation, plan_file: str | None, by: str, reason: str) -> None:
    """Start a rollout. Each risk class of the plan is off until a step turns it on."""
    config = read_config(path)
    plan_document = read_toml(plan_file) if plan_file else own_plan(config)
    source = plan_file or config.rollout.plan or "the default plan"
    for warning in fit(plan_from(plan_document, source=source), config, source=source):
        echo(f"warning: {warning}", err=True)
    with _open_rollout(path, "no rollout was started") as manager:
        _print(manager.start(plan_document, by=by, reason=reason))


def _add_move(name: str, move: Callable[..., State], done: str, about: str) -> None:
    """Add a command that changes the rollout in one way; `done` is that as a participle."""

    @rollout.command(name, help=about)
    @_move_options
    def command(path: ConfigLocation, by: str, reason: str) -> None:
        with _open_rollout(path, f"nothing was {done}") as manager:
            _print(move(manager, by=by, reason=reason))


for _move in (
    (
        "promote",
        Rollout.promote,
        "promoted",
        "Go on to the next step or phase now. No evidence is waited for.",
    ),
    ("approve", Rollout.approve, "approved", "Start the phase that waits for approval."),
    (
        "pause",
        Rollout.pause,
        "paused",
        "Stay in the current step. Guardrails keep watching and can still roll back.",
    ),
    (
        "resume",
        Rollout.resume,
        "resumed",
        "Go on after a pause. After a rollback, start the phase again from its first step.",
    ),
):
    _add_move(*_move)


@rollout.command(short_help="Turn off what the rollout turned on, and purge it.")
@_move_options
@click.option(
    "--phase",
    type=click.Choice(["current"]),
    help="Turn off the risk classes of the current phase. This is the default.",
)
@click.option(
    "--all",
    "--complete",
    "everything",
    is_flag=True,
    help="Turn off the risk classes of all phases, and end the holdout.",
)
def rollback(
    path: ConfigLocation, phase: str | None, everything: bool, by: str, reason: str
) -> None:
    """Turn off, in every process at once, what the rollout turned on, and purge what was stored.

    A health check follows automatically; see `cachemw rollout history` for its result.
    """
    if phase and everything:
        raise click.UsageError("give --phase current or --all, not both")
    undone = "nothing was rolled back. Without Redis, set CACHEMW_KILL=1 and restart the processes"
    with _open_rollout(path, undone) as manager:
        _print(manager.roll_back(everything=everything, by=by, reason=reason))


@rollout.command(short_help="Show the step, and the verdict of each guardrail.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(path: ConfigLocation, as_json: bool) -> None:
    """Show the current phase and step, and the last verdict of each guardrail."""
    with _open_rollout(path, "the state of the rollout is not known") as manager:
        state = manager.status()
    if as_json:
        echo_json(_as_document(state))
    elif state is None:
        echo("There is no rollout.")
    else:
        _print(state)


@rollout.command(short_help="Show the last decisions, and why.")
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the numbers behind each decision."
)
@click.option(
    "--count",
    default=50,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="How many decisions to show.",
)
def history(path: ConfigLocation, as_json: bool, count: int) -> None:
    """Show the last decisions, oldest first: when, by whom, what and why."""
    with _open_rollout(path, "the history is not known") as manager:
        records = manager.history(count)
    if as_json:
        echo_json([msgspec.to_builtins(each) for each in records])
        return
    rows = [_row(each) for each in records]
    open_console().print(make_table(["at", "by", "action", "phase", "step", "reason"], rows))


def _row(record: Record) -> list[str]:
    at = datetime.fromtimestamp(record.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return [at, record.by, record.action, record.phase, record.step, record.reason]


# -- printing --------------------------------------------------------------------------------------


def _as_document(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    plan = plan_of(state)
    phase = plan.phases[state.phase]
    flag, of = phase.steps[state.step], phase.step_seconds(state.step)
    current = {"phase_name": phase.name, "flag": flag, "of": of}
    return {**msgspec.to_builtins(state), **current}


def _print(state: State) -> None:
    console, plan = open_console(), plan_of(state)
    console.print(make_text(*_lines(state, plan)))
    rows = [
        [
            group,
            each.guardrail,
            each.verdict if _acts(each.guardrail, state, plan) else f"{each.verdict} (reported)",
            _format_evidence(each.evidence),
        ]
        for group, judgements in state.judged.items()
        for each in judgements
    ]
    if rows:
        console.print(make_table(["routes of", "guardrail", "verdict", "on"], rows))


def _acts(guardrail: str, state: State, plan: RolloutPlan) -> bool:
    """Tell whether a guardrail acts in this phase, or is only reported."""
    watched = (*plan.phases[state.phase].watch, "holdout")
    return guardrail in watched and guardrail not in plan.guardrails.dry_run


def _lines(state: State, plan: RolloutPlan) -> list[str]:
    phase = plan.phases[state.phase]
    where = f"phase {phase.name!r} ({state.phase + 1} of {len(plan.phases)})"
    if state.status != "rolled back":  # after a rollback no step is in effect
        where += f", step {phase.steps[state.step]!r} ({state.step + 1} of {len(phase.steps)})"
    lines = [f"Rollout {state.status}: {where}."]
    if state.rolled_back:
        lines.append(f"Turned off: {', '.join(state.rolled_back)}.")
    if state.active and state.status != "waiting":
        of = _format_seconds(phase.step_seconds(state.step))
        lines.append(f"Watched for {_format_seconds(state.watched)} of {of}.")
    if state.reason:
        lines.append(f"{state.reason[0].upper()}{state.reason[1:]}.")
    if state.refused:
        lines.append(
            f"Kept in shadow, because their answers would have done harm: {', '.join(state.refused)}."
        )
    return lines


def _format_seconds(seconds: float) -> str:
    return (
        time.strftime("%H:%M:%S", time.gmtime(seconds))
        if seconds < 86400
        else (f"{seconds / 3600:.1f} h")
    )


def _format_evidence(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
