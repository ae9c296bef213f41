"""What a flow may ask its driver to do. Every answer comes with the time at which it came."""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from typing import Any, TypeVar

from msgspec import Struct

from cachemw.engine.core.flights import Flight
from cachemw.engine.model.entry import Item, Key
from cachemw.errors import StoreError

__all__ = [
    "Acquire",
    "Await",
    "Claim",
    "Effect",
    "Flow",
    "Lease",
    "Lookup",
    "Pause",
    "Save",
    "Settle",
    "SharedWrite",
    "save",
]

Result = TypeVar("Result")


class Lookup(Struct, frozen=True):
    """Look a key up in the shared store. Answer: `(Item | None, now)`."""

    key: Key
    route: str


class Await(Struct, frozen=True):
    """Wait for a flight, and say so when that has taken long. Answer: `(Landing, now)`."""

    flight: Flight
    timeout: float
    """Seconds until the follower insists."""
    further: float
    """Seconds that it waits on then, for its turn."""


class Save(Struct, frozen=True):
    """Write an entry to the shared store. Answer: `(True, now)` when it was written."""

    entry: Item
    key: Key
    route: str


class Lease(Struct, eq=False, weakref=True):
    """The right to call the application for a key while other processes wait for what comes of it.

    It is renewed for as long as somebody holds this object, and has not dropped it.
    """

    key: Key
    token: bytes
    """Proves that it is ours to settle; without it, nothing was to be had and nobody is asked to wait."""
    dropped: bool = False
    """Whether its holder was cut off: the traceback of a cancelled task may hold the object for long."""


class Claim(Enum):
    """Why there is no lease."""

    HELD = "held"
    """Another process is calling the application."""
    UNCACHEABLE = "uncacheable"
    """Another process has found that the answer cannot be kept."""
    UNAVAILABLE = "unavailable"
    """There is no shared store to ask just now."""


class Acquire(Struct, frozen=True):
    """Take the fleet's lease on a key. Answer: `(Lease | Claim, now)`."""

    key: Key


class Pause(Struct, frozen=True):
    """Let some time pass. Answer: `(None, now)`."""

    seconds: float


class Settle(Struct, frozen=True):
    """Give a lease back, or leave word that nobody need wait. Answer: `(None, now)`."""

    lease: Lease
    uncacheable: bool


Effect = Lookup | Await | Save | Acquire | Pause | Settle
Flow = Generator[Effect, Any, Result]


class SharedWrite(Struct, frozen=True):
    """Entries that the memory tier holds and the shared store is to get."""

    entries: tuple[tuple[Key, Item], ...]
    route: str
    lease: Lease | None = None
    """What is to be settled when they are there."""
    uncacheable: bool = False


def save(stored: SharedWrite) -> Flow[bool]:
    """Write what was kept to the shared store; run it when the response has gone out."""
    written = True
    try:
        for key, entry in stored.entries:
            yield Save(entry, key, stored.route)
    except StoreError:
        written = False
    if stored.lease is not None:
        try:  # a server that refuses writes still deletes: nobody is to wait for what will not come
            yield Settle(stored.lease, stored.uncacheable)
        except StoreError:
            return False
    return written
