"""Ending in an orderly way with the interpreter: most servers never tell a WSGI application."""

from __future__ import annotations

import atexit
import weakref
from contextlib import suppress
from typing import Protocol

__all__ = ["close_at_exit"]


class _Closable(Protocol):
    def close(self) -> None:
        """End; harmless when that was done before, and bounded in time."""


_all: weakref.WeakSet[_Closable] = weakref.WeakSet()
_hooked = False


def close_at_exit(one: _Closable) -> None:
    """Have it closed when this process, or one that is forked from it, ends; it may go before."""
    global _hooked
    _all.add(one)
    if not _hooked:
        atexit.register(_close)
        _hooked = True


def _close() -> None:
    for one in list(_all):
        with suppress(Exception):  # the others are to be closed too
            one.close()
