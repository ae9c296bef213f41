"""The command `cachemw inspect`: show the entries stored in Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import click
from rich.console import RenderableType

from cachemw.cli.common.completion import complete_route
from cachemw.cli.common.options import ConfigLocation, config_option, read_config
from cachemw.cli.common.printing import echo_json, make_table, make_text, open_console
from cachemw.cli.common.redis_access import watching_cache
from cachemw.introspection.stored_entries import StoredEntry

__all__ = ["inspect"]

_WITHOUT_REDIS = (
    "the entries are in the memory of each process, where this command cannot look."
    " Call cache.inspection.memory() in the application"
)
_UNKNOWN = "what is stored is not known"
_VERDICTS = ("valid", "stale", "purged", "rejected")
_COLUMNS = [
    *("url", "method", "route", "status", "bytes", "age", "ttl"),
    *("verdict", "vary", "keyed by", "tags"),
]
_RIGHT = ("status", "bytes", "age", "ttl")

_Result = tuple[dict[str, Any], list[RenderableType]]
"""The JSON document, and the same content as tables and lines."""


@dataclass(slots=True)
class _Totals:
    """The entries of one route, added up."""

    entries: int = 0
    size: int = 0
    """Bytes of their bodies."""
    oldest: float = 0.0
    """Seconds of age."""
    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_VERDICTS, 0))

    def add(self, entry: StoredEntry) -> None:
        self.entries += 1
        self.size += entry.size
        self.oldest = max(self.oldest, entry.age)
        self.verdicts[entry.verdict] += 1


@click.command()
@config_option
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Show the entries that carry this tag."
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    metavar="URL",
    help="Show the entries of a URL, given as for `purge`.",
)
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_route,
    help="Show the entries of this route.",
)
@click.option("--entries", is_flag=True, help="Show each entry instead of the table by route.")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="The most entries to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    path: ConfigLocation,
    tags: tuple[str, ...],
    urls: tuple[str, ...],
    routes: tuple[str, ...],
    entries: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show what is stored in Redis: a table by route, or each entry.

    With --tag, --url or --route, show each entry that `cachemw purge` with the same options would
    purge. An entry is valid; stale (its lifetime is over, or it was purged softly); purged (never
    served again, but in Redis until it expires); or rejected (the stored bytes are not a valid
    entry), with the reason.
    """
    config = read_config(path)
    with watching_cache(config, _WITHOUT_REDIS, _UNKNOWN) as cache:
        stored = cache.inspection.shared(tags=tags, urls=urls, routes=routes)
        if entries or tags or urls or routes:
            document, printed = _list_entries(stored, limit)
        else:
            document, printed = _sum_by_route(stored, [route.name for route in config.routes])
    if as_json:
        echo_json(document)
    else:
        open_console().print(*printed)


def _sum_by_route(stored: Iterable[StoredEntry], names: list[str]) -> _Result:
    rows = {name: _Totals() for name in names}
    total = _Totals()
    for entry in stored:
        rows.setdefault(entry.route, _Totals()).add(entry)
        total.add(entry)
    routes = [{"route": name, **_as_dict(row)} for name, row in rows.items()]
    columns = ["entries", "bytes", "oldest", *_VERDICTS]
    cells = [[name or "(no route)", *_cells(row)] for name, row in rows.items()]
    printed = make_table(
        ["route", *columns], [*cells, ["all", *_cells(total)]], right=tuple(columns)
    )
    return {"routes": routes, "all": _as_dict(total)}, [printed]


def _as_dict(row: _Totals) -> dict[str, Any]:
    return {"entries": row.entries, "bytes": row.size, "oldest": row.oldest, **row.verdicts}


def _cells(row: _Totals) -> list[str]:
    counts = [str(count) if count else "" for count in row.verdicts.values()]
    return [str(row.entries), str(row.size), f"{row.oldest:.0f} s" if row.entries else "", *counts]


def _list_entries(stored: Iterator[StoredEntry], limit: int) -> _Result:
    entries = list(islice(stored, limit))
    more = next(stored, None) is not None
    document = {"entries": [asdict(entry) for entry in entries], "more": more}
    if not entries:
        return document, [make_text("There are no entries.")]
    printed: list[RenderableType] = [
        make_table(_COLUMNS, [_line(each) for each in entries], right=_RIGHT)
    ]
    if more:
        printed.append(
            make_text(f"There are more than these {limit}: give a larger --limit to see them.")
        )
    return document, printed


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
        f"{entry.ttl:.0f} s{_learned(entry)}",
        entry.verdict,
        ", ".join(entry.vary),
        ", ".join(entry.keyed_by),
        # Left out: tags of URL and route (`@...`), which have columns, and the tag `product:*` that
        # every `product:1` implies.
        " ".join(tag for tag in entry.tags if not tag.startswith("@") and tag[-2:] != ":*"),
    ]


def _learned(entry: StoredEntry) -> str:
    """Return what is learned of an entry, in brackets; nothing where nothing is."""
    if entry.lifetime is None or entry.changes_every is None:
        return ""
    return f" (of {entry.lifetime:.3g} s: changes every {entry.changes_every:.3g} s)"
