"""The engine: one per cache. It holds what the flows work with, and the memory-hit fast path.

A request goes: front door -> `hit_in_memory` (one plain call, no generator) -> if that gives None,
the flow `on_request`, which serves or forwards -> the application -> `on_head`, `on_complete`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cachemw.config.syntax.flag import FULL
from cachemw.engine.core.flights import Flights
from cachemw.engine.core.memo import PlanMemo
from cachemw.engine.core.ports import EngineSettings, Hooks, Parts
from cachemw.engine.model.bypass import CONDITIONAL, REMOVED, watched
from cachemw.engine.model.entry import MARKER, Entry, Key, Verdict
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.outcomes import FAILED
from cachemw.engine.model.plan import Plan, weigh_variant
from cachemw.engine.model.router import Router
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.model.variants import Variants
from cachemw.http.cache_control import CacheControl
from cachemw.http.fields import Fields, Pair
from cachemw.http.targeted import effective_control
from cachemw.http.vary import Selecting, selecting

__all__ = ["Engine"]

# Selecting fields whose values in the raw request may differ from what the application saw, or
# must not stand in clear in a stored entry.
_CONCEALED = frozenset({b"cookie", b"authorization"})
_NOT_FAST = _CONCEALED | REMOVED | CONDITIONAL

_VARIANTS = 64
"""Keys kept per target for answers that vary; beyond it they are worked out anew."""


class Engine:
    """What decides. All of its state that threads share is in objects that lock for themselves."""

    def __init__(
        self,
        *,
        settings: EngineSettings,
        parts: Parts,
        hooks: Hooks,
        routes: Sequence[RouteState],
        router: Router,
        keys: KeyMaker,
    ) -> None:
        self.settings = settings
        self.routes = routes
        self.bodied = frozenset(method for route in routes for method in route.bodied)
        """Methods whose body is part of the key on some route. Bodies of others are not looked at."""
        self.router = router
        self.keys = keys
        self.watched = watched(
            frozenset(name for route in routes for name in route.varies),
            honours=any(route.honours for route in routes),
        )
        self.memory = parts.memory
        self.floors = parts.floors
        self.log = parts.log
        self.shadows = parts.shadows
        self.intern = parts.intern
        self.count = hooks.count
        self.refused = hooks.refused
        self.mismatched = hooks.mismatched
        self.memo = PlanMemo(settings.memo_bytes)
        self.flights = Flights(settings.max_waiters, settings.alone)
        self.holdout = 0.0
        """The share of requests that go past the cache as the control group."""
        self._variants = Variants(settings.variants_limit)
        self._uncacheable = parts.uncacheable
        self._uncacheable_lock = threading.Lock()
        self._some_uncacheable = False
        """Whether any key was ever uncacheable. Until then nobody needs to take the lock."""

    def hit_in_memory(
        self, target: Target, extra: Extra | None, headers: Sequence[Pair] | None, now: float
    ) -> tuple[Entry, Plan] | None:
        """Answer a GET out of memory, or give None: then the flow must look closer.

        `extra` are the watched fields of the request, None when there is none; `headers` all of
        them, None where reading them costs too much: then answers that vary are left to the flow.
        """
        plan = self.memo.young.get(target)
        if plan is None:
            plan = self.memo.from_old(target)
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
            self.memo.add_weight(weigh_variant(key))
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
