"""The memory of an entry over its body, measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.effort import Effort
from bench.rows import Row, at_most, note, skipped
from bench.timing import spread

__all__ = ["memory"]

WANTED_KILOBYTES = 1.2
_WHAT = "memory of an entry over its body, six response fields"


def memory(effort: Effort) -> Iterator[Row]:
    """Measure everything in this group."""
    if not Path("/proc/self/statm").exists():
        yield skipped(_WHAT, "needs Linux's /proc")
        return
    found = [_grown(effort.kept) for _ in range(effort.processes)]
    more = [growth["one more"] for growth in found]
    if any(growth["entries"] != effort.kept for growth in more):
        raise RuntimeError(f"not every entry was kept: {found}")
    bodies = more[0]["bodies"] / more[0]["entries"]
    yield at_most(
        _WHAT,
        spread([_over(growth, "resident") for growth in more]),
        WANTED_KILOBYTES,
        unit=" kB",
        scale=1e-3,
        beside=f"growth of the process over {effort.kept:,} entries with bodies of {bodies:,.0f} B",
    )
    total = [growth["all"] for growth in found]
    yield note(
        f"the same over the first {total[0]['entries']:,}, with what has a bound of its own",
        spread([_over(growth, "resident") for growth in total]),
        unit=" kB",
        scale=1e-3,
    )
    yield note(
        "the same, as the memory tier accounts for it",
        spread([_over(growth, "accounted") for growth in more]),
        unit=" kB",
        scale=1e-3,
    )


def _over(growth: dict[str, int], what: str) -> float:
    """Give the bytes of one entry over its body."""
    return (growth[what] - growth["bodies"]) / growth["entries"]


def _grown(count: int) -> dict[str, dict[str, int]]:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "bench.kept", str(count)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    growth: dict[str, dict[str, int]] = json.loads(done.stdout)
    return growth
