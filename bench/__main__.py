"""The command line: measure, print the table, write the JSON: `python -m bench [--only GROUP]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.django_hits import django_hits
from bench.effort import FULL, QUICK, Effort
from bench.exporting import export_metrics
from bench.fleet import fleet
from bench.flood import flood
from bench.hits import hits
from bench.learning import learning
from bench.memory import memory
from bench.misses import misses
from bench.policies import policies
from bench.recorder import recorder
from bench.redis_hits import redis_hits
from bench.report import Measured
from bench.rollouts import rollouts
from bench.rows import Group, Row, failed
from bench.scale import scale
from bench.servers import servers
from bench.sqlalchemy_recorder import sqlalchemy_recorder
from bench.starts import starts

__all__ = ["GROUPS", "main"]

GROUPS: dict[str, Group] = {
    "hits": hits,
    "django": django_hits,
    "recorder": recorder,
    "servers": servers,
    "redis": redis_hits,
    "misses": misses,
    "scale": scale,
    "memory": memory,
    "fleet": fleet,
    "policies": policies,
    "flood": flood,
    "learning": learning,
    "sqlalchemy": sqlalchemy_recorder,
    "starts": starts,
    "rollouts": rollouts,
}
_HERE = Path(__file__).parent
_PAGE = _HERE.parent / "docs" / "benchmarks.md"


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=GROUPS,
        metavar="GROUP",
        help=f"one of {', '.join(GROUPS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few and short rounds: less exact, but fast"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if a figure misses its limit"
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=_HERE / "results" / "latest.json",
        help="where to write the results; default: bench/results/latest.json",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="measure nothing; write the table of the last run into docs/benchmarks.md",
    )
    return parser.parse_args(given)


def _measure(name: str, effort: Effort) -> Measured:
    rows: list[Row] = []
    print(f"measuring: {name} ...", end=" ", file=sys.stderr, flush=True)
    began, load = time.monotonic(), os.getloadavg()[0]
    try:
        rows.extend(GROUPS[name](effort))
    except Exception as error:  # keep the results of the other groups
        traceback.print_exc()
        rows.append(failed(name, error))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return Measured(
        rows=rows,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        load=(round(load, 2), round(os.getloadavg()[0], 2)),
    )


def main(given: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status."""
    arguments = _arguments(given)
    if arguments.markdown:
        report.write_section(_PAGE, report.read(arguments.json))
        return 0
    effort = QUICK if arguments.quick else FULL
    stop = export_metrics()
    try:
        measured = {name: _measure(name, effort) for name in arguments.only or GROUPS}
    finally:
        stop()
    rows = [row for found in measured.values() for row in found.rows]
    report.print_table(rows)
    report.write_json(arguments.json, measured, quick=arguments.quick)
    bad = {"FAILED", "NOT REACHED"} if arguments.strict else {"FAILED"}
    return int(any(row.verdict in bad for row in rows))


if __name__ == "__main__":
    sys.exit(main())
