"""The two applications, each served with and without the cache over the same data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cachemw.testing import RedisServer

from . import datasette_app
from .sites import Site, build_wagtail, serve_datasette, serve_wagtail

__all__ = ["datasette", "redis", "wagtail"]


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
