"""The command `cachemw check`: check a configuration and show its routes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import count, islice
from typing import Any, Literal

import click

from cachemw.cli.common.options import (
    CONFIG_FILE,
    VARIABLE,
    ConfigLocation,
    ConfigProblems,
    choose_config,
    read_config,
)
from cachemw.cli.common.printing import echo, echo_json, make_table, open_console
from cachemw.cli.common.redis_access import redis_settings, reporting_redis_errors
from cachemw.config import Config, LearnedTtl, Route
from cachemw.config.checks.warnings import (
    cookies_warning,
    health_check_warning,
    memory_warning,
    redis_warnings,
)
from cachemw.config.rollout_plan import RolloutPlan, gated_flags, load_plan, uncovered
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.connections.permissions import KEYS, missing_permissions
from cachemw.connections.versions import refuse_old_server
from cachemw.engine.core.setup import check_tag_headers, make_routes
from cachemw.errors import ConfigError, Problem, StoreUnavailable
from cachemw.extensions.graphql import resolve_languages
from cachemw.extensions.hole_functions import resolve_holes
from cachemw.extensions.identity import resolve_identities
from cachemw.rollout.flags.files import read_flags
from cachemw.rollout.flags.flags import ConfiguredFlags, Flags

__all__ = ["check"]

_WORKERS = "WEB_CONCURRENCY"
"""The environment variable by which gunicorn, uvicorn and many hosts set the number of workers."""
_TRIES = 100_000
"""Names that are tried to find one on each server of a Cluster. The servers have 16,384 slots together."""
_MEMORY_ONLY = "memory only, so that purges reach only the process that makes them"
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


@click.command()
@click.argument("config", callback=choose_config, envvar=VARIABLE, default=CONFIG_FILE)
@click.option("--connect", is_flag=True, help="Try Redis too, and what its user may do.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config: ConfigLocation, connect: bool, as_json: bool) -> None:
    """Check the configuration file CONFIG and print its routes.

    Without CONFIG, the environment variable CACHEMW_CONFIG names the file, or it is cachemw.toml.
    CACHEMW_... environment variables change settings, as in the application. The identity functions
    that the file names are imported, from this folder too. With --connect, Redis must answer, be new
    enough, and allow every command that the cache sends. Each mistake is one line on stderr. The exit
    status is 0 if there is none, else 1.
    """
    try:
        settings = read_config(config)
        _check_flags_file(settings, str(config))
        _check_imports(settings, str(config))
        if connect:
            _check_redis(settings)
        plan = None if settings.rollout.plan is None else load_plan(settings.rollout.plan)
    except ConfigError as error:
        if as_json:
            problems = [{"path": each.path, "message": each.message} for each in error.problems]
            echo_json({"ok": False, "problems": problems})
        raise ConfigProblems(error) from error
    except click.ClickException as error:
        if as_json:
            echo_json({"ok": False, "problems": [{"path": "redis", "message": error.message}]})
        raise
    states = _configured_flags(settings, plan).states()
    warnings = _collect_warnings(settings, states)
    warnings += () if plan is None else uncovered(plan, settings)
    notes = [*_notes(settings), *(() if isinstance(config, str) else config.notes())]
    if as_json:
        echo_json(_as_document(settings, states, warnings) | {"notes": notes})
        return
    _print(config, settings, states, notes)
    for warning in warnings:
        echo(f"warning: {warning}", err=True)


def _check_flags_file(config: Config, source: str) -> None:
    """Check the flags file that the configuration names, as it is on this machine."""
    path = config.flags_file
    if path is None:
        return
    try:
        read_flags(path, [route.name for route in config.routes])
    except ConfigError as error:
        problems = [Problem("flags_file", f"{path}: {each}") for each in error.problems]
        raise ConfigError(problems, source) from error


def _check_imports(config: Config, source: str) -> None:
    """Import what the configuration names, as the application will. Raises ConfigError."""
    if os.getcwd() not in sys.path:  # where servers find an application, but a script does not
        sys.path.insert(0, os.getcwd())
    # A name without a module is given to Cache(identities=...), which this command cannot see.
    given = {
        route.identity: lambda _: None
        for route in config.routes
        if route.identity and ":" not in route.identity
    }
    try:
        resolve_identities(config, given)
        resolve_languages(config)
        resolve_holes(config, {})
        check_tag_headers(config)
    except ConfigError as error:
        raise ConfigError(list(error.problems), source) from error


def _check_redis(config: Config) -> None:
    """Try Redis. Raises click.ClickException with what it does in place of an answer."""
    redis = redis_settings(config, "there is nothing to connect to")
    nodes = Nodes(redis)
    try:
        with reporting_redis_errors(redis, "the application would go on without it"):
            for node in nodes.all_nodes():
                _check_server(nodes, node, config.namespace)
    finally:
        nodes.close()


def _check_server(nodes: Nodes, node: Node, namespace: str) -> None:
    """Check the version of a server, and what the user may do there. Raises StoreUnavailable."""
    with closing(node.dedicated_client(nodes.config.deadline)) as client:
        refuse_old_server(client)
        names = _names_on(nodes, node, namespace)
        missing = sorted({each for name in names for each in missing_permissions(client, name)})
    if not missing:
        return
    allowed = (
        [f"~cachemw:{{{namespace}}}:*", f"~cachemw:{{{namespace}:*"] if KEYS in missing else []
    )
    allowed += [f"+{each}" for each in missing if each != KEYS]
    server = nodes.name_of(node)
    where = f"the user on {server}" if server else "the user"
    raise StoreUnavailable(f"{where} may not do all; add to its ACL: {' '.join(allowed)}")


def _names_on(nodes: Nodes, node: Node, namespace: str) -> list[bytes]:
    """Return a beginning of names like that of entries, and that of the log if it is on this server."""
    log = f"cachemw:{{{namespace}}}".encode()
    entries = (f"cachemw:{{{namespace}:{number}}}".encode() for number in count())
    here = next(each for each in islice(entries, _TRIES) if nodes.of(each) is node)
    return [here, log] if nodes.of(log) is node else [here]


def _configured_flags(config: Config, plan: RolloutPlan | None) -> Flags:
    """Return the flags as the configuration and its plan set them, the kill switch included."""
    # `check` answers no requests, so it does not import the application's identity functions.
    identities = {route.identity: lambda _: None for route in config.routes if route.identity}
    classes = config.flags if plan is None else gated_flags(plan, config)
    return Flags(
        make_routes(config, identities, {}),
        ConfiguredFlags(classes=classes, routes=config.route_flags, kill=config.kill),
        exchange=None,
    )


def _collect_warnings(config: Config, states: dict[str, str]) -> list[str]:
    """Return warnings about Redis, removed cookies, and routes that look like a health check."""
    warnings: list[str] = []
    if config.redis is not None:
        warnings = redis_warnings(config.namespace, has_secret=bool(config.secret))
    elif (workers := os.environ.get(_WORKERS, "")).isdecimal() and int(workers) > 1:
        warnings = [memory_warning(int(workers))]
    cached = [route for route in config.routes if states[f"route:{route.name}"] != "off"]
    if removing := [route.name for route in cached if _removes_cookies(route)]:
        warnings.append(cookies_warning(removing))
    return warnings + [
        warning
        for route in cached
        if (warning := health_check_warning(route.name, route.path, route.mount))
    ]


def _removes_cookies(route: Route) -> bool:
    """Tell whether the application may miss a cookie of a signed-in visitor."""
    return route.cookies is not None and not route.personal_cookies and route.identity is None


def _notes(config: Config) -> list[str]:
    """Return what holds on every route without a word in the configuration."""
    if not config.routes or not config.remove_analytics_cookies:
        return []
    return [
        "Cookies of analytics, advertising and load balancers are removed everywhere;"
        " remove_analytics_cookies = false takes that back."
    ]


def _print(
    path: ConfigLocation, config: Config, states: dict[str, str], notes: Sequence[str]
) -> None:
    console = open_console()
    tiers = f"memory and Redis at {config.redis.safe_url}" if config.redis else _MEMORY_ONLY
    console.print(f"{path}: no mistakes. Namespace {config.namespace}, {tiers}.", markup=False)
    if not config.routes:
        console.print("There are no routes, so nothing is cached.")
        return
    columns = ["route", "path", "risk", "ttl", "query", "cookies", "vary", "tags", "cache"]
    rows = [_row(route, states[f"route:{route.name}"]) for route in config.routes]
    console.print(make_table(columns, rows))
    for note in notes:
        console.print(note, markup=False)
    if states["kill"] == "on":
        console.print("The kill switch is on: nothing is cached.")


def _row(route: Route, state: str) -> list[str]:
    return [
        route.name,
        _full_path(route),
        route.risk,
        _format_ttl(route.ttl),
        _describe_query(route),
        _describe_cookies(route),
        ", ".join(route.vary),
        ", ".join(route.tags),
        state,
    ]


def _full_path(route: Route) -> str:
    return (route.mount or "") + route.path


def _format_ttl(ttl: float | Literal["response"] | LearnedTtl | None) -> str:
    if isinstance(ttl, LearnedTtl):
        return f"{_format_ttl(ttl.min)} to {_format_ttl(ttl.max)}, learned"
    if isinstance(ttl, str) or ttl is None:
        return ttl or ""
    for seconds, unit in _UNITS:
        if ttl >= seconds and ttl % seconds == 0:
            return f"{ttl / seconds:g}{unit}"
    return f"{ttl:g}s" if ttl >= 1 or not ttl else f"{ttl * 1000:g}ms"


def _describe_query(route: Route) -> str:
    if route.query is not None:
        return ", ".join(route.query) or "none"
    return f"all but {', '.join(route.ignore_query)}" if route.ignore_query else "all"


def _describe_cookies(route: Route) -> str:
    if route.identity:
        return f"by {route.identity}"
    told = [] if route.cookies is None else [", ".join(route.cookies) or "none"]
    if route.personal_cookies:
        told.append(f"bypass with {', '.join(route.personal_cookies)}")
    told = told or ["bypass"]
    if route.drop_set_cookie:
        told.append(f"stored without {', '.join(route.drop_set_cookie)}")
    return "; ".join(told)


def _as_document(config: Config, states: dict[str, str], warnings: list[str]) -> dict[str, Any]:
    return {
        "ok": True,
        "namespace": config.namespace,
        "redis": config.redis.safe_url if config.redis else None,
        "kill": config.kill,
        "routes": [
            _route_document(route, states[f"route:{route.name}"]) for route in config.routes
        ],
        "warnings": warnings,
    }


def _route_document(route: Route, state: str) -> dict[str, Any]:
    names = (
        "name path mount risk kind ttl negative_ttl stale_while_revalidate stale_if_error methods"
        " query ignore_query vary cookies ignore_cookies personal_cookies keyed_cookies drop_set_cookie"
        " identity tags invalidates max_size"
    )
    return {name: getattr(route, name) for name in names.split()} | {"state": state}
