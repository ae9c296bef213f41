"""Routes as the engine runs them, with their live flag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct

from cachemw.config.syntax.flag import FULL
from cachemw.engine.model.differences import Volatile
from cachemw.engine.model.entry import Key
from cachemw.engine.model.query import QueryReader
from cachemw.engine.privacy.cookie_rules import CookieRules
from cachemw.http.fields import Pair
from cachemw.http.messages import Head, Request
from cachemw.http.storing import Policy

__all__ = [
    "Bounds",
    "Extra",
    "Identify",
    "Language",
    "Operation",
    "RouteState",
    "Target",
]

Risk = Literal["low", "medium", "high"]

Target = tuple[object, ...]
"""What names a target, as the middleware reads it: method, scheme, host, mount, path, raw path, query."""

Extra = list[Pair]
"""The watched headers of a request, in order."""

Identify = Callable[[Request], str | None]
"""Returns the name of who sent a request, or None if it cannot tell."""

Operation = Literal["query", "mutation", "other"]
"""What a request in a query language would do. What cannot be read for certain counts as a mutation.
`other`: it changes nothing, and must not be cached."""


class Language(Protocol):
    """A reader of a query language, for routes whose requests are written in one."""

    def operation(self, request: Request, query: bytes, *, persisted: Operation) -> Operation:
        """Return what a request would do. `query` is the URL's query as the application sees it.

        `persisted` is what a request does that names a persisted query and has no text.
        """

    def is_whole(self, head: Head, body: bytes) -> bool:
        """Tell whether a response can be read and reports no error."""


class Bounds(Struct, frozen=True, kw_only=True):
    """The bounds inside which the lifetimes of a route are learned. Times are in seconds."""

    kind: str
    """The name under which it is learned; routes of one kind learn together."""
    shortest: float
    longest: float
    target: float
    """The share of answers that may be stale."""
    initial: float
    """The lifetime where nothing is learned, or where learning changes nothing."""
    window: float
    """For how long a stale answer is served while it is refreshed."""


@dataclass(slots=True, kw_only=True, eq=False)
class RouteState:
    """One route, with the share of keys that its flag lets in now."""

    index: int
    name: str
    template: str
    risk: Risk
    strict: bool
    """Whether nothing is served while the log is not heard (`consistency = "strict"`)."""
    methods: frozenset[str]
    bodied: frozenset[str]
    """The methods whose body is part of the key."""
    body_limit: int
    """The largest request body that is read, in bytes."""
    language: Language | None
    """The query language of the requests, if it decides which of them may be cached."""
    persisted: Operation
    """What a request counts as that names a persisted query and has no text."""
    policy: Policy
    max_size: int
    max_variants: int
    read_query: QueryReader
    varies: frozenset[bytes]
    """Headers that the route declares in `vary`: they are part of the key."""
    removed: frozenset[bytes]
    """Headers that the application does not see."""
    identifying: frozenset[bytes]
    """Headers and variables that make a request personal. None of them, if the route has an `identity`."""
    refuses: frozenset[bytes]
    """What outer middleware may have put into a request, so that it bypasses this route."""
    cookies: CookieRules
    proposed: CookieRules | None
    """Other cookie rules, which are tried while the route is in shadow."""
    unread: frozenset[bytes]
    """Watched headers that this route ignores."""
    honours: bool
    """Whether the clients' own Cache-Control is honoured."""
    identity: Identify | None
    renews_nonce: bool
    """Whether each client gets a nonce of its own in the Content-Security-Policy and in the body."""
    tags: tuple[str, ...]
    """Tag templates."""
    volatile: Volatile
    """What may differ between two responses that count as equal."""
    invalidates: tuple[str, ...]
    """Templates of the tags that an unsafe request to the route's path makes invalid."""
    invalidates_on_redirect: bool
    """Whether a 3xx answer to an unsafe request means that it has succeeded."""
    own_tag: str
    """The tag that every entry of the route carries."""
    families: tuple[str, ...] | None
    """The families of its tags, if no path parameter has a colon. None if a family contains a parameter."""
    tag_headers: frozenset[bytes]
    """The headers whose values are in its tags."""
    static_families: tuple[str, ...]
    """The families of its tags that hold no value, so that each entry of the route belongs to them."""
    learning: Bounds | None = None
    """Where the lifetimes of answers that state none are learned: inside which bounds."""
    share: int = FULL
    """How many of FULL keys the flags and the kill switch let in now; or SHADOW, or OFF."""
    unknown: bool = False
    """Whether `share` is OFF only because the live flags are not known yet."""

    def admits(self, key: Key) -> bool:
        """Tell whether the flag lets a key in. A key that is in stays in while the share grows."""
        # The digest is keyed and evenly distributed, so no client can choose whether its key is in.
        return self.share == FULL or int.from_bytes(key.digest[:4], "big") % FULL < self.share
