"""`cachemw tags`: which tags answers carry, and how many carry each."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from cachemw.cli.drawing import DRAWN
from cachemw.cli.options import Where, config_option, looking, output, read_config, table
from cachemw.config import Config
from cachemw.config.syntax.dependencies import Pattern
from cachemw.invalidation.graph import Graph

__all__ = ["tags"]

_ALONE = (
    "the answers are in the memory of each process, where this command cannot count them."
    " Call cache.inspection.memory() in the application"
)
_UNSEEN = "what is stored is not known; --top 0 asks the configuration alone"

_Counted = list[tuple[str, int, int]]
"""A tag, the entries that carry it, and their bytes."""


@click.command()
@config_option
@click.option(
    "--top",
    default=20,
    show_default=True,
    type=click.IntRange(0),
    help="How many of the most used tags to count in Redis.",
)
@click.option(
    "--graph",
    "form",
    type=click.Choice(list(DRAWN)),
    help="Draw what depends on what instead: as text, or for Graphviz or Mermaid.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tags(path: Where, top: int, form: str | None, as_json: bool) -> None:
    """Show the tags that each route gives, and the most used ones of the answers in Redis.

    What is purged already is not counted, nor are the tags of URLs and routes, which begin with @.
    """
    config = read_config(path)
    if form is not None:
        if as_json:
            raise click.UsageError(
                "--graph takes no --json beside it: the graph is in --json alone"
            )
        click.echo(_drawn(config, form))
        return
    if not config.redis and top:
        click.echo(
            f"nothing is counted, for the configuration names no `redis`: {_ALONE}", err=True
        )
    counted = _counted(config, top) if config.redis and top else None
    if as_json:
        click.echo(json.dumps(_document(config, counted), indent=2))
        return
    rows = [
        [route.name, (route.mount or "") + route.path, " ".join(route.tags) or "-"]
        for route in config.routes
    ]
    console = output()
    console.print(table(["route", "path", "tags"], rows))
    if counted is not None:
        cells = [[tag, str(entries), str(size)] for tag, entries, size in counted]
        console.print(table(["tag", "entries", "bytes"], cells, right=("entries", "bytes")))


def _drawn(config: Config, form: str) -> str:
    arrows = Graph(config.dependencies).arrows()
    if not arrows:
        raise click.ClickException(
            "the configuration has no [dependencies]: there is nothing to draw"
        )
    return DRAWN[form](arrows, _carriers(config, {node for arrow in arrows for node in arrow}))


def _carriers(config: Config, nodes: set[str]) -> dict[str, str]:
    """Say of each node which routes give it to their answers; code may give it to others."""
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


def _counted(config: Config, top: int) -> _Counted:
    entries: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with looking(config, _ALONE, _UNSEEN) as cache:
        for entry in cache.inspection.shared():
            if entry.verdict in ("valid", "stale"):
                own = [tag for tag in entry.tags if not tag.startswith("@")]
                entries.update(own)
                sizes.update(dict.fromkeys(own, entry.size))
    return [(tag, count, sizes[tag]) for tag, count in entries.most_common(top)]


def _document(config: Config, counted: _Counted | None) -> dict[str, Any]:
    found = [
        {"tag": tag, "entries": entries, "bytes": size} for tag, entries, size in counted or ()
    ]
    routes = [
        {"route": route.name, "path": (route.mount or "") + route.path, "tags": route.tags}
        for route in config.routes
    ]
    arrows = Graph(config.dependencies).arrows()
    graph = [{"source": source, "dependent": dependent} for source, dependent in arrows]
    return {"routes": routes, "dependencies": graph, "tags": None if counted is None else found}
