"""What the documentation says that no recorder sees: a write of that kind leaves the answer as it was.

Where one of these fails a recorder has learned to see it: then the documentation is to say so.
"""

from __future__ import annotations

import pytest

from .bench import Bench

NAMES = {
    "a view",
    "a trigger",
    "a partition that is written by its name",
    "a partition that is read by its name",
    "raw_connection",
    "read by a middleware outside",
    "a cursor of the driver",
    "callproc",
    "COPY by psycopg",
    "COPY by psycopg2",
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_is_documented_as_not_seen_is_not(bench: Bench, name: str) -> None:
    if name not in bench.described["unseen"]:
        pytest.skip("not with this database and driver")
    came = bench.reader.order("unseen", name=name)
    bench.reader.order("forget")
    bench.library.restore()
    assert came["stored"] != came["before"]
    assert came["served"] == came["before"]


def test_every_kind_of_unseen_write_is_named(bench: Bench) -> None:
    assert set(bench.described["unseen"]) <= NAMES
