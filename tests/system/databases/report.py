"""The table of `docs/dependencies.md`: made from a run of this suite.

`CACHEMW_DATABASES_REPORT=docs/dependencies.md` in the environment of the test run rewrites it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .bench import Figures, Kind

__all__ = ["Row", "rewritten", "table"]

BEGIN, END = "<!-- databases: begin -->", "<!-- databases: end -->"
HEAD = (
    "| framework | database | driver | combinations | old answers | purged needlessly | a read | a write |",
    "|---|---|---|---|---|---|---|---|",
)
FRAMEWORKS = {"django": "Django", "alchemy": "SQLAlchemy"}


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one framework, database and driver."""

    kind: Kind
    figures: Figures

    def __str__(self) -> str:
        kind, of = self.kind, self.figures
        share = 100 * of.needless / of.unchanged if of.unchanged else 0.0
        return (
            f"| {FRAMEWORKS[kind.framework]} | {kind.database} | {kind.driver} | {of.combinations:,} "
            f"| {of.stale} | {share:.1f} % | {_times(of.read)} | {_times(of.write)} |"
        )


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f} times"


def table(rows: Sequence[Row], every: int | None) -> str:
    """Return the table, between its markers; `every`: which share of all pairs was tried."""
    share = "all" if every == 1 else f"one of {every}" if every else "a sample"
    caption = f"Of the pairs of a write and a way: {share}."
    return "\n".join([BEGIN, *HEAD, *map(str, rows), "", caption, END])


def rewritten(document: str, new: str) -> str:
    """Put the table between its markers in place of the one that is there."""
    assert BEGIN in document, f"there is no {BEGIN} in it"
    return re.sub(f"{BEGIN}.*?{END}", lambda _: new, document, flags=re.S)
