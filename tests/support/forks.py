"""Forks that Python does not see, as a host makes them that is written in C."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

__all__ = ["WAYS", "fork", "needs_forks"]

WAYS = ("python", "host")
"""`python` runs the hooks of `os.register_at_fork`; `host` runs none."""

needs_forks = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts that fork in C are tried on Linux"
)


def fork(way: str) -> int:
    """Fork in a process with few threads: a lock that one of them holds stays locked in the child."""
    return os.fork() if way == "python" else int(ctypes.PyDLL(None).fork())
