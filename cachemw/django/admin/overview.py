"""Content of the admin page: all processes, as Redis knows them, or this process alone.

A request for Redis takes no more time than a request of a client may take. After the first one that
Redis does not answer, no other is sent, and the page is about this process.
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
from cachemw.telemetry.shadow_report import shadow_lines

if TYPE_CHECKING:
    from cachemw.invalidation.recent_purges import PastPurge
    from cachemw.telemetry.stats import Stats

__all__ = ["SEARCH_TIME", "Overview", "make_overview", "redis_patience"]

SEARCH_TIME = 2.0
"""Seconds for the search through the entries. Of a million entries it covers a part; the page says so."""
_FOUND = 100
"""Most entries that a search shows."""
_PURGES = 20
"""Most purges that are listed, of each of the two kinds."""
_TAGS = 12
"""Most tags that are shown of one entry."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """One route: its configuration, the outcomes of its requests, and its entries."""

    name: str
    path: str
    risk: str
    state: str
    hits: int
    stale: int
    misses: int
    hit_rate: float | None
    """In percent; None where there were no requests."""
    entries: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One entry that the search found. Its texts come from clients and applications: escape them."""

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
    """One past purge."""

    at: datetime | None
    tags: tuple[str, ...] | None
    more: int
    soft: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything that the page shows."""

    redis: str
    """The URL of Redis, without the password; empty where none is configured."""
    problem: str
    """The reason why Redis does not answer; empty where it does."""
    processes: int
    """The number of processes that reported in the last ten seconds; 1 without Redis: this one."""
    killed: bool
    routes: list[RouteRow]
    shadow: list[str]
    """Sentences about the routes in shadow: what they would gain and break, switched on."""
    entries: int
    size: int
    found: list[EntryRow]
    more: bool
    """Whether the search found more entries than it shows."""
    complete: bool
    """Whether there was time to look at all entries."""
    purges: list[PurgeRow]
    """Those that a person, a program or an unsafe request made."""
    recorded: list[PurgeRow]
    """Those that a recorder made, because rows of a database changed."""

    @property
    def of_fleet(self) -> bool:
        """Whether it is about all processes that share this Redis, and not about this one alone."""
        return bool(self.redis) and not self.problem


@dataclass(slots=True)
class _Survey:
    """The entries, counted by route, and the first of those that were searched for."""

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


def redis_patience(cache: Cache) -> float:
    """Return how many seconds a reply of Redis may take for this page."""
    return 0.0 if cache.config.redis is None else cache.config.redis.deadline


def make_overview(cache: Cache, wanted: frozenset[str]) -> Overview:
    """Return the overview of a cache, with the entries that carry one of the wanted tags."""
    problem = ""
    if cache.config.redis is not None:
        try:
            return _of_fleet(cache, wanted)
        except StoreUnavailable as error:
            problem = str(error)
    stored = _survey(cache.inspection.memory(), wanted)
    return _overview(cache, cache.stats(), 1, stored, problem)


def _of_fleet(cache: Cache, wanted: frozenset[str]) -> Overview:
    cache.inspection.wait_for_log(redis_patience(cache))
    fleet = cache.fleet_stats()
    assert fleet is not None
    live = sum(process.live for process in fleet.processes)
    entries = cache.inspection.shared(patience=redis_patience(cache), within=SEARCH_TIME)
    stored = _survey(entries, wanted)
    return _overview(cache, fleet.stats, live, stored, "")


def _survey(entries: Iterable[StoredEntry], wanted: frozenset[str]) -> _Survey:
    ends = time.monotonic() + SEARCH_TIME
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
    recent = cache.log.recent()
    return Overview(
        redis=cache.config.redis.safe_url if cache.config.redis else "",
        problem=problem,
        processes=processes,
        killed=states["kill"] == "on",
        routes=[
            _route(route.name, (route.mount or "") + route.path, route.risk, states, stats, stored)
            for route in cache.config.routes
        ],
        shadow=shadow_lines(stats, cache.config),
        entries=stored.entries.total(),
        size=stored.sizes.total(),
        found=[_entry(each) for each in stored.found],
        more=stored.more,
        complete=stored.complete,
        purges=[_purge(each) for each in recent if not each.recorded][:_PURGES],
        recorded=[_purge(each) for each in recent if each.recorded][:_PURGES],
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
    # Leave out families of tags (`product:*`), and the tags of URL and route: other columns show those.
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
    """Return a duration that is easy to read: 42 s, 5 min, -3 h."""
    sign, whole = "-" if seconds <= -1 else "", int(abs(seconds))
    for length, unit in _UNITS:
        if whole >= 2 * length:
            return f"{sign}{whole // length} {unit}"
    return f"{sign}{whole} s"
