"""The command `cachemw flags`: show and change the live flags.

A flag is `on`, `off`, `shadow` or `canary N %`, for a risk class or a route. Live flags are one
document in Redis, which every process follows. They count before the configuration's own flags.
"""

from __future__ import annotations

import click
from click.core import ParameterSource

from cachemw.cli.common.completion import complete_flag
from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo_json, make_table, open_console
from cachemw.cli.common.redis_access import (
    command_cache,
    redis_settings,
    reporting_redis_errors,
)
from cachemw.config import Config
from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import HOLDOUT, RISKS

__all__ = ["flags"]

_WITHOUT_REDIS = (
    "each process has live flags of its own, where this command cannot reach them. Call"
    " cache.flags.set() in the application, or set CACHEMW_FLAGS or CACHEMW_KILL and restart it"
)

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(invoke_without_command=True, short_help="Show or change the live flags.")
@config_option
@_json_option
@click.pass_context
def flags(ctx: click.Context, path: ConfigLocation, as_json: bool) -> None:
    """Show every flag: as configured, as set live, and the result of both."""
    if ctx.invoked_subcommand is None:
        config = read_config(path)
        _print(config, _live_flags(config), as_json)


@flags.command("set")
@config_option
@click.argument(
    "settings", nargs=-1, required=True, metavar="NAME=STATE...", shell_complete=complete_flag
)
@_json_option
@click.pass_context
def set_flags(
    ctx: click.Context, path: ConfigLocation, settings: tuple[str, ...], as_json: bool
) -> None:
    """Set flags in every process that shares this Redis, within a second.

    \b
    low=, medium=, high=    on, off, shadow or "canary 10%", for a risk class
    route:NAME=             the same, for one route
    kill=                   on or off; on turns the cache off everywhere
    holdout=                the share of requests that never use the cache: 2%
    level:RISK=             the log level: debug, info, warning or error

    The state `default` removes the live setting: the configuration counts again.
    """
    given = ctx.get_parameter_source("path")
    if given is not ParameterSource.COMMANDLINE and ctx.parent is not None:
        path = ctx.parent.params["path"]  # `cachemw flags --config FILE set ...`
    config = read_config(path)
    wanted = _parse_settings(settings)
    _refuse_bare_routes(config, wanted)
    _print(config, _live_flags(config, wanted), as_json)


def _parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for setting in settings:
        name, equals, state = setting.partition("=")
        if not equals:
            raise click.UsageError(
                f"expected NAME=STATE, such as low=on or route:products=off, got {setting!r}"
            )
        if wanted.setdefault(name, state) != state:
            raise click.UsageError(f"{name} is given twice")
    return wanted


def _refuse_bare_routes(config: Config, wanted: dict[str, str]) -> None:
    """Raise click.UsageError for a route that is named without `route:`."""
    names = {route.name for route in config.routes}
    for name, state in wanted.items():
        if name in names and name not in (*RISKS, HOLDOUT, "kill"):
            raise click.UsageError(f"{name!r} is a route: write route:{name}={state}")


def _live_flags(config: Config, wanted: dict[str, str] | None = None) -> Flags:
    """Return the live flags from Redis, after changing those that are wanted."""
    undone = "no flag was changed" if wanted else "the live flags are not known"
    redis = redis_settings(config, _WITHOUT_REDIS)
    cache, log = command_cache(config, _WITHOUT_REDIS)
    try:
        with reporting_redis_errors(redis, undone):
            document = log.flags.read()
        cache.flags.answered(document)
        if wanted and not cache.flags.set(wanted):
            raise click.ClickException(f"Redis at {redis.safe_url} accepts no writes: {undone}")
    finally:
        cache.close()
    return cache.flags


def _print(config: Config, current: Flags, as_json: bool) -> None:
    columns = ["flag", "configured", "live", "local", "effective"]
    rows = [*_state_rows(config, current), *_other_rows(config, current)]
    if as_json:
        # A place where a flag is not set has "-" or nothing in the table.
        states = [[cell if cell not in ("", "-") else None for cell in row] for row in rows]
        found = {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in states}
        echo_json({"revision": current.live.revision, "flags": found})
        return
    console = open_console()
    console.print(make_table(columns, rows))
    console.print(f"Revision {current.live.revision}.")


def _state_rows(config: Config, current: Flags) -> list[list[str]]:
    """Return the rows of risk classes and routes, which the kill switch turns off."""
    states, live = current.states(), current.live
    rows = [(risk, current.configured_state(risk), live.classes.get(risk, "-")) for risk in RISKS]
    for route in config.routes:
        configured = config.route_flags.get(route.name) or ("on" if route.enabled else "off")
        rows.append((f"route:{route.name}", configured, live.routes.get(route.name, "-")))
    return [
        [*row, _local(config, current, row[0]), "off" if current.killed else states[row[0]]]
        for row in rows
    ]


def _other_rows(config: Config, current: Flags) -> list[list[str]]:
    """Return the rows of the holdout, the kill switch and the log levels."""
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
    """Return the setting of this machine's flags file; empty if the configuration names no file."""
    return "" if config.flags_file is None else str(current.local.get(name, "-"))
