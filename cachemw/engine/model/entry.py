"""What is stored: one response, with everything needed to decide later whether it may be served.

Times here are seconds on this process's *monotonic* clock, so no step of the wall clock can
stretch or cut a lifetime. The codec translates them to and from the shared store's clock.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

__all__ = ["MARKER", "NEVER", "NO_ANSWER", "Entry", "HeaderPairs", "Key", "Position", "Verdict"]

HeaderPairs = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, duplicates kept, names in lower case."""

NEVER = float("inf")
MARKER = 0
"""The status of an entry that is no response but says which request fields select the variant."""


class Key(Struct, frozen=True, gc=False):
    """What an entry is found by."""

    digest: bytes
    """24 bytes of keyed BLAKE2b over `full`: the index of both tiers."""
    full: bytes
    """The injective encoding itself; the shared store's entry carries it and it is compared on read."""


class Position(Struct, frozen=True, gc=False):
    """A place in the invalidation log."""

    epoch: bytes
    """8 bytes naming one life of the log; positions of two epochs cannot be compared."""
    id: int
    """The last record applied, `milliseconds << 64 | sequence` as the server numbered it."""


class Verdict(Enum):
    """What the invalidation log says of an entry."""

    VALID = "valid"
    STALE = "stale"
    """Purged softly: it may serve while it is refreshed, or when the origin fails."""
    DEAD = "dead"


class Entry(Struct, kw_only=True, eq=False, gc=False):
    """One stored response.

    A struct that the garbage collector does not visit: a million of these live in memory, none of
    them refers to another, and the hit path reads six fields.
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
    """When the entry is of no use any more: windows over, and not worth asking the origin about."""
    position: Position
    """Where the invalidation log stood when the origin call began."""
    tags: tuple[str, ...] = ()
    vary: tuple[tuple[bytes, bytes | None], ...] = ()
    """The selecting request fields and their values (RFC 9111 §4.1); None: the field was absent."""
    checked: int = -1
    """The log version at which the tags were last found unpurged."""
    visited: bool = False
    """Set by a hit, cleared by the memory tier's eviction hand."""
    leaves_at: float = NEVER
    """When the memory tier lets go of it under pressure; until then it may be served as ever."""

    @property
    def is_marker(self) -> bool:
        """Whether this only says which request fields select the variant (their names are in `vary`)."""
        return self.status == MARKER

    def __repr__(self) -> str:
        return (
            f"<Entry {self.status} {self.route} {len(self.body)} bytes key={self.key.hex()[:12]}>"
        )


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
"""What stands for the answer that a client wanted from the cache and nowhere else."""
