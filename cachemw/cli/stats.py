"""The command `cachemw stats`: show the statistics of all processes, added up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live

from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo_json, make_table, make_text, open_console
from cachemw.cli.common.redis_access import redis_settings, reporting_redis_errors
from cachemw.config import Config, LearnedTtl
from cachemw.connections.nodes import Nodes
from cachemw.telemetry import fleet
from cachemw.telemetry.events import FAMILIES, GAUGES
from cachemw.telemetry.fleet import FleetStats
from cachemw.telemetry.shadow_report import shadow_lines
from cachemw.telemetry.stats import Stats

__all__ = ["stats"]

_WITHOUT_REDIS = (
    "each process has its own counts, which this command cannot reach."
    " Call cache.stats() in the application"
)
_WATCH_SECONDS = 1.0
"""Seconds between two reads with `--watch`; processes report once a second."""
_TIERS = ("memory", "shared", "flight", "origin")
_OUTCOMES = ["requests", "failed", "hit rate", *FAMILIES]
_TIMES = [*_TIERS, "saved", "p50", "p95", "p99"]
"""Places of wrong answers shown for a route; `--json` has all of them."""
_ONE_TABLE_WIDTH = 150
"""Columns of a terminal that one table needs; a narrower terminal gets several tables."""
_NARROW = [
    ["requests", "failed", "hit rate", "p50", "p95", "p99"],
    ["hit", "stale", "miss", "pass", "off", "control", "shadow"],
    ["refresh", *_TIERS, "saved"],
]
"""Tables that leave room in 80 columns for the names of routes."""
_LEGEND = (
    "Columns count requests, and saved counts calls of the application. p50, p95, p99: the time within"
    " which 50, 95 and 99 % of the answers were given."
)
_LARGE = 100_000
"""Numbers from here on are shortened in narrow tables."""
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


@click.command(short_help="Show the statistics of all processes.")
@config_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line each second."
)
@click.option("--watch", is_flag=True, help="Show the statistics again each second, until Ctrl-C.")
def stats(path: ConfigLocation, as_json: bool, watch: bool) -> None:
    """Show requests by route, outcome and tier, of all processes that share this Redis.

    A process counts if it reported in the last ten seconds, with its counts since it started. Below
    the tables are the reasons why answers were not stored, the events, and the current gauges.
    """
    config = read_config(path)
    redis = redis_settings(config, _WITHOUT_REDIS)
    nodes = Nodes(redis)

    def read_stats() -> FleetStats:
        with reporting_redis_errors(redis, "the statistics are not known"):
            client = nodes.find(fleet.name_of(config.namespace).encode()).sync()
            return fleet.read(client, config.namespace)

    try:
        if watch:
            _watch(config, read_stats, as_json)
        elif as_json:
            echo_json(_as_document(read_stats()))
        else:
            console = open_console()
            console.print(_make_report(config, read_stats(), console.width))
    except KeyboardInterrupt:
        pass
    finally:
        nodes.close()


def _watch(config: Config, read_stats: Callable[[], FleetStats], as_json: bool) -> None:
    """Show the statistics until interrupted; while Redis is away, show that and try again."""
    if as_json:
        while True:
            try:
                echo_json(_as_document(read_stats()), indent=None)
            except click.ClickException as error:
                echo_json({"error": error.message}, indent=None)
            time.sleep(_WATCH_SECONDS)
    console = open_console()
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            try:
                shown = _make_report(config, read_stats(), console.width)
            except click.ClickException as error:
                shown = make_text(error.message)
            live.update(shown, refresh=True)
            time.sleep(_WATCH_SECONDS)


def _as_document(found: FleetStats) -> dict[str, Any]:
    processes = [
        {"id": each.id, "age": each.age, "live": each.live, "stats": each.stats.as_dict()}
        for each in found.processes
    ]
    total = found.stats.as_dict()
    return {"stats": total, "processes": processes, "unreadable": found.unreadable}


def _not_stored(total: Stats) -> list[str]:
    """Return a line for each route: why answers were not stored."""
    return [
        f"not stored: {name}: "
        + ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common())
        for name, reasons in sorted(total.refused.items())
    ]


def _learned(total: Stats, config: Config) -> list[str]:
    """Return a line for each kind: what is learned of it."""
    targets = {
        route.kind or f"route:{route.name}": route.ttl.stale_target
        for route in config.routes
        if isinstance(route.ttl, LearnedTtl)
    }
    return [
        f"learned: {kind}: {_sentence(known, targets.get(kind), config.learning)}"
        for kind, known in sorted(total.learned.items())
    ]


def _sentence(known: dict[str, float], target: float | None, learning: str) -> str:
    if "lifetime" not in known:
        return "nothing yet"
    would = "would be " if learning == "shadow" else ""
    parts = [f"lifetimes {would}about {known['lifetime']:.3g} s"]
    if "stale" in known:
        wanted = "" if target is None else f" (target {target:.1%})"
        parts.append(f"{known['stale']:.1%} of answers stale{wanted}")
    if known.get("reached", 1.0) < 0.99:
        parts.append(f"the target is out of reach for {1 - known['reached']:.0%} of answers")
    if "announced" in known:
        parts.append(f"{known['announced']:.0%} of changes announced by purges")
    if "saved" in known:
        parts.append(f"calls {would}{_change(-known['saved'])} beside the initial lifetime")
    return ", ".join(parts)


def _change(share: float) -> str:
    return f"{share:+.0%}"


def _make_report(config: Config, found: FleetStats, width: int) -> RenderableType:
    total = found.stats
    live = sum(each.live for each in found.processes)
    plural = "process" if live == 1 else "processes"
    lines = [f"Namespace {config.namespace}: {live} {plural} in the last ten seconds."]
    if found.unreadable:
        lines.append(f"Not counted: {found.unreadable} that run another release of cachemw.")
    lines += shadow_lines(total, config)
    if not live:
        return make_text(*lines)
    is_wide = width >= _ONE_TABLE_WIDTH
    show = str if is_wide else _shorten
    rows = [_row(name, total.route(name), show) for name in sorted(total.requests)]
    rows.append(_row("all", total, show))
    parts: list[RenderableType] = [make_text(*lines)]
    for names in [_OUTCOMES + _TIMES] if is_wide else _NARROW:
        cells = [[row["route"], *(row[name] for name in names)] for row in rows]
        parts.append(make_table(["route", *names], cells, right=tuple(names)))
    parts.append(make_text(_LEGEND))
    parts += map(make_text, _learned(total, config))
    parts += map(make_text, _not_stored(total))
    for title, text in (("events", _format_events(total)), ("now", _format_gauges(total))):
        if text:
            parts.append(make_text(f"{title}: {text}"))
    return Group(*parts)


def _shorten(count: int) -> str:
    """Return a count of at most six characters, such as 123k or 1.23M."""
    for size, letter in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= max(size, _LARGE):
            text = f"{count / size:.3g}"
            return f"{count // size if 'e' in text else text}{letter}"
    return str(count)


def _row(name: str, counted: Stats, show: Callable[[int], str]) -> dict[str, str]:
    rate = counted.hit_rate
    counts = {**counted.by_outcome, **counted.by_tier}
    return {
        "route": name,
        "requests": show(counted.total),
        "failed": show(counted.failed) if counted.failed else "",
        "hit rate": "" if rate is None else f"{rate:.1%}",
        **{key: show(counts[key]) if counts.get(key) else "" for key in (*FAMILIES, *_TIERS)},
        "saved": show(counted.origin_calls_saved),
        **{f"p{share}": _format_quantile(counted, share / 100) for share in (50, 95, 99)},
    }


def _format_quantile(counted: Stats, share: float) -> str:
    latency = counted.latency(*(family for family in FAMILIES if family != "refresh"))
    seconds = latency.quantile(share) if latency else None
    return "" if seconds is None else f"{seconds * 1e3:.3g} ms"


def _format_events(counted: Stats) -> str:
    return "  ".join(
        f"{name}.{reason}={count}" if reason else f"{name}={count}"
        for name, reasons in sorted(counted.events.items())
        for reason, count in sorted(reasons.items())
    )


def _format_gauges(counted: Stats) -> str:
    return "  ".join(
        f"{name}={_with_unit(value, GAUGES[name].unit if name in GAUGES else '1')}"
        for name, value in sorted(counted.gauges.items())
    )


def _with_unit(value: float, unit: str) -> str:
    """Return a value with its unit, which is one of OpenTelemetry's: By, s, 1, or {entry}."""
    if unit == "By":
        power = 0
        while value >= 1024 and power < len(_BYTES) - 1:
            value, power = value / 1024, power + 1
        return f"{value:.4g} {_BYTES[power]}"
    if unit == "s":
        return f"{value:.3g} s"
    if unit == "1":
        return f"{value:.6g}"
    noun = unit.strip("{}")
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{value:.0f} {noun if value == 1 else plural}"
