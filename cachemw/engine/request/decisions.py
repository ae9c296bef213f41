"""The decisions of the flows: serve an entry, or forward the request to the application."""

from __future__ import annotations

from math import inf
from typing import Protocol

from msgspec import Struct

from cachemw.engine.core.effects import Lease, SharedWrite
from cachemw.engine.core.flights import Flight
from cachemw.engine.model.differences import Shadow
from cachemw.engine.model.entry import Entry, Position
from cachemw.engine.model.holes import Piece
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.routes import RouteState
from cachemw.engine.privacy.cookie_reads import CookieReads
from cachemw.engine.request.keying import CacheableRequest, Rewrite
from cachemw.http.fields import Pair
from cachemw.http.messages import Request

__all__ = ["NOTHING_RECORDED", "Fetch", "Forward", "Proposed", "RecordingPort", "Serve"]


class RecordingPort(Protocol):
    """A recording: what one call has read, and what it has put into the response for one client."""

    has_stale_part: bool
    """Whether it has used a stored response that was stale."""
    has_lost_piece: bool
    """Whether there is a piece for one client in the response that cannot be cut out (I1)."""

    @property
    def has_unknown_value(self) -> bool:
        """Whether it has used a value of a cache of its own, and nobody knows what that was made from."""

    def cookies_read(self) -> CookieReads | None:
        """Return the cookies that it has read by now; None: nobody watches."""

    def so_far(self) -> tuple[str, ...]:
        """Return the tags of what it has read by now."""

    def close(self) -> tuple[str, ...]:
        """End the recording, and return the tags of what it has read."""

    def oldest(self, began: Position) -> Position:
        """Return the position that the rows are from which it has read (I5)."""

    def take_pieces(self) -> tuple[Piece, ...]:
        """Return the pieces for one client that it has put into the response by now.

        The head is there: a piece that comes later cannot be cut out any more.
        """


class _Nothing:
    """The recording of a call that nobody records."""

    has_unknown_value = False
    has_stale_part = False
    has_lost_piece = False

    def cookies_read(self) -> CookieReads | None:
        return None

    def so_far(self) -> tuple[str, ...]:
        return ()

    close = so_far

    def oldest(self, began: Position) -> Position:
        return began

    def take_pieces(self) -> tuple[Piece, ...]:
        return ()


NOTHING_RECORDED: RecordingPort = _Nothing()


class Proposed(Struct, frozen=True, kw_only=True):
    """A request in shadow as other cookie rules read it."""

    cacheable: CacheableRequest
    would_serve: Shadow | None
    """What they would serve."""
    would_refresh: bool
    """Whether that is stale, and would be refreshed in the background."""


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
    recording: RecordingPort = NOTHING_RECORDED
    """What is known of what the application does for the response."""
    proposed: Proposed | None = None
    """In shadow: the same with the route's proposed cookie rules, if it has some."""
    purges: int | None = None
    """The version of the floors before the application was called."""
    opens_holes: bool = False
    """Whether the application may put pieces for one client into the response."""
    unknown_lifetime: float = inf
    """The longest lifetime, in seconds, of what is made from values that nobody knows; 0: do not store."""

    @property
    def lifetime_limit(self) -> float:
        """The longest lifetime in seconds, because of what the application has read; 0: do not store."""
        return self.unknown_lifetime if self.recording.has_unknown_value else inf

    @property
    def may_ask_again(self) -> bool:
        """Whether the application may be called a second time, with the client's own request.

        It is if it did not see the client's own cookies, if it may have put a piece for one client
        where it cannot be followed, or if it was asked about an entry that is not the one that it has.
        """
        # What was received of a body is gone, and nobody waits who has left.
        if self.spoilt is not None or self.refresh:
            return False
        if self.shadow:
            return self.opens_holes
        if self.cacheable.request.method not in ("GET", "HEAD"):
            return False
        return self.validates or self.opens_holes or self.cacheable.has_removed_cookies

    @property
    def may_have_holes(self) -> bool:
        """Whether pieces for one client may be put into the response, to be cut out of it.

        I1: only where the application does not see the client's own cookies. So a piece that is
        overlooked is of use to nobody. A HEAD has no body to find them in, and a POST is not asked twice.
        """
        return self.cacheable.request.method == "GET" and not self.cacheable.personal

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
    cookies: tuple[Pair, ...] = ()
    """The Set-Cookie lines that the application has just sent, for this client only."""


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
