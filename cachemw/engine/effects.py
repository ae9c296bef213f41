"""What a flow may ask its driver to do. Every answer comes with the time at which it came."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from cachemw.engine.entry import Entry, Key
from cachemw.engine.flights import Flight

__all__ = ["Await", "Effect", "Flow", "Lookup", "Save"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Lookup:
    """Look a key up in the shared store. Answer: `(Entry | None, now)`."""

    key: Key
    route: str


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for a flight's leader, at most `timeout` seconds. Answer: `(Landing, now)`."""

    flight: Flight
    timeout: float


@dataclass(frozen=True, slots=True)
class Save:
    """Write an entry to the shared store. Answer: `(True, now)` when it was written."""

    entry: Entry
    key: Key
    route: str


Effect = Lookup | Await | Save
Flow = Generator[Effect, Any, Result]
