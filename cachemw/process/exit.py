"""Closing objects when the interpreter exits.

WSGI has no shutdown event, so `atexit` is the only signal that a WSGI application gets.
"""

from __future__ import annotations

import atexit
import weakref
from contextlib import suppress
from typing import Protocol

from cachemw.process.fork import notice_fork

__all__ = ["close_at_exit"]


class _Closable(Protocol):
    def close(self) -> None:
        """Close it. A second call does nothing, and no call may block for long."""


_registered: weakref.WeakSet[_Closable] = weakref.WeakSet()
_installed = False


def close_at_exit(closable: _Closable) -> None:
    """Close an object when this process, or a process forked from it, exits.

    Only a weak reference is kept, so an object that is no longer used can be freed before that.
    """
    global _installed
    _registered.add(closable)
    if not _installed:
        atexit.register(_close_all)
        _installed = True


def _close_all() -> None:
    notice_fork()  # the parent's threads cannot be waited for, and its purges are its own
    for closable in list(_registered):
        with suppress(Exception):  # one failure must not keep the others from being closed
            closable.close()
