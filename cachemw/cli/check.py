"""`cachemw check`: is a configuration right, and what does it say?"""

from __future__ import annotations

import json
from typing import Any, Literal

import click

from cachemw.cli.options import (
    CONFIG_FILE,
    VARIABLE,
    Problems,
    Where,
    chosen,
    output,
    read_config,
    table,
)
from cachemw.config import Config, Route
from cachemw.config.checks.warnings import health_check_warning
from cachemw.engine.core.setup import make_routes
from cachemw.errors import ConfigError, Problem
from cachemw.rollout.flags.files import read_flags
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags

__all__ = ["check", "configured_flags", "warnings"]

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


@click.command()
@click.argument("config", callback=chosen, envvar=VARIABLE, default=CONFIG_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config: Where, as_json: bool) -> None:
    """Check the file CONFIG and print its routes.

    The environment's settings (CACHEMW_...) are laid over it, as in the application. Every mistake
    is a line on stderr. Exits 0 if there is none.
    """
    try:
        read = read_config(config)
        _check_flags_file(read, str(config))
    except ConfigError as error:
        if as_json:
            found = [{"path": each.path, "message": each.message} for each in error.problems]
            click.echo(json.dumps({"ok": False, "problems": found}, indent=2))
        raise Problems(error) from error
    states = configured_flags(read).states()
    notes = warnings(read, states)
    if as_json:
        click.echo(json.dumps(_document(read, states, notes), indent=2))
        return
    _print(config, read, states)
    for note in notes:
        click.echo(f"warning: {note}", err=True)


def _check_flags_file(config: Config, source: str) -> None:
    """Read the file of flags that the configuration names, as it is on this machine."""
    path = config.flags_file
    if path is None:
        return
    try:
        read_flags(path, [route.name for route in config.routes])
    except ConfigError as error:
        problems = [Problem("flags_file", f"{path}: {each}") for each in error.problems]
        raise ConfigError(problems, source) from error


def configured_flags(config: Config) -> Flags:
    """Give the flags as the configuration alone sets them, the kill switch included."""
    nobody = {route.identity: lambda _: None for route in config.routes if route.identity}
    return Flags(
        make_routes(config, nobody, {}),
        ConfiguredFlags(classes=config.flags, routes=config.route_flags, kill=config.kill),
        exchange=None,
    )


def warnings(config: Config, states: dict[str, str]) -> list[str]:
    """Give what is allowed and hardly ever meant."""
    return [
        warning
        for route in config.routes
        if states[f"route:{route.name}"] != "off"
        and (warning := health_check_warning(route.name, route.path, route.mount))
    ]


def _print(path: Where, config: Config, states: dict[str, str]) -> None:
    console = output()
    tiers = f"memory and Redis at {config.redis.safe_url}" if config.redis else "memory only"
    console.print(f"{path}: right. Namespace {config.namespace}, {tiers}.", markup=False)
    if not config.routes:
        console.print("It lists no route, so nothing is cached.")
        return
    columns = ["route", "path", "risk", "ttl", "query", "cookies", "vary", "tags", "cache"]
    rows = [_row(route, states[f"route:{route.name}"]) for route in config.routes]
    console.print(table(columns, rows))
    if states["kill"] == "on":
        console.print("The kill switch is on: nothing is cached.")


def _row(route: Route, state: str) -> list[str]:
    return [
        route.name,
        _path(route),
        route.risk,
        _ttl(route.ttl),
        _query(route),
        _cookies(route),
        ", ".join(route.vary),
        ", ".join(route.tags),
        state,
    ]


def _path(route: Route) -> str:
    return (route.mount or "") + route.path


def _ttl(ttl: float | Literal["response"] | None) -> str:
    if isinstance(ttl, str) or ttl is None:
        return ttl or ""
    for seconds, unit in _UNITS:
        if ttl >= seconds and ttl % seconds == 0:
            return f"{ttl / seconds:g}{unit}"
    return f"{ttl:g}s" if ttl >= 1 or not ttl else f"{ttl * 1000:g}ms"


def _query(route: Route) -> str:
    if route.query is not None:
        return ", ".join(route.query) or "none"
    return f"all but {', '.join(route.ignore_query)}" if route.ignore_query else "all"


def _cookies(route: Route) -> str:
    if route.identity:
        return f"by {route.identity}"
    if route.cookies is None:
        return "bypass"
    return ", ".join(route.cookies) or "none"


def _document(config: Config, states: dict[str, str], notes: list[str]) -> dict[str, Any]:
    return {
        "ok": True,
        "namespace": config.namespace,
        "redis": config.redis.safe_url if config.redis else None,
        "kill": config.kill,
        "routes": [_as_dict(route, states[f"route:{route.name}"]) for route in config.routes],
        "warnings": notes,
    }


def _as_dict(route: Route, state: str) -> dict[str, Any]:
    names = (
        "name path mount risk kind ttl negative_ttl stale_while_revalidate stale_if_error methods"
        " query ignore_query vary cookies identity tags max_size"
    )
    return {name: getattr(route, name) for name in names.split()} | {"state": state}
