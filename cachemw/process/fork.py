"""Resetting objects in a forked child process."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["reset_in_children"]


class _Resettable(Protocol):
    def reset_after_fork(self) -> None:
        """Make new locks, and forget threads and connections: they belong to the parent."""


_registered: weakref.WeakSet[_Resettable] = weakref.WeakSet()
_installed = False


def reset_in_children(resettable: _Resettable) -> None:
    """Call `reset_after_fork` of an object in every forked child.

    Only a weak reference is kept, so this does not keep the object alive.
    """
    global _installed
    _registered.add(resettable)
    if not _installed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_reset_all)
        _installed = True


def _reset_all() -> None:
    for resettable in _registered:
        resettable.reset_after_fork()
