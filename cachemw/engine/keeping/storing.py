"""Keeping an answer: what is stored of it, under which key, and who hears of it.

Nothing here waits. `keep` puts into memory and lands the flight; what it gives back is written to
the shared store when the response has gone out.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.tagging import tags_of
from cachemw.engine.model.entry import Entry, HeaderPairs, Item, Key, VaryMarker, Verdict
from cachemw.engine.model.plan import Plan
from cachemw.engine.model.routes import RouteState
from cachemw.engine.model.variants import unkeyed_names
from cachemw.engine.request.decisions import Fetch
from cachemw.http.cache_control import CacheControl
from cachemw.http.conditional import entity_tag
from cachemw.http.freshness import Lifetime
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, judge, storable
from cachemw.http.vary import Selecting

__all__ = [
    "Collector",
    "broke_off",
    "entries_of",
    "fail",
    "has_too_many_tags",
    "judge_head",
    "keep",
    "on_complete",
    "refusal",
    "refuse",
    "still_counts",
    "with_entity_tag",
]

_BODILESS = frozenset({204, 304})


class Collector(Struct, kw_only=True, eq=False):
    """An answer that is being collected so that it can be kept."""

    fetch: Fetch
    head: Head
    control: CacheControl
    lifetime: Lifetime
    born: float
    judged_whole: bool = False
    """Whether `judge_head` has seen the body."""
    tags: tuple[str, ...] = ()
    """Those that the response's fields give."""

    @property
    def max_size(self) -> int:
        """The bytes beyond which the body is not worth collecting."""
        return self.fetch.cacheable.route.max_size


def judge_head(
    fetch: Fetch, head: Head, control: CacheControl, wall_now: float, body: bytes | None
) -> Lifetime | Refused:
    """Decide whether an answer may be kept; `body` is the whole body, where it is known already."""
    directives = fetch.cacheable.directives
    if directives is not None and directives.no_store:  # RFC 9111 §5.2.1.5
        return Refused("request")
    route = fetch.cacheable.route
    size = len(body) if body is not None else _stated_length(head)
    if size > route.max_size:
        return Refused("too-large")
    if body is not None and not _is_readable(route, head, body):
        return Refused("graphql-errors")
    policy = route.policy
    if fetch.cacheable.request.method == "POST":
        # RFC 9110 §9.3.3: where its freshness is explicit; and a POST cannot be validated.
        policy = replace(policy, heuristic=None, retain=0.0)
    return judge(
        head,
        control,
        policy,
        cookies_sent=fetch.cacheable.cookies_sent,
        authorization_sent=fetch.cacheable.authorization_sent,
        wall_now=wall_now,
    )


def _is_readable(route: RouteState, head: Head, body: bytes) -> bool:
    return route.language is None or route.language.is_whole(head, body)


def _stated_length(head: Head) -> int:
    """Give the Content-Length, zero where it says nothing; int() refuses thousands of digits."""
    length = head.headers.first(b"content-length") or b""
    return int(length[:20]) if length.isdigit() else 0


def refuse(engine: Engine, fetch: Fetch, reason: str) -> None:
    """Let everyone who waits go, and remember, so that nobody queues for this key for a while."""
    cacheable = fetch.cacheable
    engine.refused(cacheable.route, reason)
    if cacheable.speaks_for_all:
        fetch.uncacheable = True
        engine.set_uncacheable(fetch.digest, True)
    if fetch.flight is not None:
        fetch.flight.release()


def fail(engine: Engine, fetch: Fetch, reason: str) -> None:
    """Let those who wait go alone, few at a time: that a call failed says nothing of the next one's."""
    engine.refused(fetch.cacheable.route, reason)
    fetch.fail()


def broke_off(engine: Engine, keeping: Collector) -> None:
    """Stop keeping an answer whose client went away: that says nothing of the next one's."""
    engine.refused(keeping.fetch.cacheable.route, "incomplete")
    keeping.fetch.abandon()


def on_complete(engine: Engine, keeping: Collector, body: bytes, now: float) -> SharedWrite | None:
    """Keep a complete answer in memory, and land its flight. Call before the last byte goes out."""
    reason = refusal(keeping, body, now)
    if reason is not None:
        refuse(engine, keeping.fetch, reason)
        return None
    if not keeping.judged_whole:  # else it has one
        keeping.head = with_entity_tag(keeping.head, body)
    return keep(engine, keeping, body, now)[1]


def refusal(keeping: Collector, body: bytes, now: float) -> str | None:
    """Say why an answer is not kept after all, now that its body is there; or None."""
    length = keeping.head.headers.first(b"content-length")
    if length is not None and length != b"%d" % len(body):
        return "length"
    if not keeping.judged_whole and not _is_readable(
        keeping.fetch.cacheable.route, keeping.head, body
    ):
        return "graphql-errors"
    return "stale" if now >= keeping.born + keeping.lifetime.kept else None


def has_too_many_tags(engine: Engine, fetch: Fetch, tags: tuple[str, ...]) -> bool:
    """Say whether an answer, and what was read for it, has more tags than one may have."""
    return len(tags) - len(fetch.cacheable.plan.tags) > engine.settings.max_tags


def with_entity_tag(head: Head, body: bytes) -> Head:
    """Give a 200 that has no entity tag one of ours."""
    if b"etag" in head.headers or head.status != 200:
        return head
    tag = entity_tag(body, head.headers.first(b"content-encoding"))
    return Head(status=head.status, headers=head.headers.plus((b"etag", tag)))


def keep(
    engine: Engine, keeping: Collector, body: bytes, now: float
) -> tuple[Entry, SharedWrite | None]:
    """Put an answer into memory and land its flight; give its entry and what the shared store gets."""
    fetch = keeping.fetch
    tags = tags_of(fetch, keeping.head.headers, keeping.tags)
    entry, entries = entries_of(engine, keeping, body, tags)
    if has_too_many_tags(engine, fetch, tags):
        refuse(engine, fetch, "too-many-tags")
        return entry, None
    if entry.vary:
        _limit_variants(engine, fetch.cacheable.plan, entries[-1][0])
    for _, each in entries:
        engine.memory.put(each)
    engine.set_uncacheable(fetch.digest, False)
    engine.count("stored", "")
    if fetch.flight is not None:
        if now < entry.fresh_until:
            fetch.flight.land(entry)
        else:  # to be validated at every use: everybody asks for themselves
            fetch.flight.release()
    return entry, SharedWrite(entries, fetch.cacheable.route.name, fetch.take_lease())


def _limit_variants(engine: Engine, plan: Plan, key: Key) -> None:
    """Count a variant that is being stored; remove the oldest if its target has too many (I4)."""
    oldest = engine.variants.note(plan, key)
    if oldest is not None:
        engine.memory.discard(oldest)
        engine.count("variants_dropped", "")


def entries_of(
    engine: Engine, keeping: Collector, body: bytes, tags: tuple[str, ...]
) -> tuple[Entry, tuple[tuple[Key, Item], ...]]:
    """Return the entry, and all items to store: with it the Vary marker, where the response varies."""
    cacheable, head = keeping.fetch.cacheable, keeping.head
    plan = cacheable.plan
    names = unkeyed_names(plan.route, head.headers)
    values = engine.variants.values(names, cacheable.headers)
    key = engine.variants.key_of(plan, values) if values else plan.key
    headers = engine.intern(_kept_fields(head, keeping.control, body))
    entry = _entry(keeping, key, headers, body, values, tags)
    if not values:
        return entry, ((key, entry),)
    marker = VaryMarker(
        key=plan.key.digest,
        names=names,
        route=entry.route,
        born=entry.born,
        fresh_until=entry.fresh_until,
        dies_at=entry.dies_at,
        position=entry.position,
        tags=tags,
    )
    return entry, ((plan.key, marker), (key, entry))


def _entry(
    keeping: Collector,
    key: Key,
    headers: HeaderPairs,
    body: bytes,
    vary: Selecting,
    tags: tuple[str, ...],
) -> Entry:
    lifetime, born = keeping.lifetime, keeping.born
    fresh_until = stale_until = stale_error_until = dies_at = born + lifetime.fresh
    # Times that are equal share one object: there may be a million entries.
    if lifetime.kept != lifetime.fresh:
        stale_until = _later(fresh_until, lifetime.stale_while_revalidate)
        stale_error_until = _later(fresh_until, lifetime.stale_if_error)
        dies_at = _later(fresh_until, lifetime.kept - lifetime.fresh)
    return Entry(
        key=key.digest,
        status=keeping.head.status,
        headers=headers,
        body=body,
        vary=vary,
        born=born,
        fresh_until=fresh_until,
        stale_until=stale_until,
        stale_error_until=stale_error_until,
        dies_at=dies_at,
        route=keeping.fetch.cacheable.route.name,
        position=keeping.fetch.position,
        tags=tags,
    )


def _later(moment: float, seconds: float) -> float:
    return moment + seconds if seconds else moment


def _kept_fields(head: Head, control: CacheControl, body: bytes) -> HeaderPairs:
    fields = storable(head.headers, control)
    if head.status not in _BODILESS and b"content-length" not in fields:
        fields = fields.plus((b"content-length", b"%d" % len(body)))
    return tuple(fields.pairs)


def still_counts(engine: Engine, entry: Entry) -> bool:
    """Say whether an entry has not been purged meanwhile; softly does not count."""
    return engine.floors.judge(entry) is not Verdict.DEAD
