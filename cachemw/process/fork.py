"""Telling objects, in a child process, that they came there by a fork."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["reset_in_children"]


class _Resettable(Protocol):
    def reset_after_fork(self) -> None:
        """Begin anew: locks, threads and connections stayed with the parent."""


_all: weakref.WeakSet[_Resettable] = weakref.WeakSet()
_hooked = False


def reset_in_children(one: _Resettable) -> None:
    """Have `reset_after_fork` called on it in every child, for as long as it lives."""
    global _hooked
    _all.add(one)
    if not _hooked and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_reset)
        _hooked = True


def _reset() -> None:
    for one in _all:
        one.reset_after_fork()
