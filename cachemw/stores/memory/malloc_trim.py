"""Give memory back that malloc holds free, where the C library can.

glibc returns to the kernel what is free at the end of its heap, and keeps the holes in between, in
each of the heaps that it makes for threads. After a purge of everything a process would stay as large
as it was; and where eight threads keep bodies of mixed sizes, it would grow to 1.45 times the cap
(`bench/churned.py`). `malloc_trim` gives back the whole pages in all of them. It takes a millisecond
or two for a hundred megabytes, during which the interpreter is free for other threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

__all__ = ["trim"]


def trim() -> None:
    """Give back whole free pages; does nothing where the C library is not glibc."""
    malloc_trim = _malloc_trim()
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows, where None is no library
        return None
