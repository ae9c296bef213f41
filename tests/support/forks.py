"""Forks that Python does not see, as a host makes them that is written in C."""

from __future__ import annotations

import ctypes
import os
import sys
import time

import pytest

__all__ = ["WAYS", "fork", "needs_forks"]

WAYS = ("python", "host")
"""`python` runs the hooks of `os.register_at_fork`; `host` runs none."""

needs_forks = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts that fork in C are tried on Linux"
)


def fork(way: str) -> int:
    """Fork. A thread that wants the interpreter's lock just then would make a host's child wait for ever."""
    if way == "python":
        return os.fork()
    time.sleep(0.02)
    return int(ctypes.PyDLL(None).fork())
