"""What the flows decide: serve an entry, or forward to the application."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cachemw.engine.core.effects import Lease, SharedWrite
from cachemw.engine.core.flights import Flight
from cachemw.engine.core.ports import Shadow
from cachemw.engine.model.entry import Entry, Position
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import RouteState
from cachemw.engine.request.keying import CacheableRequest, Rewrite
from cachemw.http.messages import Request

__all__ = ["Fetch", "Forward", "Serve"]


class Fetch(Struct, kw_only=True, eq=False):
    """One call of the application whose answer may be kept, or bring a stored one up to date."""

    cacheable: CacheableRequest
    position: Position
    """Where the log stood before the application was called."""
    started: float
    flight: Flight | None = None
    lease: Lease | None = None
    """The fleet's lease on this call, until it is handed on to be settled."""
    uncacheable: bool = False
    """Whether the answer turned out to be of no use to others."""
    stored: Entry | None = None
    """What is stored already: it may be validated, or served instead if the application fails."""
    validates: bool = False
    """Whether the application is asked, by our own conditions, if `stored` is still current."""
    refresh: bool = False
    """Whether this is our own call, for an answer that was served stale."""
    shadow: bool = False
    """Whether the answer is only watched."""
    would: Shadow | None = None
    """In shadow: what would have been served instead of it."""
    would_renew: bool = False
    """Whether that is stale, and would have been renewed in the background."""
    recorded: Callable[[], tuple[str, ...]] = tuple
    """Gives the tags of what the application has read in this call; then the recording is over."""

    @property
    def digest(self) -> bytes:
        """The primary key's digest."""
        return self.cacheable.plan.key.digest

    def take_lease(self) -> Lease | None:
        """Give the lease away: whoever takes it settles it."""
        lease, self.lease = self.lease, None
        return lease

    def abandon(self) -> None:
        """Let go of the flight, if it is still held: another may call. Harmless when all is done."""
        if (flight := self._take_flight()) is not None:
            flight.abandon()

    def fail(self) -> None:
        """Let go of the flight because the application failed."""
        if (flight := self._take_flight()) is not None:
            flight.fail()

    def _take_flight(self) -> Flight | None:
        # Once only: after the first time, somebody else is calling in our place.
        flight, self.flight = self.flight, None
        return flight


class Serve(Struct, frozen=True, kw_only=True):
    """Answer with this entry."""

    cacheable: CacheableRequest
    entry: Entry
    outcome: Outcome
    now: float
    refresh: Fetch | None = None
    """A background call that the front door is to make, or to abandon."""
    stored: SharedWrite | None = None
    """What the application's answer brought up to date, for the shared store."""


class Forward(Struct, frozen=True, kw_only=True):
    """Call the application."""

    route: RouteState | None
    outcome: Outcome
    reason: str
    """Why the cache did not answer: the `detail` of Cache-Status, and a key of `reasons.FORWARDED`."""
    fetch: Fetch | None = None
    """None: the answer is relayed and not looked at."""
    rewrite: Rewrite | None = None
    change: Request | None = None
    """An unsafe request: if it succeeds, what it names is invalid (RFC 9111 §4.4)."""
