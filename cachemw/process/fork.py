"""Telling objects, in a child process, that they came there by a fork."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["reset_in_children"]


class _Resettable(Protocol):
    def reset_after_fork(self) -> None:
        """Begin anew: locks, threads and connections stayed with the parent."""


_registered: weakref.WeakSet[_Resettable] = weakref.WeakSet()
_installed = False


def reset_in_children(resettable: _Resettable) -> None:
    """Have `reset_after_fork` called on it in every child, for as long as it lives."""
    global _installed
    _registered.add(resettable)
    if not _installed and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_reset_all)
        _installed = True


def _reset_all() -> None:
    for resettable in _registered:
        resettable.reset_after_fork()
