"""Effects: what a flow may ask of its driver. Every result comes with the time at which it came.

A flow is a generator, so that one text serves threads and event loops: it yields an effect, the driver
performs it and sends the result back. Failures of the store enter the flow as StoreError.
"""

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
    """Look up a key in the shared store. Result: `(Item | None, now)`."""

    key: Key
    route: str


class Await(Struct, frozen=True):
    """Wait for a flight: join it, and mark the follower as late in between. Result: `(FlightResult, now)`."""

    flight: Flight
    timeout: float
    """Seconds until the follower is marked as late."""
    further: float
    """Seconds that it waits after that, for its turn."""


class Save(Struct, frozen=True):
    """Write an entry to the shared store. Result: `(True, now)` if it was written."""

    entry: Item
    key: Key
    route: str


class Lease(Struct, eq=False, weakref=True):
    """The right to call the application for a key, while other processes wait for the result.

    It is renewed as long as this object exists and is not dropped.
    """

    key: Key
    token: bytes
    """Proves to Redis that this process holds the lease. Empty: no lease was taken, and nobody waits."""
    dropped: bool = False
    """Whether its holder was cancelled. The traceback of a cancelled task may keep this object for long."""


class Claim(Enum):
    """Why there is no lease."""

    HELD = "held"
    """Another process is calling the application."""
    UNCACHEABLE = "uncacheable"
    """Another process found that the response cannot be stored."""
    UNAVAILABLE = "unavailable"
    """The shared store cannot be asked now."""


class Acquire(Struct, frozen=True):
    """Take the lease on a key, which all processes share. Result: `(Lease | Claim, now)`."""

    key: Key


class Pause(Struct, frozen=True):
    """Wait for some seconds. Result: `(None, now)`."""

    seconds: float


class Settle(Struct, frozen=True):
    """Release a lease; if `uncacheable`, store a marker so that nobody waits. Result: `(None, now)`."""

    lease: Lease
    uncacheable: bool


Effect = Lookup | Await | Save | Acquire | Pause | Settle
Flow = Generator[Effect, Any, Result]


class SharedWrite(Struct, frozen=True):
    """A write to the shared store of what the memory tier holds already, done after the response."""

    entries: tuple[tuple[Key, Item], ...]
    route: str
    lease: Lease | None = None
    """The lease to settle when they are written."""
    uncacheable: bool = False


def save(write: SharedWrite) -> Flow[bool]:
    """Write to the shared store; run this flow when the response has been sent."""
    written = True
    try:
        for key, entry in write.entries:
            yield Save(entry, key, write.route)
    except StoreError:
        written = False
    if write.lease is not None:
        # Also if the write failed: a server that refuses writes still deletes, and other processes must
        # not wait for an entry that will not come.
        try:
            yield Settle(write.lease, write.uncacheable)
        except StoreError:
            return False
    return written
