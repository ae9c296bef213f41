"""`cachemw flags`: what is switched on, and switching it live."""

from __future__ import annotations

import click
from click.core import ParameterSource

from cachemw.cli.options import (
    Where,
    config_option,
    fleet_cache,
    fleet_redis,
    output,
    reaching,
    table,
)
from cachemw.cli.options import read_config as read
from cachemw.config import Config
from cachemw.rollout.flags import RISKS, Flags

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

    NAME is low, medium, high, route:NAME, kill or holdout; STATE is on, off, canary 10%, for the
    holdout a share such as 2%, or default for what the configuration says.
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
    states, live = current.states(), current.live
    rows = [
        [risk, config.flags.get(risk, "on"), live.classes.get(risk, "-"), states[risk]]
        for risk in RISKS
    ]
    for route in config.routes:
        configured = config.route_flags.get(route.name) or ("on" if route.enabled else "off")
        flag = f"route:{route.name}"
        rows.append([flag, configured, live.routes.get(route.name, "-"), states[flag]])
    holdout = "-" if live.holdout is None else f"{live.holdout * 100:g}%"
    held_out = ["holdout", f"{config.holdout * 100:g}%", holdout, states["holdout"]]
    killed = ["kill", "on" if config.kill else "off", "on" if live.kill else "-", states["kill"]]
    if current.killed:
        rows = [[*row[:3], "off"] for row in rows]
    output().print(table(["flag", "configured", "live", "effective"], [*rows, held_out, killed]))
