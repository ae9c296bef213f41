"""`cachemw stats`: what the fleet's processes have counted, added up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cachemw.cli.options import config_option, fleet_redis, output, reaching, read_config, table
from cachemw.config import Config
from cachemw.stores.clients import Clients
from cachemw.telemetry import fleet
from cachemw.telemetry.fleet import FleetStats
from cachemw.telemetry.outcomes import FAMILIES
from cachemw.telemetry.stats import Stats

__all__ = ["stats"]

_ALONE = (
    "each process counts for itself, where this command cannot reach it."
    " Call cache.stats() in the application"
)
_EVERY = 1.0
"""Seconds between two looks; processes report once a second."""
_TIERS = ("memory", "shared", "flight", "origin")
_COLUMNS = ["route", "requests", "hit rate", *FAMILIES, *_TIERS, "saved", "p50", "p95", "p99"]


@click.command()
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line a second."
)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def stats(path: str, as_json: bool, watch: bool) -> None:
    """Show the fleet's requests by route, outcome and tier.

    Counted are the processes heard from in the last ten seconds, each since it started. Then come
    durations, events, and what is the case right now.
    """
    config = read_config(path)
    redis = fleet_redis(config, _ALONE)
    clients = Clients(redis)

    def look() -> FleetStats:
        with reaching(redis, "nothing is known of the fleet"):
            return fleet.read(clients.sync(), config.namespace)

    try:
        if watch:
            _watch(config, look, as_json)
        elif as_json:
            click.echo(json.dumps(_document(look()), indent=2))
        else:
            output().print(_report(config, look()))
    except KeyboardInterrupt:
        pass
    finally:
        clients.close()


def _watch(config: Config, look: Callable[[], FleetStats], as_json: bool) -> None:
    """Look until interrupted; a Redis that is away is waited for."""
    if as_json:
        while True:
            try:
                click.echo(json.dumps(_document(look())))
            except click.ClickException as error:
                click.echo(json.dumps({"error": error.message}))
            time.sleep(_EVERY)
    with Live(console=output(), auto_refresh=False) as live:
        while True:
            try:
                shown = _report(config, look())
            except click.ClickException as error:
                shown = Text(error.message)
            live.update(shown, refresh=True)
            time.sleep(_EVERY)


def _document(found: FleetStats) -> dict[str, Any]:
    processes = [
        {"id": each.id, "age": each.age, "live": each.live, "stats": each.stats.as_dict()}
        for each in found.processes
    ]
    total = found.stats.as_dict()
    return {"stats": total, "processes": processes, "unreadable": found.unreadable}


def _report(config: Config, found: FleetStats) -> RenderableType:
    total = found.stats
    live = sum(each.live for each in found.processes)
    plural = "process" if live == 1 else "processes"
    lines = [f"Namespace {config.namespace}: {live} {plural} in the last ten seconds."]
    if found.unreadable:
        lines.append(f"{found.unreadable} more of another release of cachemw: not counted.")
    if not live:
        return Text("\n".join(lines))
    rows = [_row(name, total.route(name)) for name in sorted(total.requests)]
    numbers = tuple(_COLUMNS[1:])
    parts: list[RenderableType] = [Text("\n".join(lines))]
    parts.append(table(_COLUMNS, [*rows, _row("all", total)], right=numbers))
    for title, text in (("events", _events(total)), ("now", _gauges(total))):
        if text:
            parts.append(Text(f"{title}: {text}"))
    return Group(*parts)


def _row(name: str, counted: Stats) -> list[str]:
    rate = counted.hit_rate
    outcomes, tiers = counted.by_outcome, counted.by_tier
    return [
        name,
        str(counted.total),
        "" if rate is None else f"{rate:.1%}",
        *(_count(outcomes, family) for family in FAMILIES),
        *(_count(tiers, tier) for tier in _TIERS),
        str(counted.origin_calls_saved),
        *(_quantile(counted, share) for share in (0.5, 0.95, 0.99)),
    ]


def _count(counts: dict[Any, int], name: str) -> str:
    return str(counts[name]) if counts.get(name) else ""


def _quantile(counted: Stats, share: float) -> str:
    latency = counted.latency(*(family for family in FAMILIES if family != "refresh"))
    seconds = latency.quantile(share) if latency else None
    return "" if seconds is None else f"{seconds * 1e3:.3g} ms"


def _events(counted: Stats) -> str:
    return "  ".join(
        f"{name}.{reason}={count}" if reason else f"{name}={count}"
        for name, reasons in sorted(counted.events.items())
        for reason, count in sorted(reasons.items())
    )


def _gauges(counted: Stats) -> str:
    return "  ".join(f"{name}={value:.6g}" for name, value in sorted(counted.gauges.items()))
