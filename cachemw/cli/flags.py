"""`cachemw flags`: what is switched on, and switching it live."""

from __future__ import annotations

import click
from click.core import ParameterSource

from cachemw.cli.common.options import (
    Where,
    config_option,
    fleet_cache,
    fleet_redis,
    output,
    reaching,
    table,
)
from cachemw.cli.common.options import read_config as read
from cachemw.config import Config
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import HOLDOUT, RISKS

__all__ = ["flags"]

_ALONE = (
    "each process has live flags of its own, where this command cannot reach them. Call"
    " cache.flags.set() in the application, or set CACHEMW_FLAGS or CACHEMW_KILL and restart it"
)


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def flags(ctx: click.Context, path: Where) -> None:
    """Show every flag: as configured, as set live, and what comes of both."""
    if ctx.invoked_subcommand is None:
        config = read(path)
        _print(config, _live(config))


@flags.command("set")
@config_option
@click.argument("settings", nargs=-1, required=True, metavar="NAME=STATE...")
@click.pass_context
def set_flags(ctx: click.Context, path: Where, settings: tuple[str, ...]) -> None:
    """Set flags in every process, within a second.

    NAME is low, medium, high, route:NAME, kill, holdout or level:RISK; STATE is on, off, shadow,
    canary 10%, for the holdout a share such as 2%, for a level debug, info, warning or error, or
    default for what the configuration says.
    """
    given = ctx.get_parameter_source("path")
    if given is not ParameterSource.COMMANDLINE and ctx.parent is not None:
        path = ctx.parent.params["path"]  # `cachemw flags --config FILE set ...`
    config = read(path)
    wanted = _wanted(settings)
    current = _live(config, wanted)
    _print(config, current)


def _wanted(settings: tuple[str, ...]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for setting in settings:
        name, equals, state = setting.partition("=")
        if not equals:
            raise click.UsageError(f"expected low=on or route:NAME=off, got {setting!r}")
        if wanted.setdefault(name, state) != state:
            raise click.UsageError(f"{name} is given twice")
    return wanted


def _live(config: Config, wanted: dict[str, str] | None = None) -> Flags:
    """Read the live flags from Redis; change them first, if that is wanted."""
    undone = "no flag was changed" if wanted else "the live flags are not known"
    redis = fleet_redis(config, _ALONE)
    cache, log = fleet_cache(config, _ALONE)
    try:
        with reaching(redis, undone):
            document = log.flags.read()
        if document is not None:
            cache.flags.receive(document)
        if wanted and not cache.flags.set(wanted):
            raise click.ClickException(f"Redis at {redis.safe_url} takes no writes: {undone}")
    finally:
        cache.close()
    return cache.flags


def _print(config: Config, current: Flags) -> None:
    console = output()
    columns = ["flag", "configured", "live", "local", "effective"]
    console.print(table(columns, [*_rows(config, current), *_other_rows(config, current)]))
    console.print(f"Revision {current.live.revision}.")


def _rows(config: Config, current: Flags) -> list[list[str]]:
    """Give the rows of the flags that the kill switch turns off."""
    states, live = current.states(), current.live
    rows = [(risk, config.flags.get(risk, "on"), live.classes.get(risk, "-")) for risk in RISKS]
    for route in config.routes:
        configured = config.route_flags.get(route.name) or ("on" if route.enabled else "off")
        rows.append((f"route:{route.name}", configured, live.routes.get(route.name, "-")))
    return [
        [*row, _local(config, current, row[0]), "off" if current.killed else states[row[0]]]
        for row in rows
    ]


def _other_rows(config: Config, current: Flags) -> list[list[str]]:
    states, live = current.states(), current.live
    holdout = "-" if live.holdout is None else f"{live.holdout * 100:g}%"
    rows = [
        (HOLDOUT, f"{config.holdout * 100:g}%", holdout, states[HOLDOUT]),
        ("kill", "on" if config.kill else "off", "on" if live.kill else "-", states["kill"]),
    ]
    for risk, level in current.levels.items():
        configured = config.log_levels.get(risk, "-")
        rows.append((f"level:{risk}", configured, live.levels.get(risk, "-"), level))
    return [[*row[:3], _local(config, current, row[0]), row[3]] for row in rows]


def _local(config: Config, current: Flags, name: str) -> str:
    """Give what this machine's file says; nothing where the configuration names none."""
    return "" if config.flags_file is None else str(current.local.get(name, "-"))
