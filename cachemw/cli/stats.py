"""`cachemw stats`: what the fleet's processes have counted, added up."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cachemw.cli.options import (
    Where,
    config_option,
    fleet_redis,
    output,
    reaching,
    read_config,
    table,
)
from cachemw.config import Config
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry import fleet
from cachemw.telemetry.events import FAMILIES
from cachemw.telemetry.fleet import FleetStats
from cachemw.telemetry.stats import Stats

__all__ = ["stats"]

_ALONE = (
    "each process counts for itself, where this command cannot reach it."
    " Call cache.stats() in the application"
)
_EVERY = 1.0
"""Seconds between two looks; processes report once a second."""
_SHADOW = (Outcome.SHADOW_MISMATCH, Outcome.SHADOW_HIT)
_TIERS = ("memory", "shared", "flight", "origin")
_OUTCOMES = ["requests", "failed", "hit rate", *FAMILIES]
_PLACES = [*_TIERS, "saved", "p50", "p95", "p99"]
_FEW = 3
"""Places told of a route; `--json` has all of them."""
_WIDE = 150
"""Columns that one table for all of it needs; a narrower terminal gets two."""


@click.command()
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line a second."
)
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def stats(path: Where, as_json: bool, watch: bool) -> None:
    """Show the fleet's requests by route, outcome and tier.

    Counted are the processes heard from in the last ten seconds, each since it started. Then come
    durations, why answers were not stored, events, and what is the case right now.
    """
    config = read_config(path)
    redis = fleet_redis(config, _ALONE)
    nodes = Nodes(redis)

    def look() -> FleetStats:
        with reaching(redis, "nothing is known of the fleet"):
            client = nodes.find(fleet.name_of(config.namespace).encode()).sync()
            return fleet.read(client, config.namespace)

    try:
        if watch:
            _watch(config, look, as_json)
        elif as_json:
            click.echo(json.dumps(_document(look()), indent=2))
        else:
            console = output()
            console.print(_report(config, look(), console.width))
    except KeyboardInterrupt:
        pass
    finally:
        nodes.close()


def _watch(config: Config, look: Callable[[], FleetStats], as_json: bool) -> None:
    """Look until interrupted; a Redis that is away is waited for."""
    if as_json:
        while True:
            try:
                click.echo(json.dumps(_document(look())))
            except click.ClickException as error:
                click.echo(json.dumps({"error": error.message}))
            time.sleep(_EVERY)
    console = output()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            try:
                shown = _report(config, look(), console.width)
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


def _sparing(total: Stats) -> list[str]:
    """Say of each route in shadow what it would have answered, and spared the application."""
    lines = []
    for name, counts in sorted(total.requests.items()):
        would = sum(counts.get(outcome.label, 0) for outcome in _SHADOW)
        asked = would + counts.get(Outcome.SHADOW_MISS.label, 0)
        if asked:
            times = total.durations.get(name, {})
            spared = sum(times[o.label].seconds for o in _SHADOW if o.label in times)
            lines.append(
                f"In shadow, route {name} would have answered {would} of {asked} requests"
                f" ({would / asked:.0%}) and spared the application {spared:.3g} s."
            )
    return lines


def _mismatching(total: Stats) -> list[str]:
    """Name the routes in shadow that would have answered wrongly."""
    lines = []
    for name, counts in sorted(total.requests.items()):
        wrong, right = (counts.get(o.label, 0) for o in _SHADOW)
        if wrong:
            where = _places(total.differences.get(name, {}))
            lines.append(
                f"In shadow, route {name} would have given {wrong} wrong answers in {wrong + right}"
                f"{where}."
            )
    return lines


def _places(differences: Mapping[str, int]) -> str:
    """Say where most answers differed."""
    places = Counter(differences).most_common()
    if not places:
        return ""
    told = ", ".join(f"{place} ({count})" for place, count in places[:_FEW])
    more = f", and {len(places) - _FEW} more places" if len(places) > _FEW else ""
    return f": {told}{more}"


def _refused(total: Stats) -> list[str]:
    """Say, route by route, why answers were not stored."""
    return [
        f"not stored: {name}: "
        + ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common())
        for name, reasons in sorted(total.refused.items())
    ]


def _report(config: Config, found: FleetStats, width: int) -> RenderableType:
    total = found.stats
    live = sum(each.live for each in found.processes)
    plural = "process" if live == 1 else "processes"
    lines = [f"Namespace {config.namespace}: {live} {plural} in the last ten seconds."]
    if found.unreadable:
        lines.append(f"{found.unreadable} more of another release of cachemw: not counted.")
    lines += _sparing(total) + _mismatching(total)
    if not live:
        return Text("\n".join(lines))
    rows = [_row(name, total.route(name)) for name in sorted(total.requests)]
    rows.append(_row("all", total))
    parts: list[RenderableType] = [Text("\n".join(lines))]
    tables = [_OUTCOMES + _PLACES] if width >= _WIDE else [_OUTCOMES, _PLACES]
    for names in tables:
        cells = [[row["route"], *(row[name] for name in names)] for row in rows]
        parts.append(table(["route", *names], cells, right=tuple(names)))
    parts += map(Text, _refused(total))
    for title, text in (("events", _events(total)), ("now", _gauges(total))):
        if text:
            parts.append(Text(f"{title}: {text}"))
    return Group(*parts)


def _row(name: str, counted: Stats) -> dict[str, str]:
    rate = counted.hit_rate
    counts = {**counted.by_outcome, **counted.by_tier}
    return {
        "route": name,
        "requests": str(counted.total),
        "failed": str(counted.failed) if counted.failed else "",
        "hit rate": "" if rate is None else f"{rate:.1%}",
        **{key: str(counts[key]) if counts.get(key) else "" for key in (*FAMILIES, *_TIERS)},
        "saved": str(counted.origin_calls_saved),
        **{f"p{share}": _quantile(counted, share / 100) for share in (50, 95, 99)},
    }


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
