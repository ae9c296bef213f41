"""The engine: one for each cache. It holds what the flows work with, and the fast path for memory hits.

The way of a request:

1. The middleware calls `hit_in_memory`, one plain call. Most requests end here.
2. If it returns None, the flow `on_request` looks closer: it serves, or forwards to the application.
3. The application's response goes through `on_head` and `on_complete`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cachemw.config.syntax.flag import FULL
from cachemw.engine.core.flights import Flights
from cachemw.engine.core.marks import Marks
from cachemw.engine.core.memo import PlanMemo
from cachemw.engine.core.ports import EngineSettings, Hooks, Parts
from cachemw.engine.model.entry import Entry, EntryWithHoles, Item, VaryMarker, Verdict
from cachemw.engine.model.holes import Fill
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.outcomes import FAILED
from cachemw.engine.model.plan import Plan
from cachemw.engine.model.router import Router
from cachemw.engine.model.routes import Extra, RouteState, Target
from cachemw.engine.model.row_tags import RowTags
from cachemw.engine.model.variants import Variants
from cachemw.engine.privacy.bypass import watched
from cachemw.engine.privacy.cookie_reads import CookieReads
from cachemw.http.cache_control import CacheControl
from cachemw.http.fields import Fields, Pair
from cachemw.http.targeted import effective_control

__all__ = ["Engine"]


class Engine:
    """The engine of one cache. State that threads share is in objects with locks of their own."""

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
        self.row_tags = RowTags(keys)
        self.watched = watched(
            frozenset(name for route in routes for name in route.varies),
            settings.identity_names,
            honours=any(route.honours for route in routes),
        )
        self.memory = parts.memory
        self.floors = parts.floors
        self.log = parts.log
        self.shadows = parts.shadows
        self.lifetimes = parts.lifetimes
        self.intern = parts.intern
        self.count = hooks.count
        self.refused = hooks.refused
        self.mismatched = hooks.mismatched
        self.forecast = hooks.forecast
        self.misplaced = hooks.misplaced
        self._cookies_read = hooks.cookies_read
        self.memo = PlanMemo(settings.memo_bytes)
        self.flights = Flights(settings.max_waiters, settings.alone)
        self.fills: dict[str, Fill] = {}
        """What fills the holes of stored responses, by name."""
        self.holdout = 0.0
        """The share of requests that go past the cache as the control group."""
        self.variants = Variants(
            keys, self.memo.add_weight, settings.variants_limit, settings.identity_names
        )
        self._uncacheable = Marks(parts.uncacheable)
        self._cookie_conflicts = Marks(parts.cookie_conflicts)

    def hit_in_memory(
        self, target: Target, extra: Extra | None, headers: Sequence[Pair] | None, now: float
    ) -> tuple[Entry, Plan] | None:
        """Answer a GET from memory, or return None: then the flow must look closer.

        `extra` are the watched headers of the request, None if it has none. `headers` are all of its
        headers, or None if reading them costs too much: then responses that vary are left to the flow.

        This is the hot path: no generator, no regular expression, no hashing, no lock.
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
        if route.share != FULL and not route.admits(plan.key):
            return None
        entry = self.memory.get(plan.key.digest)
        if entry is None:
            return None
        if type(entry) is not Entry:  # a Vary marker, or a response that the flow has to fill
            entry = self._variant_in_memory(entry, plan, headers)
            if entry is None:
                return None
        if entry.status >= FAILED:  # the flow counts failures
            return None
        if now >= entry.fresh_until:
            return None
        # I5: one integer, unless a purge has come since the entry was last judged.
        floors = self.floors
        if entry.checked != floors.version and floors.judge(entry) is not Verdict.VALID:
            return None
        log = self.log
        if now >= log.trust[0] and (route.strict or not log.serves(entry.born, now)):
            return None
        entry.visited = True
        return entry, plan

    def _variant_in_memory(
        self, marker: Item, plan: Plan, headers: Sequence[Pair] | None
    ) -> Entry | None:
        if type(marker) is not VaryMarker:
            return None
        if headers is None or self.floors.judge(marker) is not Verdict.VALID:
            return None
        # A marker is used as often as all of its variants together; if it were evicted, none of them
        # could be found.
        marker.visited = True
        key = self.variants.known_key(plan, marker, headers)
        entry = None if key is None else self.memory.get(key.digest)
        return entry if type(entry) is Entry else None

    def can_fill(self, entry: Entry) -> bool:
        """Tell whether all holes of a response can be filled here; another process may know more."""
        return type(entry) is not EntryWithHoles or all(
            hole.name in self.fills for hole in entry.holes
        )

    # -- trust in the log ------------------------------------------------------------------------

    def trusts(self, route: RouteState, born: float, now: float) -> bool:
        """Tell whether an entry born then may be served, as far as the log is heard (I5)."""
        log = self.log
        return now < log.trust[0] or (not route.strict and log.serves(born, now))

    def is_cut_off(self, route: RouteState, now: float) -> bool:
        """Tell whether a strict route must serve nothing now, because the log is not heard (I5)."""
        return route.strict and now >= self.log.trust[0]

    def control(self, fields: Fields) -> CacheControl:
        """Return the directives of a response that apply to this cache."""
        return effective_control(fields, self.settings.targets)

    # -- cookies that applications read ----------------------------------------------------------

    def watch_cookies(self, routes: Iterable[int]) -> None:
        """Watch on these routes, by their index, which cookies the application reads.

        Call it before the first request. Every response of these routes must be watched from then on.
        """
        for index in routes:
            self.routes[index].cookies.watch()

    def learn_cookies(self, route: RouteState, reads: CookieReads) -> None:
        """Make requests with cookies that were read bypass from now on; report what is new."""
        if new := route.cookies.learn(reads):
            self._cookies_read(route, new)

    # -- marks -----------------------------------------------------------------------------------

    def is_uncacheable(self, digest: bytes) -> bool:
        """Tell whether the last response of this key could not be stored: then nobody queues for it."""
        return digest in self._uncacheable

    def set_uncacheable(self, digest: bytes, uncacheable: bool) -> None:
        """Remember, or forget, that the responses of a key cannot be stored."""
        if uncacheable:
            self._uncacheable.add(digest)
        else:
            self._uncacheable.discard(digest)

    def has_cookie_conflict(self, target: Plan) -> bool:
        """Tell whether a response to this target lately set a cookie that was removed from its request."""
        return target.key.digest in self._cookie_conflicts

    def mark_cookie_conflict(self, target: Plan) -> None:
        """Make all requests to a target bypass the cache for a while, those of the fast path too."""
        self._cookie_conflicts.add(target.key.digest)
        for plan in (target, *(target.others or {}).copy().values()):
            self.memory.discard(plan.key.digest)

    def clear_marks(self) -> None:
        """Remove the marks of all keys."""
        self._uncacheable.clear()
        self._cookie_conflicts.clear()

    def keep_in_memory(self, target: Plan, item: Item) -> None:
        """Put an item into memory, where the fast path finds it, unless its target bypasses the cache."""
        self.memory.put(item)
        # In this order: a mark that comes in between is seen here, or finds the item itself.
        if self.has_cookie_conflict(target):
            self.memory.discard(item.key)

    def reset_after_fork(self) -> None:
        """Make locks and flights again: the threads that use them stayed in the parent process."""
        self._uncacheable.reset_after_fork()
        self._cookie_conflicts.reset_after_fork()
        self.variants.reset_after_fork()
        self.flights = Flights(self.flights.max_waiters, self.flights.alone)
