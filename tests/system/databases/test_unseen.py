"""What the documentation says that no recorder sees: a write of that kind leaves the answer as it was.

Where one of these fails a recorder has learned to see it: then the documentation is to say so.
"""

from __future__ import annotations

from typing import Any

from .bench import Bench

NAMES = {
    "a view",
    "a trigger",
    "a partition that is written by its name",
    "a partition that is read by its name",
    "raw_connection",
    "a cursor of the driver",
    "callproc",
    "COPY by psycopg",
    "COPY by psycopg2",
}


def test_what_is_documented_as_not_seen_is_not(bench: Bench) -> None:
    names = bench.described["unseen"]
    assert set(names) <= NAMES
    came = {name: _try_out(bench, name) for name in names}
    unchanged = [name for name, of in came.items() if of["stored"] == of["before"]]
    seen = [name for name, of in came.items() if of["served"] != of["before"]]
    assert (unchanged, seen) == ([], [])


def _try_out(bench: Bench, name: str) -> dict[str, Any]:
    came: dict[str, Any] = bench.reader.order("unseen", name=name)
    bench.reader.order("forget")
    bench.stock.restore()
    return came
