"""Every read after every write in every way to commit: nothing older than the database is served."""

from __future__ import annotations

import os

import pytest

from .bench import KINDS, Bench, Figures, Kind
from .fixtures import REPORT_VARIABLE, MakeBench
from .judge import chosen, fail_if_wrong, try_all

EVERY = 200
"""A short run tries one of so many pairs of a write and a way, and one of each known family."""
LEAST = 60
"""The least number of reads and of writes that each kind has."""
ROUNDS, TIMES = 60, 50


@pytest.mark.timeout(3600)
def test_nothing_older_is_served_after_a_committed_write(
    bench: Bench, figures: dict[Kind, Figures], pytestconfig: pytest.Config
) -> None:
    every = pytestconfig.getoption("every") or EVERY
    outcomes = try_all(bench, chosen(bench.described, every, known=True))
    sums = figures.setdefault(bench.kind, Figures())
    for outcome in outcomes:
        sums.add(outcome)
    fail_if_wrong(outcomes)


def test_each_kind_has_many_reads_writes_and_ways(bench: Bench) -> None:
    assert len(bench.described["reads"]) >= LEAST
    assert len(bench.described["writes"]) >= LEAST
    assert len(bench.described["ways"]) >= 5


def test_no_read_purges_anything_and_none_fails(bench: Bench) -> None:
    plain = bench.reader.order("plain")
    assert (bench.learned["failing"], plain["failing"]) == ({}, {})
    assert [*bench.learned["purging"], *plain["purging"]] == []


@pytest.mark.parametrize("kind", [KINDS[3], KINDS[7]], ids=str)
def test_without_a_recorder_old_answers_are_seen(make_bench: MakeBench, kind: Kind) -> None:
    """So that a test which sees none cannot be one that does not look."""
    bench = make_bench(kind, recording=False)
    for outcome in try_all(bench, chosen(bench.described, 300, known=False)):
        assert outcome.error == ""
        assert set(outcome.stale) == set(outcome.changed) != set(), outcome


@pytest.mark.skipif(REPORT_VARIABLE not in os.environ, reason="measures, and only for the document")
def test_what_recording_costs(
    bench: Bench, make_bench: MakeBench, figures: dict[Kind, Figures]
) -> None:
    """Measure a read and a write by the ORM, with and without the recorder, by turns."""
    bare = make_bench(bench.kind, recording=False)
    sums = figures.setdefault(bench.kind, Figures())
    sums.read = _ratio(bench, bare, "ORM: get")
    changing = "ORM: save of some fields" if bench.kind.framework == "django" else "Core: update"
    sums.write = _ratio(bench, bare, changing)
    bench.reader.order("forget")
    bench.stock.restore()


def _ratio(recorded: Bench, bare: Bench, name: str) -> float:
    def seconds(bench: Bench) -> float:
        order = {"name": name, "times": TIMES, "recording": name.endswith("get")}
        return float(bench.writer.order("time", **order)["seconds"])

    # The fastest round is the one that others disturbed least.
    rounds = [(seconds(recorded), seconds(bare)) for _ in range(ROUNDS)]
    return min(first for first, _ in rounds) / min(second for _, second in rounds)
