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
from cachemw.engine.model.bypass import watched
from cachemw.engine.model.entry import Entry, VaryMarker, Verdict
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.outcomes import FAILED
from cachemw.engine.model.plan import Plan
from cachemw.engine.model.router import Router
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.model.variants import Variants
from cachemw.http.cache_control import CacheControl
from cachemw.http.fields import Fields, Pair
from cachemw.http.targeted import effective_control

__all__ = ["Engine"]


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
        self.variants = Variants(keys, self.memo.add_weight, settings.variants_limit)
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
        if type(entry) is VaryMarker:
            entry = self._variant_in_memory(entry, plan, headers)
            if entry is None:
                return None
        if entry.status >= FAILED:  # the flow counts failures
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

    def _variant_in_memory(
        self, marker: VaryMarker, plan: Plan, headers: Sequence[Pair] | None
    ) -> Entry | None:
        if headers is None or self.floors.judge(marker) is not Verdict.VALID:
            return None
        # A marker is used as often as all of its variants together; if it were evicted, none of them
        # could be found.
        marker.visited = True
        key = self.variants.known_key(plan, marker, headers)
        entry = None if key is None else self.memory.get(key.digest)
        return entry if isinstance(entry, Entry) else None

    # -- trust in the log ------------------------------------------------------------------------

    def trusts(self, route: RouteState, born: float, now: float) -> bool:
        """Say whether an entry of that birth can be judged well enough for its route."""
        log = self.log
        return now < log.trusted_until or (not route.strict and log.serves(born, now))

    def is_cut_off(self, route: RouteState, now: float) -> bool:
        """Say whether a route must do without any entry, its own or another request's."""
        return route.strict and now >= self.log.trusted_until

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
        self.variants.reset_after_fork()
        self.flights = Flights(self.flights.max_waiters, self.flights.alone)
