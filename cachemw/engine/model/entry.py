"""Entries (responses) and Vary markers, which the tiers store, with everything that later decisions need.

All times are seconds on this process's *monotonic* clock, so a step of the wall clock cannot make a
lifetime longer or shorter. The codec converts them to and from the clock of the shared store.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, final

from msgspec import Struct

from cachemw.engine.model.holes import Hole

__all__ = [
    "NEVER",
    "NO_ANSWER",
    "Entry",
    "EntryWithHoles",
    "HeaderPairs",
    "Item",
    "Key",
    "Learned",
    "Made",
    "Position",
    "VaryMarker",
    "Verdict",
]

HeaderPairs = tuple[tuple[bytes, bytes], ...]
"""Headers in order, duplicates kept, names in lower case."""

NEVER = float("inf")


class Key(Struct, frozen=True, gc=False):
    """The key under which something is stored."""

    digest: bytes
    """24 bytes of keyed BLAKE2b over `full`: the index of both tiers."""
    full: bytes
    """The injective encoding itself. Entries in the shared store carry it, and it is compared on read."""


class Position(Struct, frozen=True, gc=False):
    """A place in the invalidation log."""

    epoch: bytes
    """8 bytes that name one life of the log. Positions of two epochs cannot be compared."""
    id: int
    """The last record applied, `milliseconds << 64 | sequence` as the server numbered it."""


class Learned(Struct, frozen=True, kw_only=True, gc=False):
    """The knowledge of one key, on routes whose lifetimes are learned. Times as in `Entry`."""

    content: bytes
    """A digest of what counts of its last response."""
    seen_at: float
    """When the application was called for that."""
    position: Position
    """The position of that response."""
    fresh_until: float
    """When its entry became stale, or will."""
    lifetime: float
    """For how long that entry was fresh, in seconds."""
    free: bool
    """Whether that lifetime was learned, and is not at one of its bounds."""
    refreshes: int = 0
    """How many responses were compared with the one before."""
    changes: float
    seconds: float
    """How often the content changes: see `learning.rates.Rate`."""
    asked: float
    waited: float
    """How often it is asked for: so many requests, each after a wait, took so many seconds together."""


class Made(Struct, frozen=True, kw_only=True):
    """A response that is being stored, for the learning of lifetimes."""

    key: bytes
    """`Key.digest`."""
    content: bytes
    """A digest of what counts of it."""
    at: float
    """When the application was called for it."""
    born: float
    """When its age was zero."""
    position: Position
    """Its position in the log."""
    purged: bool
    """Whether a purge has removed the response before it."""
    named: bool
    """Whether that purge has named one of its tags, and not just everything."""


class Verdict(Enum):
    """The verdict of the invalidation log on an entry."""

    VALID = "valid"
    STALE = "stale"
    """Purged softly: it may be served while it is refreshed, or if the application fails."""
    DEAD = "dead"
    """Purged: it must not be served (I5)."""


class Entry(Struct, kw_only=True, eq=False, gc=False):
    """One stored response.

    The garbage collector does not visit it (`gc=False`): there may be a million of these, and none
    refers to another.
    """

    key: bytes
    """`Key.digest`."""
    status: int
    headers: HeaderPairs
    body: bytes
    route: str
    """The route's name."""
    born: float
    """When the response's current age was zero (RFC 9111 §4.2.3)."""
    fresh_until: float
    stale_until: float
    """End of the stale-while-revalidate window; equals `fresh_until` when there is none."""
    stale_error_until: float
    """End of the stale-if-error window; equals `fresh_until` when there is none."""
    dies_at: float
    """When the entry becomes useless: all windows are over, and it is not worth validating."""
    position: Position
    """The position of the invalidation log when the call of the application began."""
    tags: tuple[str, ...] = ()
    vary: tuple[tuple[bytes, bytes | None], ...] = ()
    """The selecting headers with the request's values (RFC 9111 §4.1); None: the header was absent."""
    checked: int = -1
    """The log version at which the tags were last found unpurged."""
    visited: bool = False
    """Set by a hit, cleared by the memory tier's eviction hand."""
    leaves_at: float = NEVER
    """When the memory tier removes it under memory pressure. Until then it may be served."""
    learned: Learned | None = None
    """What is known of its key, if the route's lifetimes are learned."""

    def __repr__(self) -> str:
        return (
            f"<Entry {self.status} {self.route} {len(self.body)} bytes key={self.key.hex()[:12]}>"
        )


@final
class EntryWithHoles(Entry, kw_only=True, eq=False, gc=False):
    """A stored response that is not sent as it is: its holes are filled for each client.

    It is a type of its own so that the hot path, which looks at the type anyway, need not ask.
    """

    holes: tuple[Hole, ...]
    """In the order of the body."""


@final
class VaryMarker(Struct, kw_only=True, eq=False, gc=False):
    """The names of the request headers that select the variant, stored under a target's primary key.

    It is not a response and is never served; `model.variants` says how it is used. Tags, position and
    times are those of the entry that it was stored with.
    """

    # The tiers measure and write a marker like an entry: one without headers and without a body.
    headers: ClassVar[HeaderPairs] = ()
    body: ClassVar[bytes] = b""

    key: bytes
    """The digest of the target's primary key."""
    names: tuple[bytes, ...]
    """The names of the selecting headers, in lower case."""
    route: str
    born: float
    fresh_until: float
    dies_at: float
    position: Position
    tags: tuple[str, ...] = ()
    checked: int = -1
    visited: bool = False
    leaves_at: float = NEVER

    def __repr__(self) -> str:
        names = b", ".join(self.names).decode("latin-1")
        return f"<VaryMarker {self.route} by {names} key={self.key.hex()[:12]}>"


Item = Entry | VaryMarker
"""What the tiers store under one key."""


NO_ANSWER = Entry(
    key=b"",
    status=504,
    headers=(),
    body=b"",
    route="",
    born=0.0,
    fresh_until=0.0,
    stale_until=0.0,
    stale_error_until=0.0,
    dies_at=0.0,
    position=Position(b"", 0),
)
"""The response to `only-if-cached` when nothing is stored (RFC 9111 §5.2.1.7)."""
