"""Answers made from a snapshot that is older than the request: they must not outlive a purge.

A middleware outside of the cache's has begun a transaction and read something, at REPEATABLE READ. Before the
cache's middleware begins, another request commits a write and purges. The view then reads the old snapshot.
"""

from __future__ import annotations

import pytest

from .bench import Bench


@pytest.mark.parametrize(
    ("read", "write"),
    [
        ("a row by key", "UPDATE by key"),
        ("a row that is not there yet", "INSERT with a key"),
        ("rows by foreign key", "UPDATE of a foreign key"),
        ("count", "INSERT of a child"),
    ],
)
def test_an_answer_from_a_snapshot_that_a_purge_has_overtaken_is_not_served_again(
    bench: Bench, read: str, write: str
) -> None:
    if (bench.kind.framework, bench.kind.vendor) == ("alchemy", "sqlite"):
        pytest.skip("the drivers of SQLite begin no transaction for a query")
    came = bench.reader.order("overtake", read=read, write=write)
    bench.reader.order("forget")
    bench.stock.restore()
    assert came["stored"] != came["before"]
    assert came["first"] == came["before"], "the outer transaction has no snapshot"
    assert came["next"] == came["stored"]
