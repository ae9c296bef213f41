"""Routes as the engine runs them, and plans: everything about a target that is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct

from cachemw.config.syntax.flag import FULL
from cachemw.engine.model.differences import Volatile
from cachemw.engine.model.entry import Key
from cachemw.engine.model.query import QueryReader
from cachemw.http.fields import Pair, cookie_pairs
from cachemw.http.messages import Head, Request
from cachemw.http.storing import Policy
from cachemw.http.vary import Selecting

Risk = Literal["low", "medium", "high"]

__all__ = [
    "Extra",
    "Identify",
    "Language",
    "Operation",
    "Plan",
    "RouteState",
    "Target",
    "weigh",
    "weigh_other",
    "weigh_variant",
]

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


_VARIANTS = 64
"""Plans kept per target for different watched fields; beyond it the slow path works them out."""


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


class Plan(Struct, kw_only=True, eq=False):
    """A target's route and key for a request without watched fields, and its plans for others."""

    route: RouteState
    key: Key
    query: bytes
    """The query as the route reads it."""
    tags: tuple[str, ...]
    others: dict[tuple[tuple[bytes, bytes], ...], Plan] | None = None
    """Made when first needed, like `variants`: most targets have neither, and there are many."""
    variants: dict[Selecting, Key] | None = None
    """Selecting values -> key, for responses that vary."""

    def select(self, extra: Extra) -> Plan | None:
        """Give the plan for a request that carries these watched fields, if it is known."""
        reduced = self._reduce(extra)
        if not reduced:
            return self
        return None if self.others is None else self.others.get(reduced)

    def remember(self, extra: Extra, plan: Plan) -> None:
        """Keep the plan for these watched fields."""
        if self.others is None or len(self.others) >= _VARIANTS:
            self.others = {}
        self.others[self._reduce(extra)] = plan

    def _reduce(self, extra: Extra) -> tuple[tuple[bytes, bytes], ...]:
        """Leave out what the route does not read: most often a browser's whole Cookie field."""
        route = self.route
        if route.identity is not None:
            return tuple(extra)
        reduced = [pair for pair in extra if pair[0] not in route.unread]
        if cookies := route.cookies:
            lines = [value for name, value in extra if name == b"cookie"]
            reduced += [(b"cookie", b"=".join(pair)) for pair in cookie_pairs(lines, cookies)]
        return tuple(reduced)


# Bytes of objects and places in dicts, measured with tracemalloc
# (see tests/unit/engine/core/test_engine_memo.py).
_PLAN = 200
_TAG = 56
_LONGEST_TAG = 256
_OTHER = 450
_KEY = 250


def weigh(plan: Plan) -> int:
    """Estimate the bytes that the memo holds for a plan, its target and all that hangs on them.

    The full key stands for the target and for the tags too, which are made of the same parts.
    """
    size = len(plan.key.full)
    # The route's families are shared by all its plans.
    own = len(plan.tags) - len(plan.route.families or ())
    weight = _PLAN + 2 * size + own * (_TAG + min(size, _LONGEST_TAG))
    if plan.others:
        for extra, other in plan.others.items():
            weight += weigh_other(extra, other)
            weight += sum(map(weigh_variant, (other.variants or {}).values()))
    if plan.variants:
        weight += sum(map(weigh_variant, plan.variants.values()))
    return weight


def weigh_other(extra: Iterable[Pair], plan: Plan) -> int:
    """Estimate the bytes of a plan for these watched fields, beside the target's own."""
    return _OTHER + len(plan.key.full) + sum(len(value) for _, value in extra)


def weigh_variant(key: Key) -> int:
    """Estimate the bytes of a variant's key and of the fields' values that it is found by."""
    return _KEY + 2 * len(key.full)
