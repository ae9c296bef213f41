"""`cachemw inspect`: what the fleet has stored in Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from cachemw.cli.common.options import Where, config_option, looking, output, read_config, table
from cachemw.introspection.stored_entries import StoredEntry

__all__ = ["inspect"]

_ALONE = (
    "the answers are in the memory of each process, where this command cannot look."
    " Call cache.inspection.memory() in the application"
)
_UNSEEN = "what is stored is not known"
_VERDICTS = ("valid", "stale", "purged", "rejected")
_COLUMNS = [
    *("url", "method", "route", "status", "bytes", "age", "ttl"),
    *("verdict", "vary", "keyed by", "tags"),
]
_RIGHT = ("status", "bytes", "age", "ttl")

_Shown = tuple[dict[str, Any], list[RenderableType]]
"""The same for machines and for people."""


@dataclass(slots=True)
class _Row:
    """What there is of one route."""

    entries: int = 0
    size: int = 0
    oldest: float = 0.0
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_VERDICTS, 0))

    def add(self, entry: StoredEntry) -> None:
        self.entries += 1
        self.size += entry.size
        self.oldest = max(self.oldest, entry.age)
        self.verdicts[entry.verdict] += 1


@click.command()
@config_option
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Show what carries this tag.")
@click.option("--url", "urls", multiple=True, metavar="URL", help="Show a URL, as `purge` has it.")
@click.option("--route", "routes", multiple=True, metavar="NAME", help="Show a route's answers.")
@click.option("--entries", is_flag=True, help="Show each answer, also without one of these.")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1), help="Answers, at most."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    path: Where,
    tags: tuple[str, ...],
    urls: tuple[str, ...],
    routes: tuple[str, ...],
    entries: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what is stored in Redis: by route, or each answer that a purge by the same words takes.

    An answer is valid, stale (over its lifetime, or purged softly), purged (it takes room until it
    expires), or rejected, with the reason why it is not believed.
    """
    config = read_config(path)
    with looking(config, _ALONE, _UNSEEN) as cache:
        found = cache.inspection.shared(tags=tags, urls=urls, routes=routes)
        if entries or tags or urls or routes:
            document, shown = _entries(found, limit)
        else:
            document, shown = _routes(found, [route.name for route in config.routes])
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        output().print(*shown)


def _routes(found: Iterable[StoredEntry], names: list[str]) -> _Shown:
    rows = {name: _Row() for name in names}
    total = _Row()
    for entry in found:
        rows.setdefault(entry.route, _Row()).add(entry)
        total.add(entry)
    routes = [{"route": name, **_as_dict(row)} for name, row in rows.items()]
    columns = ["entries", "bytes", "oldest", *_VERDICTS]
    cells = [[name or "(no route)", *_cells(row)] for name, row in rows.items()]
    shown = table(["route", *columns], [*cells, ["all", *_cells(total)]], right=tuple(columns))
    return {"routes": routes, "all": _as_dict(total)}, [shown]


def _as_dict(row: _Row) -> dict[str, Any]:
    return {"entries": row.entries, "bytes": row.size, "oldest": row.oldest, **row.verdicts}


def _cells(row: _Row) -> list[str]:
    counts = [str(count) if count else "" for count in row.verdicts.values()]
    return [str(row.entries), str(row.size), f"{row.oldest:.0f} s" if row.entries else "", *counts]


def _entries(found: Iterator[StoredEntry], limit: int) -> _Shown:
    entries = list(islice(found, limit))
    more = next(found, None) is not None
    document = {"entries": [asdict(entry) for entry in entries], "more": more}
    if not entries:
        return document, [Text("There is none.")]
    shown: list[RenderableType] = [table(_COLUMNS, [_line(each) for each in entries], right=_RIGHT)]
    if more:
        shown.append(Text(f"There are more than these {limit}: see --limit."))
    return document, shown


def _line(entry: StoredEntry) -> list[str]:
    if entry.verdict == "rejected":
        return [entry.name, *[""] * 6, f"rejected: {entry.reason}", "", "", ""]
    return [
        entry.url,
        "" if entry.method == "GET" else entry.method,
        entry.route,
        str(entry.status),
        str(entry.size),
        f"{entry.age:.0f} s",
        f"{entry.ttl:.0f} s",
        entry.verdict,
        ", ".join(entry.vary),
        ", ".join(entry.keyed_by),
        # The families of a tag, and those of URL and route, are told by what stands beside them.
        " ".join(tag for tag in entry.tags if not tag.startswith("@") and tag[-2:] != ":*"),
    ]
