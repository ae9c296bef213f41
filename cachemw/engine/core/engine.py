"""The engine: one per cache. It holds what the flows work with, and the memory-hit fast path.

A request goes: front door -> `hit_in_memory` (one plain call, no generator) -> if that gives None,
the flow `on_request`, which serves or forwards -> the application -> `on_head`, `on_complete`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, MutableMapping, Sequence
from typing import Protocol

from msgspec import Struct

from cachemw.config.syntax.flag import FULL
from cachemw.engine.core.flights import Flights
from cachemw.engine.model.bypass import CONDITIONAL, REMOVED, Watched
from cachemw.engine.model.differences import Difference, Seen
from cachemw.engine.model.entry import MARKER, Entry, HeaderPairs, Key, Position, Verdict
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.outcomes import FAILED, EventName
from cachemw.engine.model.router import Router
from cachemw.engine.model.routes import Extra, Plan, RouteState, Target, weigh, weigh_variant
from cachemw.engine.model.variants import Variants
from cachemw.http.cache_control import CacheControl
from cachemw.http.fields import Fields, Pair
from cachemw.http.targeted import effective_control
from cachemw.http.vary import Selecting, selecting

__all__ = [
    "Engine",
    "EngineSettings",
    "FloorsPort",
    "LogTrust",
    "MemoryPort",
    "Shadow",
    "ShadowsPort",
]

# Selecting fields whose values in the raw request may differ from what the application saw, or
# must not stand in clear in a stored entry.
_CONCEALED = frozenset({b"cookie", b"authorization"})
_NOT_FAST = _CONCEALED | REMOVED | CONDITIONAL

_MEMO_SIZE = 16_384
_HEAVY = 64
"""A plan may take at most this fraction of a generation of the memo."""
_VARIANTS = 64
"""Keys kept per target for answers that vary; beyond it they are worked out anew."""


class MemoryPort(Protocol):
    """The memory tier."""

    def get(self, key: bytes) -> Entry | None:
        """Give the entry of a digest."""

    def discard(self, key: bytes) -> None:
        """Drop the entry of a digest, if there is one."""

    def put(self, entry: Entry) -> bool:
        """Keep an entry, if it fits."""

    def discard_if(self, key: bytes, entry: Entry) -> None:
        """Drop an entry if it is still that one."""


class FloorsPort(Protocol):
    """What has been purged."""

    version: int

    def judge(self, entry: Entry) -> Verdict:
        """Say whether a purge has overtaken an entry."""

    def here(self) -> Position:
        """Give the position that an origin call beginning now must note."""


class ShadowsPort(Protocol):
    """What routes in shadow would have stored."""

    def get(self, key: bytes) -> Shadow | None:
        """Give what would be stored under a digest."""

    def put(self, key: bytes, shadow: Shadow) -> None:
        """Keep one, in the place of others where there is no room."""


class Shadow(Struct, frozen=True):
    """What would be stored: an entry without its body, and what it is compared by."""

    entry: Entry
    seen: Seen


class LogTrust(Protocol):
    """How far the invalidation log is to be trusted."""

    trusted_until: float

    @property
    def live(self) -> bool:
        """Whether shared entries can be judged now."""

    def serves(self, born: float, now: float) -> bool:
        """Say whether an entry of that birth may be served although the log is not trusted now."""


class EngineSettings(Struct, frozen=True, kw_only=True):
    """The engine's own numbers; seconds."""

    coalesce_wait: float
    has_shared: bool = True
    """Whether there is a shared store to look in."""
    leases: bool = False
    """Whether processes take turns at calling the application for one key."""
    x_cache: bool = False
    show_keys: bool = False
    max_tags: int = 1000
    """Tags that the application may give one answer, and reading for it."""
    tag_fields: frozenset[bytes] = frozenset()
    """Response fields that hold tags."""
    keeps_tag_fields: bool = False
    """Whether they go on to the client."""
    targets: tuple[bytes, ...] = ()
    """Targeted fields (RFC 9213), the first of which that is there decides."""


class Engine:
    """What decides. All of its state that threads share is in objects that lock for themselves."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        routes: Sequence[RouteState],
        router: Router,
        keys: KeyMaker,
        watched: Watched,
        memory: MemoryPort,
        floors: FloorsPort,
        log: LogTrust,
        flights: Flights,
        uncacheable: MutableMapping[bytes, bool],
        variants: Variants,
        memo_bytes: int,
        count: Callable[[EventName, str], None],
        refused: Callable[[RouteState, str], None],
        intern: Callable[[HeaderPairs], HeaderPairs],
        shadows: ShadowsPort,
        mismatched: Callable[[RouteState, Difference], None],
    ) -> None:
        self.settings = settings
        self.routes = routes
        self.bodied = frozenset(method for route in routes for method in route.bodied)
        """Methods whose body some route keys: for all others nothing more is asked."""
        self.router = router
        self.keys = keys
        self.watched = watched
        self.memory = memory
        self.floors = floors
        self.log = log
        self.flights = flights
        self.count = count
        """Counts an event by name and reason."""
        self.refused = refused
        """Hears of every answer that is not kept, and why."""
        self.shadows = shadows
        self.mismatched = mismatched
        """Hears of every answer of a route in shadow that the cache would have got wrong."""
        self.intern = intern
        """Shares equal header pairs between entries."""
        self._uncacheable = uncacheable
        self._uncacheable_lock = threading.Lock()
        self._some_uncacheable = False
        """Whether there ever was one: until then nobody need take the lock."""
        self._variants = variants
        self._young: dict[Target, Plan] = {}
        self._old: dict[Target, Plan] = {}
        self.holdout = 0.0
        """The share of requests that front doors send past the cache, to compare the others with."""
        self._memo_bytes = memo_bytes
        """The weight of each of the two, at most."""
        self._weight = 0
        """Of the young one, and of what was added to its plans."""

    def hit_in_memory(
        self, target: Target, extra: Extra | None, headers: Sequence[Pair] | None, now: float
    ) -> tuple[Entry, Plan] | None:
        """Answer a GET out of memory, or give None: then the flow must look closer.

        `extra` are the watched fields of the request, None when there is none; `headers` all of
        them, None where reading them costs too much: then answers that vary are left to the flow.
        """
        plan = self._young.get(target)
        if plan is None:
            plan = self._from_old(target)
            if plan is None:
                return None
        if extra is not None:
            plan = plan.select(extra)
            if plan is None:
                return None
        route = plan.route
        if route.share != FULL and not route.takes(plan.key):
            return None
        entry = self.memory.get(plan.key.digest)
        if entry is None:
            return None
        if not MARKER < entry.status < FAILED:  # what has failed is counted, further on
            entry = self._fast_variant(entry, plan, headers)
            if entry is None:
                return None
        if now >= entry.fresh_until:
            return None
        floors = self.floors
        if entry.checked != floors.version and floors.judge(entry) is not Verdict.VALID:
            return None
        log = self.log
        if now >= log.trusted_until and (route.strict or not log.serves(entry.born, now)):
            return None
        entry.visited = True
        return entry, plan

    def _fast_variant(
        self, marker: Entry, plan: Plan, headers: Sequence[Pair] | None
    ) -> Entry | None:
        if (
            marker.status != MARKER
            or headers is None
            or self.floors.judge(marker) is not Verdict.VALID
        ):
            return None
        names = tuple(name for name, _ in marker.vary)
        if not _NOT_FAST.isdisjoint(names):
            return None
        marker.visited = True
        key = plan.variants.get(selecting(names, Fields(headers))) if plan.variants else None
        entry = None if key is None else self.memory.get(key.digest)
        return None if entry is None or entry.status >= FAILED else entry

    # -- trust in the log ------------------------------------------------------------------------

    def trusts(self, route: RouteState, born: float, now: float) -> bool:
        """Say whether an entry of that birth can be judged well enough for its route."""
        log = self.log
        return now < log.trusted_until or (not route.strict and log.serves(born, now))

    def is_cut_off(self, route: RouteState, now: float) -> bool:
        """Say whether a route must do without any entry, its own or another request's."""
        return route.strict and now >= self.log.trusted_until

    # -- plans -----------------------------------------------------------------------------------

    def _from_old(self, target: Target) -> Plan | None:
        plan = self._old.get(target)
        if plan is not None:
            self.remember(target, plan)
        return plan

    def known(self, target: Target) -> Plan | None:
        """Give the plan kept for a target."""
        return self._young.get(target) or self._from_old(target)

    def remember(self, target: Target, plan: Plan) -> None:
        """Keep a plan. Two generations bound the memo: when the young one is full it becomes the old.

        What grew heavy by others' fields or variants begins anew: no client can make it larger.
        """
        weight = weigh(plan)
        if weight * _HEAVY > self._memo_bytes:
            plan.others = plan.variants = None
            weight = weigh(plan)
            if weight * _HEAVY > self._memo_bytes:
                return
        self.add_weight(weight)
        self._young[target] = plan

    def add_weight(self, weight: int) -> None:
        """Note what the memo is about to hold more, and turn its generations when that is too much."""
        if len(self._young) >= _MEMO_SIZE or self._weight + weight > self._memo_bytes:
            self._old, self._young, self._weight = self._young, {}, 0
        self._weight += weight

    # -- variants --------------------------------------------------------------------------------

    def selecting(self, names: tuple[bytes, ...], fields: Fields) -> Selecting:
        """Read the selecting fields, with secrets concealed: stored entries carry them."""
        return tuple(
            (name, self.keys.conceal(value) if value is not None and name in _CONCEALED else value)
            for name, value in selecting(names, fields)
        )

    def variant_key(self, plan: Plan, wanted: Selecting) -> Key:
        """Give the key of the variant that these selecting values choose."""
        variants = plan.variants
        if variants is None or len(variants) >= _VARIANTS:
            variants = plan.variants = {}
        key = variants.get(wanted)
        if key is None:
            key = self.keys.extend(plan.key, (part for pair in wanted for part in pair))
            variants[wanted] = key
            self.add_weight(weigh_variant(key))
        return key

    def limit_variants(self, plan: Plan, key: Key) -> None:
        """Note a variant that is being kept; drop the oldest where a target has too many."""
        oldest = self._variants.note(plan.key.digest, key.digest, plan.route.max_variants)
        if oldest is not None:
            self.memory.discard(oldest)
            self.count("variants_dropped", "")

    def control(self, fields: Fields) -> CacheControl:
        """Give the directives that count for us in a response."""
        return effective_control(fields, self.settings.targets)

    # -- hit-for-miss ----------------------------------------------------------------------------

    def is_uncacheable(self, digest: bytes) -> bool:
        """Say whether the last answer of this key could not be kept, so that nobody should queue for it."""
        if not self._some_uncacheable:
            return False
        with self._uncacheable_lock:
            return digest in self._uncacheable

    def set_uncacheable(self, digest: bytes, uncacheable: bool) -> None:
        """Remember, or forget, that a key's answers cannot be kept."""
        if not uncacheable and not self._some_uncacheable:
            return
        with self._uncacheable_lock:
            if uncacheable:
                self._some_uncacheable = True
                self._uncacheable[digest] = True
            else:
                self._uncacheable.pop(digest, None)

    def reset_after_fork(self) -> None:
        """Make locks and flights anew: their threads stayed in the parent."""
        self._uncacheable_lock = threading.Lock()
        self._variants.reset_after_fork()
        self.flights = Flights(self.flights.max_waiters, self.flights.alone)
