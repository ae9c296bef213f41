"""The programs that these tests need, or a skip that says how to get them."""

from __future__ import annotations

import shutil

import pytest

__all__ = ["program"]

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
