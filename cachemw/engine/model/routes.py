"""Routes as the engine runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from cachemw.config.syntax.flag import FULL
from cachemw.engine.model.differences import Volatile
from cachemw.engine.model.entry import Key
from cachemw.engine.model.query import QueryReader
from cachemw.http.fields import Pair
from cachemw.http.messages import Head, Request
from cachemw.http.storing import Policy

__all__ = [
    "Extra",
    "Identify",
    "Language",
    "Operation",
    "RouteState",
    "Target",
]

Risk = Literal["low", "medium", "high"]

Target = tuple[object, ...]
"""What a front door reads to name a target: method, scheme, host, mount, path, raw path, query."""

Extra = list[Pair]
"""The watched fields that a request carries, in order."""

Identify = Callable[[Request], str | None]
"""Names the principal of a request, or gives None when it cannot."""

Operation = Literal["query", "mutation", "other"]
"""What a request in a query language would do; `other` is all that is not to be cached or known."""


class Language(Protocol):
    """Reads a query language, for routes whose requests are written in one."""

    def operation(self, request: Request, query: bytes) -> Operation:
        """Say what a request would do; `query` is the URL's, as the application sees it."""

    def is_whole(self, head: Head, body: bytes) -> bool:
        """Say whether an answer can be read, and reports no error."""


@dataclass(slots=True, kw_only=True, eq=False)
class RouteState:
    """One route with its live switch."""

    index: int
    name: str
    template: str
    risk: Risk
    strict: bool
    """Whether nothing is served while the log is not heard."""
    methods: frozenset[str]
    bodied: frozenset[str]
    """Those of them whose body is part of the key."""
    body_limit: int
    """The bytes of a body beyond which it is not read."""
    language: Language | None
    """What requests are written in, where that decides which may be cached."""
    policy: Policy
    max_size: int
    max_variants: int
    read_query: QueryReader
    varies: frozenset[bytes]
    """Fields that the route declares: keyed."""
    cookies: frozenset[str] | None
    """Cookies that the route reads; None: it has not said, so a cookie makes a request personal."""
    unread: frozenset[bytes]
    """Watched fields that mean nothing to this route as they come."""
    honours: bool
    """Whether clients' Cache-Control is honoured."""
    identity: Identify | None
    tags: tuple[str, ...]
    """Tag templates."""
    volatile: Volatile
    """What may differ between two answers that are alike."""
    invalidates: tuple[str, ...]
    """Templates of what an unsafe request to the route's path changes."""
    own_tag: str
    """The tag that every entry of the route carries."""
    families: tuple[str, ...] | None
    """Those of its tags, for values without colons; None where a value of the path is part of one."""
    share: int = FULL
    """How many of FULL keys the flags and the kill switch let use the cache right now, or SHADOW, or OFF."""

    def takes(self, key: Key) -> bool:
        """Say whether a key is among those that may: one that is stays so while the share grows."""
        # The digest is keyed and even: no client can choose on which side a key falls.
        return self.share == FULL or int.from_bytes(key.digest[:4], "big") % FULL < self.share
