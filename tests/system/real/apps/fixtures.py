"""A Redis for the sites of one process, and what makes the sites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachemw.testing import RedisServer

from .catalogue import LONG
from .django_sites import DjangoSite
from .environments import NotInstallable, python_for
from .program_sites import ProgramSite

__all__ = ["make_program", "make_site", "redis"]


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    with RedisServer(unix=True) as server:
        yield server.url


def usable(name: str) -> Path:
    """Give the interpreter of an application's environment, or skip with the reason."""
    try:
        return python_for(name)
    except NotInstallable as error:
        pytest.skip(f"{name} cannot be installed: {error}")


@pytest.fixture(scope="session")
def make_site(redis: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DjangoSite]:
    """Make a Django site of this folder by its name."""

    def make(name: str) -> DjangoSite:
        return DjangoSite.make(name, usable(name), tmp_path_factory.mktemp(name), redis)

    return make


@pytest.fixture(scope="session")
def make_program(
    redis: str, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str], ProgramSite]:
    """Make a site of `programs` by its name; a short run skips those that it leaves out."""

    def make(name: str) -> ProgramSite:
        if name in LONG and not pytestconfig.getoption("--whole"):
            pytest.skip(f"{name} is crawled with --whole")
        folder = tmp_path_factory.mktemp(name)
        return ProgramSite(name=name, python=usable(name), folder=folder, redis=redis)

    return make
