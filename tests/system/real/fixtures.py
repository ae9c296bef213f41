"""The two applications, each served with and without the cache over the same data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachemw.testing import RedisServer

from . import datasette_app, report
from .sites import Site, build_wagtail, serve_datasette, serve_wagtail

__all__ = ["datasette", "record", "redis", "wagtail"]

REPORT_VARIABLE = "CACHEMW_REAL_REPORT"
"""Names the document whose table is to be written anew from this run."""


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    with RedisServer(unix=True) as server:
        yield server.url


@pytest.fixture(scope="session")
def datasette(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("datasette")
    datasette_app.seed(folder)
    with serve_datasette(folder) as off, serve_datasette(folder, redis) as on:
        yield Site(off=off, on=on, folder=folder, redis=redis)


@pytest.fixture(scope="session")
def wagtail(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = build_wagtail(tmp_path_factory.mktemp("wagtail"))
    with serve_wagtail(folder) as off, serve_wagtail(folder, redis) as on:
        yield Site(off=off, on=on, folder=folder, redis=redis)


@pytest.fixture(scope="session")
def record() -> Iterator[Callable[[report.Row], None]]:
    """Compare a row with the document's table, or write all rows to where the variable says."""
    rows: list[report.Row] = []
    path = os.environ.get(REPORT_VARIABLE)

    def compare(row: report.Row) -> None:
        rows.append(row)
        if not path:
            written = report.documented(report.DOCUMENT.read_text())
            assert written[row.application] == pytest.approx(row.hit_rate, abs=report.TOLERANCE)

    yield compare
    if path:
        document = Path(path)
        document.write_text(report.rewritten(document.read_text(), rows))
