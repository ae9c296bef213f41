"""The memory of an entry beyond its body, and of a full memory tier beside its limit.

Each is measured as the growth of a process of its own (resident memory, from Linux's /proc). The
first figure is in kB per entry, the second is a ratio to `max_size`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.churned import POPULATIONS
from bench.effort import Effort
from bench.rows import Row, at_most, note, skipped
from bench.timing import spread

__all__ = ["memory"]

WANTED_KILOBYTES = 1.2
WANTED_GROWTH = 1.15
_MEBIBYTES = 32
_WHAT = "memory of an entry beyond its body, with six response headers"


def memory(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    if not Path("/proc/self/statm").exists():
        yield skipped(_WHAT, "needs Linux's /proc")
        return
    found = [_measure_growth(effort.kept) for _ in range(effort.processes)]
    more = [growth["one more"] for growth in found]
    if any(growth["entries"] != effort.kept for growth in more):
        raise RuntimeError(f"not every entry was stored: {found}")
    bodies = more[0]["bodies"] / more[0]["entries"]
    yield at_most(
        _WHAT,
        spread([_beyond_body(growth, "resident") for growth in more]),
        WANTED_KILOBYTES,
        unit=" kB",
        scale=1e-3,
        beside=f"growth of the process over {effort.kept:,} entries with bodies of {bodies:,.0f} B",
    )
    total = [growth["all"] for growth in found]
    yield note(
        f"the same over the first {total[0]['entries']:,}, with tables of a fixed size included",
        spread([_beyond_body(growth, "resident") for growth in total]),
        unit=" kB",
        scale=1e-3,
    )
    yield note(
        "the same, as the memory tier accounts for it",
        spread([_beyond_body(growth, "accounted") for growth in more]),
        unit=" kB",
        scale=1e-3,
    )
    for population, kind in POPULATIONS.items():
        yield _full_tier_row(population, kind.about, effort.turns)


def _full_tier_row(population: str, about: str, turns: int) -> Row:
    """Measure the largest growth of a process whose full memory tier is replaced several times."""
    found = _run("bench.churned", population, str(_MEBIBYTES), str(turns))
    ratio = {name: found[name] / found["max_size"] for name in ("filled", "highest", "emptied")}
    return at_most(
        f"growth of a process against `max_size`, all entries replaced {turns} times: {about}",
        spread([ratio["highest"]]),
        WANTED_GROWTH,
        unit=" x",
        beside=f"{ratio['filled']:.2f} x when just full",
        **ratio,
    )


def _beyond_body(growth: dict[str, int], what: str) -> float:
    """Return the bytes of one entry beyond its body."""
    return (growth[what] - growth["bodies"]) / growth["entries"]


def _measure_growth(count: int) -> dict[str, dict[str, int]]:
    growth: dict[str, dict[str, int]] = _run("bench.kept", str(count))
    return growth


def _run(module: str, *arguments: str) -> Any:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-B", "-m", module, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
