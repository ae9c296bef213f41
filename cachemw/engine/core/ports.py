"""The engine's ports: what it expects of the memory tier, the log and the reporter, and its settings.

The engine does no I/O. Whatever holds state or reports goes through a protocol here, so `engine`
imports neither `stores` nor `invalidation` nor `telemetry`. `wiring` passes the real objects in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Protocol

from msgspec import Struct

from cachemw.engine.model.differences import Difference, Shadow
from cachemw.engine.model.entry import HeaderPairs, Item, Learned, Made, Position, Verdict
from cachemw.engine.model.outcomes import EventName, ForecastName
from cachemw.engine.model.routes import Bounds, RouteState
from cachemw.http.fields import Pair

__all__ = [
    "EngineSettings",
    "FloorsPort",
    "Hooks",
    "LifetimesPort",
    "LogTrust",
    "MemoryPort",
    "Parts",
    "Readable",
    "ShadowsPort",
]


class MemoryPort(Protocol):
    """The memory tier."""

    def get(self, key: bytes) -> Item | None:
        """Return what is stored under a digest."""

    def discard(self, key: bytes) -> None:
        """Remove what is stored under a digest, if there is anything."""

    def put(self, entry: Item) -> bool:
        """Store an item; return False if it does not fit."""

    def discard_if(self, key: bytes, entry: Item) -> None:
        """Remove an item only while it is this very object."""


class FloorsPort(Protocol):
    """The purges that this process knows of."""

    version: int
    """Changes whenever something may have been purged."""

    def judge(self, entry: Item) -> Verdict:
        """Return whether a purge has overtaken an item."""

    def overtakes(self, position: Position, tags: Iterable[str]) -> bool:
        """Tell whether an item with these tags, made from this position, would be dead."""

    def names(self, position: Position, tags: Iterable[str]) -> bool:
        """Tell whether a purge after this position has named one of these tags."""

    def current_position(self) -> Position:
        """Return the log position to note before the application is called."""


class ShadowsPort(Protocol):
    """The shadows: items that routes in shadow would have stored."""

    def get(self, key: bytes) -> Shadow | None:
        """Return what would be stored under a digest."""

    def put(self, key: bytes, shadow: Shadow) -> None:
        """Store a shadow; remove others if there is no space."""


class LifetimesPort(Protocol):
    """The learning of lifetimes."""

    def known(self, key: bytes, stored: Learned | None) -> Learned | None:
        """Return what is known of a key: here, or with its stored entry, whichever is newer."""

    def learn(self, made: Made, bounds: Bounds, before: Learned | None) -> Learned:
        """Learn from a response, and return what is known of its key now, with its lifetime.

        `before` is what was known of it.
        """

    def lifetime(self, key: bytes, bounds: Bounds) -> float:
        """Return the lifetime that a response under this key would have now."""


class Readable(Protocol):
    """One number, at index 0."""

    def __getitem__(self, index: int, /) -> float:
        """Return the number."""


class LogTrust(Protocol):
    """How long the invalidation log can be trusted."""

    @property
    def trust(self) -> Readable:
        """The monotonic time until which it is trusted."""

    @property
    def live(self) -> bool:
        """Whether shared entries can be judged now."""

    def serves(self, born: float, now: float) -> bool:
        """Tell whether an entry born then may be served although the log is not trusted now."""


class Parts(Struct, frozen=True, kw_only=True):
    """The stateful objects that the engine works with."""

    memory: MemoryPort
    floors: FloorsPort
    log: LogTrust
    shadows: ShadowsPort
    lifetimes: LifetimesPort
    uncacheable: MutableMapping[bytes, bool]
    """Digests of keys whose last response could not be stored; forgets them after a time."""
    cookie_conflicts: MutableMapping[bytes, bool]
    """Digests of targets whose response set a cookie that was removed from its request; likewise."""
    intern: Callable[[HeaderPairs], HeaderPairs]
    """Shares equal header pairs between entries."""


class Hooks(Struct, frozen=True, kw_only=True):
    """The functions that the engine reports facts to."""

    count: Callable[[EventName, str], None]
    """Counts an event by name and reason."""
    refused: Callable[[RouteState, str], None]
    """Called for every response that is not stored, with the reason."""
    mismatched: Callable[[RouteState, Difference], None]
    """Called when a route in shadow would have served a wrong response."""
    forecast: Callable[[RouteState, Sequence[ForecastName]], None]
    """Called for every request in shadow, with the counts that it adds to."""
    misplaced: Callable[[RouteState, Pair], None]
    """Called for every request that bypasses because of outer middleware, with what that has put there."""
    cookies_read: Callable[[RouteState, Sequence[str]], None]
    """Called when an application was seen to read cookies that no list names, with those that are new."""


class EngineSettings(Struct, frozen=True, kw_only=True):
    """The engine's own settings. Times are in seconds."""

    memo_bytes: int
    """The size of each of the two generations of the plan memo."""
    variants_limit: int
    """Variants that are counted, over all targets."""
    max_waiters: int
    """Requests that may wait for others in this process."""
    alone: int
    """Requests of one flight that may call the application beside its leader."""
    coalesce_wait: float
    has_shared: bool = True
    """Whether there is a shared store."""
    leases: bool = False
    """Whether processes use leases, so that one at a time calls the application for a key."""
    x_cache: bool = False
    show_keys: bool = False
    max_tags: int = 1000
    """Tags that the application may add to one response, those of its recorded reads included."""
    unknown_lifetime: float = 0.0
    """The longest lifetime of a response that is made from a value of the application's own cache of which
    nobody knows the tags. 0: it is not stored."""
    tag_fields: frozenset[bytes] = frozenset()
    """Response headers that hold tags."""
    keeps_tag_fields: bool = False
    """Whether the client gets these headers too."""
    identity_names: frozenset[bytes] = frozenset()
    """Headers and variables that say who is asking."""
    targets: tuple[bytes, ...] = ()
    """Targeted headers (RFC 9213); the first one that is present decides."""
