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


_registered: weakref.WeakSet[_Closable] = weakref.WeakSet()
_installed = False


def close_at_exit(closable: _Closable) -> None:
    """Have it closed when this process, or one that is forked from it, ends; it may go before."""
    global _installed
    _registered.add(closable)
    if not _installed:
        atexit.register(_close_all)
        _installed = True


def _close_all() -> None:
    for closable in list(_registered):
        with suppress(Exception):  # the others are to be closed too
            closable.close()
