"""The decisions of the flows: serve an entry, or forward the request to the application."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from msgspec import Struct

from cachemw.engine.core.effects import Lease, SharedWrite
from cachemw.engine.core.flights import Flight
from cachemw.engine.model.differences import Shadow
from cachemw.engine.model.entry import Entry, Position
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import RouteState
from cachemw.engine.request.keying import CacheableRequest, Rewrite
from cachemw.http.messages import Request

__all__ = ["Fetch", "Forward", "Serve"]


class Fetch(Struct, kw_only=True, eq=False):
    """One call of the application whose response may be stored, or may freshen a stored one."""

    cacheable: CacheableRequest
    position: Position
    """The position of the log before the application was called.

    I5: an entry is dead if a purge has a later position. So the position is noted before the
    application can read anything.
    """
    started: float
    flight: Flight | None = None
    lease: Lease | None = None
    """The lease on this call across processes, until somebody takes it to settle it."""
    uncacheable: bool = False
    """Whether the response turned out to be useless for other requests."""
    spoilt: str | None = None
    """Why the response is neither stored nor shared, whatever it is: a key of `reasons.NOT_KEPT`.

    I7: it may be half, or made from bytes that are not in the key. See `keeping.storing.spoil`.
    """
    fallback: Entry | None = None
    """The stored entry that may be validated, or served if the application fails."""
    validates: bool = False
    """Whether our own conditions ask the application if `fallback` is still current."""
    refresh: bool = False
    """Whether this is the cache's own call, because an entry was served stale."""
    shadow: bool = False
    """Whether the response is only compared, because the route is in shadow."""
    would_serve: Shadow | None = None
    """In shadow: what would have been served."""
    would_refresh: bool = False
    """In shadow: whether that is stale, and would have been refreshed in the background."""
    recorded: Callable[[], tuple[str, ...]] = tuple
    """Ends the recording of this call, and returns the tags of what the application has read."""
    so_far: Callable[[], tuple[str, ...]] = tuple
    """Returns the tags of what the application has read by now."""
    purges: int | None = None
    """The version of the floors before the application was called."""
    has_stale_part: Callable[[], bool] = bool
    """Tells whether the application has used a stored response that was stale."""
    oldest: Callable[[Position], Position] = lambda position: position
    """Returns the position that the rows are from which the application has read (I5)."""
    lifetime_limit: Callable[[], float] = lambda: inf
    """Returns the longest lifetime in seconds, because of what the application has read; 0: do not store."""

    @property
    def may_ask_again(self) -> bool:
        """Whether the application may be called a second time, with the client's own request.

        It is if it did not see the client's own cookies, or was asked about an entry that is not the
        one that it has.
        """
        # What was received of a body is gone, and nobody waits who has left.
        if self.spoilt is not None or self.refresh or self.shadow:
            return False
        if self.cacheable.request.method not in ("GET", "HEAD"):
            return False
        return self.validates or self.cacheable.has_removed_cookies

    @property
    def digest(self) -> bytes:
        """The digest of the primary key."""
        return self.cacheable.plan.key.digest

    def take_lease(self) -> Lease | None:
        """Hand the lease over: whoever takes it must settle it."""
        lease, self.lease = self.lease, None
        return lease

    def abandon(self) -> None:
        """End the call of the flight without a result; harmless if it has ended."""
        if (flight := self._take_flight()) is not None:
            flight.abandon()

    def fail(self) -> None:
        """End the call of the flight because the application failed; harmless if it has ended."""
        if (flight := self._take_flight()) is not None:
            flight.fail()

    def _take_flight(self) -> Flight | None:
        # Only once: after the first time another request may call in the place of this one.
        flight, self.flight = self.flight, None
        return flight


class Serve(Struct, frozen=True, kw_only=True):
    """Answer with this entry."""

    cacheable: CacheableRequest
    entry: Entry
    outcome: Outcome
    now: float
    refresh: Fetch | None = None
    """A call in the background that the middleware must make, or abandon."""
    pending_save: SharedWrite | None = None
    """What the shared store gets when the response has been sent: the entry, freshened."""


class Forward(Struct, frozen=True, kw_only=True):
    """Call the application."""

    route: RouteState | None
    outcome: Outcome
    reason: str
    """Why the cache did not answer: the `detail` of Cache-Status, and a key of `reasons.FORWARDED`."""
    fetch: Fetch | None = None
    """None: the response is passed on and not looked at."""
    rewrite: Rewrite | None = None
    change: Request | None = None
    """An unsafe request. If it succeeds, what it names becomes invalid (RFC 9111 §4.4)."""
