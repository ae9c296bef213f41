"""Benches of each kind, and the figures that a run yields."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from . import report
from .bench import KINDS, Bench, Figures, Kind, bench_of
from .servers import MissingServer

__all__ = ["REPORT_VARIABLE", "MakeBench", "bench", "figures", "make_bench"]

REPORT_VARIABLE = "CACHEMW_DATABASES_REPORT"
"""Names the document whose table is to be written anew from this run."""

MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session", params=KINDS, ids=str)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """Yield one bench for all tests of a kind."""
    try:
        with bench_of(request.param, tmp_path_factory.mktemp("bench")) as made:
            yield made
    except MissingServer as missing:
        pytest.skip(str(missing))


@pytest.fixture
def make_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBench]:
    """Return a function that makes a bench of its own for a test."""
    with ExitStack() as stack:

        def make(kind: Kind, **options: Any) -> Bench:
            try:
                return stack.enter_context(
                    bench_of(kind, tmp_path_factory.mktemp("bench"), **options)
                )
            except MissingServer as missing:
                pytest.skip(str(missing))

        yield make


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Iterator[dict[Kind, Figures]]:
    """Collect the figures of a run, print them, and write them to where the variable says."""
    found: dict[Kind, Figures] = {}
    yield found
    rows = [report.Row(kind, each) for kind, each in found.items()]
    table = report.table(rows, pytestconfig.getoption("every"))
    print("\n" + table)
    if path := os.environ.get(REPORT_VARIABLE):
        document = Path(path)
        document.write_text(report.rewritten(document.read_text("utf-8"), table), "utf-8")
