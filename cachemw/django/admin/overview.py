"""What the page in the admin shows: of the fleet, as Redis has it, or of this process alone.

Redis is asked with no more patience than a request has for it. The first question that it does not
answer is the last: then the page is about this process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cachemw.cache import Cache
from cachemw.errors import SearchTimedOut, StoreUnavailable
from cachemw.introspection.stored_entries import StoredEntry

if TYPE_CHECKING:
    from cachemw.invalidation.recent_purges import PastPurge
    from cachemw.telemetry.stats import Stats

__all__ = ["LOOK", "Overview", "look", "patience"]

LOOK = 2.0
"""Seconds to look through what is stored: of a million entries it is a part, and the page says so."""
_FOUND = 100
_PURGES = 20
_TAGS = 12
"""Tags that are shown of each entry."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """One route: how it is configured, what its requests came to, and what is stored of it."""

    name: str
    path: str
    risk: str
    state: str
    hits: int
    stale: int
    misses: int
    hit_rate: float | None
    """In percent; None: nobody has asked for it."""
    entries: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One stored answer that was looked for. Texts are as clients and applications made them."""

    url: str
    method: str
    route: str
    status: int
    size: int
    age: str
    ttl: str
    tags: tuple[str, ...]
    more_tags: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRow:
    """One purge of those before now."""

    at: datetime | None
    tags: tuple[str, ...] | None
    more: int
    soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All that the page shows."""

    redis: str
    """Where Redis is, without its password; empty: there is none."""
    problem: str
    """Why Redis says nothing, if it should."""
    processes: int
    """Processes that were heard from in the last seconds; 1: this one."""
    killed: bool
    routes: list[RouteRow]
    entries: int
    size: int
    found: list[EntryRow]
    more: bool
    """Whether there are more than were asked for."""
    complete: bool
    """Whether all that is stored was looked at in the time given."""
    purges: list[PurgeRow]

    @property
    def of_fleet(self) -> bool:
        """Whether it is about all processes, and not about this one alone."""
        return bool(self.redis) and not self.problem


@dataclass(slots=True)
class _Survey:
    """What is stored, counted by route, and the first of what was looked for."""

    entries: Counter[str]
    sizes: Counter[str]
    found: list[StoredEntry]
    more: bool = False
    complete: bool = True

    def add(self, entry: StoredEntry, wanted: frozenset[str]) -> None:
        if entry.verdict in ("valid", "stale"):
            self.entries[entry.route] += 1
            self.sizes[entry.route] += entry.size
        if entry.carries(wanted):
            if len(self.found) < _FOUND:
                self.found.append(entry)
            else:
                self.more = True


def patience(cache: Cache) -> float:
    """Give the seconds that a reply of Redis may take while somebody waits for a page."""
    return 0.0 if cache.config.redis is None else cache.config.redis.deadline


def look(cache: Cache, wanted: frozenset[str]) -> Overview:
    """Look at a cache, and for entries that carry one of these tags."""
    problem = ""
    if cache.config.redis is not None:
        try:
            return _of_fleet(cache, wanted)
        except StoreUnavailable as error:
            problem = str(error)
    stored = _survey(cache.inspection.memory(), wanted)
    return _overview(cache, cache.stats(), 1, stored, problem)


def _of_fleet(cache: Cache, wanted: frozenset[str]) -> Overview:
    cache.inspection.hear(patience(cache))
    fleet = cache.fleet_stats()
    assert fleet is not None
    live = sum(process.live for process in fleet.processes)
    entries = cache.inspection.shared(patience=patience(cache), within=LOOK)
    stored = _survey(entries, wanted)
    return _overview(cache, fleet.stats, live, stored, "")


def _survey(entries: Iterable[StoredEntry], wanted: frozenset[str]) -> _Survey:
    ends = time.monotonic() + LOOK
    survey = _Survey(Counter(), Counter(), [])
    try:
        for entry in entries:
            survey.add(entry, wanted)
            if time.monotonic() >= ends:
                raise SearchTimedOut
    except SearchTimedOut:
        survey.complete = False
    return survey


def _overview(
    cache: Cache, stats: Stats, processes: int, stored: _Survey, problem: str
) -> Overview:
    states = cache.flags.states()
    return Overview(
        redis=cache.config.redis.safe_url if cache.config.redis else "",
        problem=problem,
        processes=processes,
        killed=states["kill"] == "on",
        routes=[
            _route(route.name, (route.mount or "") + route.path, route.risk, states, stats, stored)
            for route in cache.config.routes
        ],
        entries=stored.entries.total(),
        size=stored.sizes.total(),
        found=[_entry(each) for each in stored.found],
        more=stored.more,
        complete=stored.complete,
        purges=[_purge(each) for each in cache.log.recent()[:_PURGES]],
    )


def _route(
    name: str, path: str, risk: str, states: dict[str, str], stats: Stats, stored: _Survey
) -> RouteRow:
    counted = stats.route(name)
    outcomes = counted.by_outcome
    rate = counted.hit_rate
    return RouteRow(
        name=name,
        path=path,
        risk=risk,
        state=states[f"route:{name}"],
        hits=outcomes.get("hit", 0),
        stale=outcomes.get("stale", 0),
        misses=outcomes.get("miss", 0),
        hit_rate=None if rate is None else 100 * rate,
        entries=stored.entries[name],
        size=stored.sizes[name],
    )


def _entry(entry: StoredEntry) -> EntryRow:
    # The families of a tag, and those of URL and route, are told by what stands beside them.
    tags = [tag for tag in entry.tags if not tag.startswith("@") and tag[-2:] != ":*"]
    return EntryRow(
        url=entry.url,
        method=entry.method,
        route=entry.route,
        status=entry.status,
        size=entry.size,
        age=_duration(entry.age),
        ttl=_duration(entry.ttl),
        tags=tuple(tags[:_TAGS]),
        more_tags=max(0, len(tags) - _TAGS),
        state=entry.verdict,
    )


def _purge(past: PastPurge) -> PurgeRow:
    at = None if past.at is None else datetime.fromtimestamp(past.at, UTC)
    return PurgeRow(at=at, tags=past.tags, more=past.more, soft=past.soft)


def _duration(seconds: float) -> str:
    """Write a time so that it can be read at a glance: 42 s, 5 min, -3 h."""
    sign, whole = "-" if seconds <= -1 else "", int(abs(seconds))
    for length, unit in _UNITS:
        if whole >= 2 * length:
            return f"{sign}{whole // length} {unit}"
    return f"{sign}{whole} s"
