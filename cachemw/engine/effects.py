"""What a flow may ask its driver to do. Every answer comes with the time at which it came."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from msgspec import Struct

from cachemw.engine.entry import Entry, Key
from cachemw.engine.flights import Flight
from cachemw.errors import StoreError

__all__ = ["Await", "Effect", "Flow", "Lookup", "Save", "Stored", "save"]

Result = TypeVar("Result")


class Lookup(Struct, frozen=True):
    """Look a key up in the shared store. Answer: `(Entry | None, now)`."""

    key: Key
    route: str


class Await(Struct, frozen=True):
    """Wait for a flight's leader, at most `timeout` seconds. Answer: `(Landing, now)`."""

    flight: Flight
    timeout: float


class Save(Struct, frozen=True):
    """Write an entry to the shared store. Answer: `(True, now)` when it was written."""

    entry: Entry
    key: Key
    route: str


Effect = Lookup | Await | Save
Flow = Generator[Effect, Any, Result]


class Stored(Struct, frozen=True):
    """Entries that the memory tier holds and the shared store is to get."""

    entries: tuple[tuple[Key, Entry], ...]
    route: str


def save(stored: Stored) -> Flow[bool]:
    """Write what was kept to the shared store; run it when the response has gone out."""
    try:
        for key, entry in stored.entries:
            yield Save(entry, key, stored.route)
    except StoreError:
        return False
    return True
