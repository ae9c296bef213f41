"""The reports: a table on the terminal, a JSON file, and a section of docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rows import Row

__all__ = ["Measured", "environment", "print_table", "read", "write_json", "write_section"]

_COLOURS = {
    "reached": "green",
    "NOT REACHED": "bold red",
    "skipped": "yellow",
    "FAILED": "bold red",
    "-": "dim",
}
_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The rows of one group, when they were measured, and the load of the machine before and after."""

    rows: list[Row]
    when: str
    load: tuple[float, float]


def environment() -> dict[str, Any]:
    """Return a description of this machine and its Python."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "machine": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "implementation": platform.python_implementation(),
    }


def print_table(rows: Iterable[Row]) -> None:
    """Print the table of all rows."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("what", "measured", "must reach"):
        table.add_column(name, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        colour = _COLOURS[row.verdict]
        table.add_row(row.what, row.measured, row.must, f"[{colour}]{row.verdict}[/]")
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


def write_json(path: Path, measured: Mapping[str, Measured], *, quick: bool) -> None:
    """Write the results. Groups that were not measured now keep the results in the file.

    They are kept only if the file comes from the same machine, Python and effort.
    """
    document: dict[str, Any] = {"quick": quick, "environment": environment(), "groups": {}}
    if path.exists():
        before = read(path)
        if all(before.get(key) == document[key] for key in ("quick", "environment")):
            document["groups"] = before["groups"]
    document["groups"] |= {name: asdict(found) for name, found in measured.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Return what `write_json` wrote."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write_section(page: Path, document: dict[str, Any]) -> None:
    """Write the table into a page, between two marks; raises ValueError if they are missing."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(
            f"{page}: the lines {_BEGIN} and {_END} are missing: add them where the table goes"
        )
    section = "\n".join([begin, *_section(document), end])
    page.write_text(before + section + after, encoding="utf-8")


def _section(document: dict[str, Any]) -> Iterable[str]:
    where, groups = document["environment"], document["groups"].values()
    loads = [load for group in groups for load in group["load"]]
    yield (
        f"Measured on {where['cores']} cores, {where['system']}, Python {where['python']}, on "
        f"{max(group['when'] for group in groups)[:10]}; load average {min(loads)} to {max(loads)}."
    )
    yield ""
    yield "| what | measured | must reach | verdict |"
    yield "|---|---|---|---|"
    for group in groups:
        for row in group["rows"]:
            yield f"| {row['what']} | {row['measured']} | {row['must']} | {row['verdict']} |"
