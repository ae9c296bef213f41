"""Returning free memory to the operating system, where the C library can do it.

glibc returns only the free end of a heap to the kernel, and keeps the holes in between; it has several
heaps, for its threads. So after a purge of everything, the process would stay as large as before.
And where eight threads store bodies of mixed sizes, it would grow to 1.45 times the limit
(`bench/churned.py`). `malloc_trim` returns all free pages of all heaps. It takes one or two
milliseconds for 100 MB, without holding the GIL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["trim"]


def trim() -> None:
    """Return free pages to the operating system. Does nothing if the C library is not glibc."""
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows, where None is no library
        return None
