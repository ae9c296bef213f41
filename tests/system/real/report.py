"""The table of hit rates in `docs/real-applications.md`: made from a run of this suite.

`CACHEMW_REAL_REPORT=docs/real-applications.md` in the environment of the test run rewrites it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .crawl import Pass, Visitor, revisit
from .sites import Site

__all__ = ["DOCUMENT", "ROOT", "TOLERANCE", "Row", "documented", "measure", "rewritten"]

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "real-applications.md"
TOLERANCE = 5.0
"""Percentage points by which a run may miss the document: new versions have other pages."""

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HEAD = (
    "| application | pages | answered by the cache | hit rate | same pages, off | on |",
    "|---|---|---|---|---|---|",
)


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

    def __str__(self) -> str:
        return (
            f"| {self.application} | {self.pages} | {self.hits} | {self.hit_rate:.1f} % "
            f"| {self.off_ms:.1f} ms | {self.hit_ms:.1f} ms |"
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


def rewritten(document: str, rows: list[Row]) -> str:
    """Put the table between its markers in place of the one that is there."""
    table = "\n".join([BEGIN, *HEAD, *map(str, sorted(rows, key=lambda row: row.application)), END])
    return re.sub(f"{BEGIN}.*?{END}", lambda _: table, document, flags=re.S)


def documented(document: str) -> dict[str, float]:
    """Read the hit rates, in percent, by application."""
    table = document.partition(BEGIN)[2].partition(END)[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0]: float(row[3].rstrip(" %")) for row in cells[3:] if len(row) == 6}
