"""The tables of `docs/real-applications.md` and `docs/real-sites.md`: made from runs of this suite.

`CACHEMW_REAL_REPORT=docs` in the environment of the test run rewrites the rows of what it ran.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol

from .crawl import Pass, Visitor, revisit
from .sites import Site

__all__ = [
    "APPLICATIONS",
    "ROOT",
    "SITES",
    "TOLERANCE",
    "Row",
    "Table",
    "TableRow",
    "documented",
    "measure",
    "put",
    "record",
    "rewritten",
]

REPORT_VARIABLE = "CACHEMW_REAL_REPORT"
"""Names the folder of the documents whose tables are to be written anew from this run."""

ROOT = Path(__file__).parents[3]
TOLERANCE = 5.0
"""Percentage points by which a run may miss the document: new versions have other pages."""

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The generated table of a document."""

    document: str
    head: Sequence[str]
    share: int
    """The column that says which share the cache answered, in percent."""


APPLICATIONS = Table(
    document="real-applications.md",
    head=("application", "pages", "answered by the cache", "hit rate", "same pages, off", "on"),
    share=3,
)
SITES = Table(
    document="real-sites.md",
    head=(
        "application",
        "version",
        "answers compared",
        "page views of strangers",
        "hits",
        "share",
        "not answered, and why",
    ),
    share=5,
)


class TableRow(Protocol):
    """A row of such a table."""

    @property
    def cells(self) -> Sequence[str]:
        """What stands in the columns; the first names the application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The second pass of visitors without cookies over one application."""

    application: str
    pages: int
    hits: int
    off_ms: float
    hit_ms: float

    @property
    def hit_rate(self) -> float:
        """Share of the pages answered by the cache, in percent."""
        return 100 * self.hits / self.pages

    @property
    def cells(self) -> Sequence[str]:
        """What stands in the columns."""
        times = (f"{each:.1f} ms" for each in (self.off_ms, self.hit_ms))
        return (
            self.application,
            f"{self.pages}",
            f"{self.hits}",
            f"{self.hit_rate:.1f} %",
            *times,
        )


def measure(application: str, site: Site, warm: Pass) -> Row:
    """Sum up a second pass; time its pages anew, one after the other and with nobody else about."""
    alone = Visitor(name="alone", start=(), limit=0, connections=1)
    off, on = (asyncio.run(revisit(server, alone, warm)) for server in (site.off, site.on))
    hits = [target for target, answer in warm.items() if answer.hit]
    return Row(
        application=application,
        pages=len(warm),
        hits=len(hits),
        off_ms=1000 * median([off[target].seconds for target in hits] or [0.0]),
        hit_ms=1000 * median([on[target].seconds for target in hits] or [0.0]),
    )


def line(cells: Sequence[str]) -> str:
    """Write a row as Markdown has it."""
    return f"| {' | '.join(cells)} |"


def rows_of(document: str) -> Mapping[str, Sequence[str]]:
    """Read the rows of a document's table by application."""
    table = document.partition(BEGIN)[2].partition(END)[0]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    return {row[0]: row for row in cells[3:] if row}


def rewritten(document: str, table: Table, rows: Sequence[TableRow]) -> str:
    """Put rows into the table, in place of those of the same applications."""
    whole = {**rows_of(document), **{row.cells[0]: row.cells for row in rows}}
    lines = [line(table.head), "|---" * len(table.head) + "|"]
    lines += [line(whole[name]) for name in sorted(whole, key=str.lower)]
    return re.sub(
        f"{BEGIN}.*?{END}", lambda _: "\n".join([BEGIN, *lines, END]), document, flags=re.S
    )


def documented(document: str, table: Table) -> dict[str, float]:
    """Read the shares, in percent, by application."""
    return {name: float(row[table.share].rstrip(" %")) for name, row in rows_of(document).items()}


def put(folder: Path, table: Table, row: TableRow) -> None:
    """Write a row into the document of a folder; several processes may do so at once."""
    path = folder / table.document
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = rewritten(file.read(), table, [row])
        file.seek(0)
        file.truncate()
        file.write(text)


def record(table: Table, row: TableRow) -> None:
    """Compare a row with the document's, or write it to where the variable says."""
    folder = os.environ.get(REPORT_VARIABLE)
    if folder:
        put(Path(folder), table, row)
        return
    [share] = documented(rewritten(f"{BEGIN}\n{END}", table, [row]), table).values()
    written = documented((ROOT / "docs" / table.document).read_text(), table)
    assert abs(written[row.cells[0]] - share) <= TOLERANCE, (written, row.cells)
