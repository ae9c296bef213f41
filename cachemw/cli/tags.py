"""The command `cachemw tags`: show tags and the dependency graph."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from cachemw.cli.common.graph_drawing import DRAWERS
from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo, echo_json, make_table, open_console
from cachemw.cli.common.redis_access import watching_cache
from cachemw.config import Config
from cachemw.config.syntax.dependencies import Pattern
from cachemw.invalidation.graph import Graph

__all__ = ["tags"]

_WITHOUT_REDIS = (
    "the entries are in the memory of each process, where this command cannot count them."
    " Call cache.inspection.memory() in the application"
)
_UNKNOWN = "what is stored is not known; --top 0 shows the configuration alone"

_TagCounts = list[tuple[str, int, int]]
"""For each tag, the number of entries that carry it, and the bytes of their bodies."""


@click.command(short_help="Show the tags of each route, and the most used ones.")
@config_option
@click.option(
    "--top",
    default=20,
    show_default=True,
    type=click.IntRange(0),
    help="How many of the most used tags in Redis to show; 0 does not ask Redis.",
)
@click.option(
    "--graph",
    "form",
    type=click.Choice(list(DRAWERS)),
    help="Draw the dependency graph instead: as text, or for Graphviz (dot) or Mermaid.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tags(path: ConfigLocation, top: int, form: str | None, as_json: bool) -> None:
    """Show the tags of each route, and the most used tags of the entries in Redis.

    Purged entries are not counted, and neither are the tags of URLs and routes, which begin with @.
    """
    config = read_config(path)
    if form is not None:
        if as_json:
            raise click.UsageError("give --graph or --json, not both: --json contains the graph")
        echo(*_draw_graph(config, form).split("\n"))
        return
    if not config.redis and top:
        echo(
            f"no entries were counted: the configuration has no `redis` setting: {_WITHOUT_REDIS}",
            err=True,
        )
    counted = _count_tags(config, top) if config.redis and top else None
    if as_json:
        echo_json(_as_document(config, counted))
        return
    rows = [
        [route.name, (route.mount or "") + route.path, " ".join(route.tags) or "-"]
        for route in config.routes
    ]
    console = open_console()
    console.print(make_table(["route", "path", "tags"], rows))
    if counted is not None:
        cells = [[tag, str(entries), str(size)] for tag, entries, size in counted]
        console.print(make_table(["tag", "entries", "bytes"], cells, right=("entries", "bytes")))


def _draw_graph(config: Config, form: str) -> str:
    arrows = Graph(config.dependencies).arrows()
    if not arrows:
        raise click.ClickException(
            "the configuration has no [dependencies]: there is nothing to draw"
        )
    return DRAWERS[form](
        arrows, _describe_routes(config, {node for arrow in arrows for node in arrow})
    )


def _describe_routes(config: Config, nodes: set[str]) -> dict[str, str]:
    """Return for each tag the routes that the configuration gives it; code may add it elsewhere."""
    notes = {}
    for node in nodes:
        pattern = Pattern(node)
        names = [
            route.name
            for route in config.routes
            if any(Pattern(tag).overlaps(pattern) for tag in route.tags)
        ]
        notes[node] = f"route{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""
    return notes


def _count_tags(config: Config, top: int) -> _TagCounts:
    entries: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with watching_cache(config, _WITHOUT_REDIS, _UNKNOWN) as cache:
        for entry in cache.inspection.shared():
            if entry.verdict in ("valid", "stale"):
                own = [tag for tag in entry.tags if not tag.startswith("@")]
                entries.update(own)
                sizes.update(dict.fromkeys(own, entry.size))
    return [(tag, count, sizes[tag]) for tag, count in entries.most_common(top)]


def _as_document(config: Config, counted: _TagCounts | None) -> dict[str, Any]:
    tags = [{"tag": tag, "entries": entries, "bytes": size} for tag, entries, size in counted or ()]
    routes = [
        {"route": route.name, "path": (route.mount or "") + route.path, "tags": route.tags}
        for route in config.routes
    ]
    arrows = Graph(config.dependencies).arrows()
    graph = [{"source": source, "dependent": dependent} for source, dependent in arrows]
    return {"routes": routes, "dependencies": graph, "tags": None if counted is None else tags}
