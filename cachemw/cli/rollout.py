"""`cachemw rollout`: letting the cache in step by step, with proof, and taking it back."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from cachemw.cli.common.options import (
    Where,
    config_option,
    fleet_cache,
    fleet_redis,
    output,
    reaching,
    read_config,
    table,
)
from cachemw.config.rollout_plan import RolloutPlan, fit, plan_from
from cachemw.config.sources import read_toml
from cachemw.rollout.manager import Rollout
from cachemw.rollout.plan_file import default_plan, written_plan
from cachemw.rollout.state import Record, State, plan_of

__all__ = ["rollout"]

_ALONE = (
    "each process has a rollout of its own, where this command cannot reach it."
    " Call cache.rollout.start() in the application"
)


@click.group()
def rollout() -> None:
    """Let the cache in by risk class, step by step; it proves itself or takes itself back."""


@contextmanager
def _reached(path: Where, undone: str) -> Iterator[Rollout]:
    config = read_config(path)
    redis = fleet_redis(config, _ALONE)
    cache, _ = fleet_cache(config, _ALONE)
    try:
        with reaching(redis, undone):
            yield cache.rollout
    finally:
        cache.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return f"uid {os.getuid()}"


def _moving(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that moves the rollout its options."""
    command = click.option("--reason", default="", help="Why, for the history.")(command)
    by = click.option("--by", default=_user, show_default="the user", help="Who, for the history.")
    return config_option(by(command))


@rollout.command()
@config_option
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    help="Write it to a file, which must not be there yet.",
)
def plan(path: Where, out: str | None) -> None:
    """Write the plan that suits the configuration: three phases, by risk, to be edited.

    Its guardrails, durations and intervals are those of a deployment of which nothing else is known.
    """
    config = read_config(path)
    text = written_plan(config)
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            with Path(out).open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise click.ClickException(f"{out} is there already: nothing was written") from error
        except OSError as error:
            raise click.ClickException(f"{out} cannot be written: {error.strerror}") from error


@rollout.command()
@_moving
@click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    help="A plan as `cachemw rollout plan` writes it. Left out: that one itself.",
)
def start(path: Where, plan_file: str | None, by: str, reason: str) -> None:
    """Begin a rollout. Every class that it will let in is off, but for its first step."""
    config = read_config(path)
    written = read_toml(plan_file) if plan_file else default_plan(config)
    source = plan_file or "the default plan"
    for warning in fit(plan_from(written, source=source), config, source=source):
        click.echo(f"warning: {warning}", err=True)
    with _reached(path, "no rollout was started") as reached:
        _print(reached.start(written, by=by, reason=reason))


def _add_move(name: str, move: Callable[..., State], undone: str, about: str) -> None:
    """Add a command that makes one move."""

    @rollout.command(name, help=about)
    @_moving
    def command(path: Where, by: str, reason: str) -> None:
        with _reached(path, f"nothing was {undone}") as reached:
            _print(move(reached, by=by, reason=reason))


for _move in (
    (
        "promote",
        Rollout.promote,
        "promoted",
        "Go on to the next step or phase now, whatever the evidence.",
    ),
    ("approve", Rollout.approve, "approved", "Let the phase begin that waits to be approved."),
    (
        "pause",
        Rollout.pause,
        "paused",
        "Stay in the present step. Guardrails go on watching, and roll back.",
    ),
    (
        "resume",
        Rollout.resume,
        "resumed",
        "Go on after a pause; after a rollback begin the phase again from its first step.",
    ),
):
    _add_move(*_move)


@rollout.command()
@_moving
@click.option(
    "--phase",
    type=click.Choice(["current"]),
    help="Turn off what the present phase lets in. This is what is done without options.",
)
@click.option("--all", "everything", is_flag=True, help="Turn off what every phase lets in.")
def rollback(path: Where, phase: str | None, everything: bool, by: str, reason: str) -> None:
    """Take the cache back, at once and everywhere, and purge what was stored.

    A health check follows by itself: see `cachemw rollout history`.
    """
    if phase and everything:
        raise click.UsageError("--phase current and --all exclude each other")
    undone = (
        "nothing was rolled back. CACHEMW_KILL=1 and a restart turn the cache off without Redis"
    )
    with _reached(path, undone) as reached:
        _print(reached.roll_back(everything=everything, by=by, reason=reason))


@rollout.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(path: Where, as_json: bool) -> None:
    """Show where the rollout stands, and what the guardrails said at the last look."""
    with _reached(path, "nothing is known of the rollout") as reached:
        found = reached.status()
    if as_json:
        click.echo(json.dumps(_document(found), indent=2))
    elif found is None:
        click.echo("There is no rollout.")
    else:
        _print(found)


@rollout.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all numbers.")
@click.option("--count", default=50, show_default=True, type=click.IntRange(1, 10_000))
def history(path: Where, as_json: bool, count: int) -> None:
    """Show the last decisions, the oldest first: who, what, why, and on which numbers."""
    with _reached(path, "the history is not known") as reached:
        records = reached.history(count)
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(each) for each in records], indent=2))
        return
    rows = [_row(each) for each in records]
    output().print(table(["at", "by", "action", "phase", "step", "reason"], rows))


def _row(record: Record) -> list[str]:
    at = datetime.fromtimestamp(record.at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return [at, record.by, record.action, record.phase, record.step, record.reason]


# -- printing --------------------------------------------------------------------------------------


def _document(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    read = plan_of(state)
    phase = read.phases[state.phase]
    more = {"phase_name": phase.name, "flag": phase.steps[state.step], "of": phase.step_seconds}
    return {**msgspec.to_builtins(state), **more}


def _print(state: State) -> None:
    console = output()
    console.print(Text("\n".join(_lines(state, plan_of(state)))))
    rows = [
        [group, each.guardrail, each.verdict, _evidence(each.evidence)]
        for group, judgements in state.judged.items()
        for each in judgements
    ]
    if rows:
        console.print(table(["routes of", "guardrail", "verdict", "on"], rows))


def _lines(state: State, plan: RolloutPlan) -> list[str]:
    phase = plan.phases[state.phase]
    where = f"phase {phase.name!r} ({state.phase + 1} of {len(plan.phases)})"
    if state.status != "rolled back":  # then no step counts any more
        where += f", step {phase.steps[state.step]!r} ({state.step + 1} of {len(phase.steps)})"
    lines = [f"Rollout {state.status}: {where}."]
    if state.rolled_back:
        lines.append(f"Turned off: {', '.join(state.rolled_back)}.")
    if state.active and state.status != "waiting":
        lines.append(f"Watched for {_span(state.watched)} of {_span(phase.step_seconds)}.")
    if state.reason:
        lines.append(f"{state.reason[0].upper()}{state.reason[1:]}.")
    if state.refused:
        lines.append(f"Kept in shadow, for they would have been wrong: {', '.join(state.refused)}.")
    return lines


def _span(seconds: float) -> str:
    return (
        time.strftime("%H:%M:%S", time.gmtime(seconds))
        if seconds < 86400
        else (f"{seconds / 3600:.1f} h")
    )


def _evidence(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
