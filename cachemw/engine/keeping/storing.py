"""Storing: from a response of the application to what the tiers hold of it.

How a response is stored:

1. `judge_head` decides by the head whether the response may be stored, and for how long. The rules of
   RFC 9111 §3 are in `http.storing`; the limits of the route are here.
2. A `Collector` holds what is known, while the middleware collects the body.
3. `on_complete` is called when the body is complete. It makes the entry, puts it into memory, and
   completes the flight. It returns what the shared store gets after the response has been sent.

I7: only a response that arrived completely is stored or shared: its body must have the length that it
states, and `broke_off` drops it if the client left before the end.

A call that ends in another way has one of these results. `refuse`: the response may not be stored.
Everybody who waits goes on alone, and the key counts as uncacheable for a while, so nobody queues for
it. `fail`: the application failed, which says nothing about the next response. `broke_off`: the client
left, which says nothing either. `spoil`: the response is not to be trusted, whatever it will be.
Nothing in this module waits.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.learning import set_lifetime
from cachemw.engine.keeping.tagging import tags_of
from cachemw.engine.model.entry import (
    Entry,
    EntryWithHoles,
    HeaderPairs,
    Item,
    Key,
    VaryMarker,
    Verdict,
)
from cachemw.engine.model.plan import Plan
from cachemw.engine.model.routes import RouteState
from cachemw.engine.model.variants import selecting_names
from cachemw.engine.request.decisions import Fetch
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.cache_control import CacheControl
from cachemw.http.conditional import entity_tag
from cachemw.http.fields import Fields
from cachemw.http.freshness import Lifetime, stating_lifetime
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, judge, storable
from cachemw.http.vary import Selecting, naming_coding

__all__ = [
    "broke_off",
    "entries_of",
    "fail",
    "give_up",
    "has_too_many_tags",
    "is_endless",
    "judge_head",
    "on_complete",
    "refusal",
    "refuse",
    "replaced_cookies",
    "sets_removed_cookie",
    "spoil",
    "still_counts",
    "store",
    "with_entity_tag",
]

_BODILESS = frozenset({204, 304})
_ENDLESS = frozenset({b"text/event-stream", b"multipart/x-mixed-replace"})


def judge_head(
    fetch: Fetch, head: Head, control: CacheControl, wall_now: float, body: bytes | None
) -> Lifetime | Refused:
    """Decide whether a response may be stored; `body` is the whole body, if it is known already."""
    if fetch.spoilt is not None:
        return Refused(fetch.spoilt)
    directives = fetch.cacheable.directives
    if directives is not None and directives.no_store:  # RFC 9111 §5.2.1.5
        return Refused("request")
    if (reason := _unusable_part(fetch)) is not None:
        return Refused(reason)
    if is_endless(head.headers):
        return Refused("event-stream")
    route = fetch.cacheable.route
    size = len(body) if body is not None else _stated_length(head)
    if size > route.max_size:
        return Refused("too-large")
    if body is not None and not _is_readable(route, head, body):
        return Refused("graphql-errors")
    policy = route.policy
    if fetch.cacheable.request.method == "POST":
        # RFC 9110 §9.3.3: only with explicit freshness. And a POST cannot be validated.
        policy = replace(policy, heuristic=None, retain=0.0)
    return judge(
        head,
        control,
        policy,
        cookies_sent=fetch.cacheable.cookies_sent,
        authorization_sent=fetch.cacheable.authorization_sent,
        wall_now=wall_now,
    )


def _unusable_part(fetch: Fetch) -> str | None:
    """Return the reason why nothing is stored that is made from what the application has read."""
    if fetch.recording.has_stale_part:
        return "stale-part"
    if fetch.recording.has_lost_piece:
        return "lost-piece"
    return "unknown-value" if fetch.lifetime_limit <= 0 else None


def is_endless(headers: Fields) -> bool:
    """Tell whether a response is a stream without an end, for which nobody should wait."""
    media_type = headers.first(b"content-type")
    return media_type is not None and media_type.partition(b";")[0].strip().lower() in _ENDLESS


def sets_removed_cookie(fetch: Fetch, head: Head) -> bool:
    """Tell whether a response sets a cookie that was removed from its request."""
    return bool(replaced_cookies(fetch.cacheable, head))


def replaced_cookies(cacheable: CacheableRequest, head: Head) -> list[str]:
    """Return the names of the cookies that a response sets and that were removed from its request."""
    sent = cacheable.request.headers.values(b"cookie")
    set_cookies = head.headers.values(b"set-cookie")
    return cacheable.route.cookies.overwritten(sent, set_cookies) if set_cookies else []


def _is_readable(route: RouteState, head: Head, body: bytes) -> bool:
    return route.language is None or route.language.is_whole(head, body)


def _stated_length(head: Head) -> int:
    """Return the Content-Length, or 0 if there is none that can be read."""
    length = head.headers.first(b"content-length") or b""
    return int(length[:20]) if length.isdigit() else 0  # int() refuses thousands of digits


def refuse(engine: Engine, fetch: Fetch, reason: str) -> None:
    """Release all who wait, and remember for a while that nobody should queue for this key."""
    cacheable = fetch.cacheable
    engine.refused(cacheable.route, reason)
    if cacheable.speaks_for_all and fetch.spoilt is None:
        fetch.uncacheable = True
        engine.set_uncacheable(fetch.digest, True)
    if fetch.flight is not None:
        fetch.flight.release()


def give_up(engine: Engine, fetch: Fetch, reason: str) -> None:
    """End a call whose response is not kept, as its reason demands."""
    # The next response is probably a good one, unless this one was made from what is older than its call:
    # a value in a cache of the application, which may stay there for long.
    lasts = reason == "overtaken" and fetch.recording.oldest(fetch.position) is not fetch.position
    if reason in ("stale-part", "overtaken") and not lasts:
        fail(engine, fetch, reason)
    else:
        refuse(engine, fetch, reason)


def fail(engine: Engine, fetch: Fetch, reason: str) -> None:
    """End a call that failed. Those who wait go alone, few at a time: the next call may succeed."""
    engine.refused(fetch.cacheable.route, reason)
    fetch.fail()


def broke_off(engine: Engine, collector: Collector) -> None:
    """Drop a response whose client left before the end (I7); it says nothing about the next one."""
    engine.refused(collector.fetch.cacheable.route, "incomplete")
    collector.fetch.abandon()


def spoil(engine: Engine, fetch: Fetch, reason: str, *, collected: bool) -> None:
    """Neither store nor share what the application says from here on (I7).

    The call of the flight ends at once, and another request may lead. It says nothing about the next
    response. `collected` says whether a response has begun; later ones are counted when they are judged.
    """
    if fetch.spoilt is None:
        fetch.spoilt = reason
        if collected:
            engine.refused(fetch.cacheable.route, reason)
        fetch.abandon()


def on_complete(
    engine: Engine, collector: Collector, body: bytes, now: float
) -> SharedWrite | None:
    """Store a complete response in memory, and complete its flight.

    Call it before the last byte is sent: a client that asks again at once must find the entry.
    """
    reason = refusal(collector, body, now)
    if reason is not None:
        give_up(engine, collector.fetch, reason)
        return None
    if not collector.judged_whole:  # otherwise it has an entity tag already
        collector.head = with_entity_tag(collector.head, body)
    return store(engine, collector, body, now)[1]


def refusal(collector: Collector, body: bytes, now: float) -> str | None:
    """Return the reason why a response is not stored, now that its body is complete; or None."""
    if body and collector.head.status in (204, 205):  # RFC 9110 §15.3.5, §15.3.6
        return "length"
    length = collector.head.headers.first(b"content-length")
    if length is not None and length != b"%d" % len(body):  # I7: it did not arrive completely
        return "length"
    if not collector.judged_whole and not _is_readable(
        collector.fetch.cacheable.route, collector.head, body
    ):
        return "graphql-errors"
    if (reason := _unusable_part(collector.fetch)) is not None:
        return reason
    return "stale" if now >= collector.born + collector.lifetime.kept else None


def has_too_many_tags(engine: Engine, fetch: Fetch, tags: tuple[str, ...]) -> bool:
    """Tell whether the application gave a response more tags than one may have (I4)."""
    return len(tags) - len(fetch.cacheable.plan.tags) > engine.settings.max_tags


def with_entity_tag(head: Head, body: bytes) -> Head:
    """Return the head with an entity tag of ours, if it is a 200 without one."""
    if b"etag" in head.headers or head.status != 200:
        return head
    tag = entity_tag(body, head.headers.first(b"content-encoding"))
    return Head(status=head.status, headers=head.headers.plus((b"etag", tag)))


def store(
    engine: Engine, collector: Collector, body: bytes, now: float
) -> tuple[Entry, SharedWrite | None]:
    """Put a response into memory and complete its flight.

    Return its entry and what the shared store gets; None if the response was refused after all.
    """
    fetch = collector.fetch
    tags = tags_of(engine, fetch, collector.head.headers, collector.tags)
    known = engine.memory.get(fetch.digest)
    entry, items = entries_of(engine, collector, body, tags, known, learns=True)
    if has_too_many_tags(engine, fetch, tags):
        refuse(engine, fetch, "too-many-tags")
        return entry, None
    if entry.vary:
        _limit_variants(engine, fetch.cacheable.plan, items[-1][0])
    for _, item in items:
        engine.keep_in_memory(fetch.cacheable.target, item)
    engine.set_uncacheable(fetch.digest, False)
    engine.count("stored", "")
    if fetch.flight is not None:
        if now < entry.fresh_until:
            fetch.flight.complete(entry)
        else:  # it must be validated at every use, so everybody asks for themselves
            fetch.flight.release()
    return entry, SharedWrite(items, fetch.cacheable.route.name, fetch.take_lease())


def _limit_variants(engine: Engine, plan: Plan, key: Key) -> None:
    """Count a variant that is being stored; remove the oldest if its target has too many (I4)."""
    oldest = engine.variants.note(plan, key)
    if oldest is not None:
        engine.memory.discard(oldest)
        engine.count("variants_dropped", "")


def entries_of(
    engine: Engine,
    collector: Collector,
    body: bytes,
    tags: tuple[str, ...],
    known: Item | None,
    *,
    learns: bool = False,
) -> tuple[Entry, tuple[tuple[Key, Item], ...]]:
    """Return the entry, and all items to store: with it the Vary marker, if the response varies.

    `known` is what is stored under the target's primary key. `learns` says that the response is really
    stored, so that lifetimes are learned from it.
    """
    cacheable, head = collector.fetch.cacheable, collector.head
    plan = cacheable.plan
    names = selecting_names(plan.route, head.headers, known)
    values = engine.variants.values(names, cacheable.headers)
    key = engine.variants.key_of(plan, values) if values else plan.key
    headers = engine.intern(_stored_headers(collector, body))
    if collector.lifetime.of_route and plan.route.learning is not None:
        set_lifetime(engine, collector, key, body, tags, learns=learns)
    entry = _entry(collector, key, headers, body, values, tags)
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
    collector: Collector,
    key: Key,
    headers: HeaderPairs,
    body: bytes,
    vary: Selecting,
    tags: tuple[str, ...],
) -> Entry:
    lifetime, born = collector.lifetime.limited(collector.fetch.lifetime_limit), collector.born
    fresh_until = stale_until = stale_error_until = dies_at = born + lifetime.fresh
    # Equal times share one float object: there may be a million entries.
    if lifetime.kept != lifetime.fresh:
        stale_until = _later(fresh_until, lifetime.stale_while_revalidate)
        stale_error_until = _later(fresh_until, lifetime.stale_if_error)
        dies_at = _later(fresh_until, lifetime.kept - lifetime.fresh)
    kind = partial(EntryWithHoles, holes=collector.holes) if collector.holes else Entry
    return kind(
        key=key.digest,
        status=collector.head.status,
        headers=headers,
        body=body,
        vary=vary,
        born=born,
        fresh_until=fresh_until,
        stale_until=stale_until,
        stale_error_until=stale_error_until,
        dies_at=dies_at,
        route=collector.fetch.cacheable.route.name,
        # I5: from before the call, and from before the first row was read that the response shows
        position=collector.fetch.recording.oldest(collector.fetch.position),
        tags=tags,
        learned=collector.learned,
    )


def _later(moment: float, seconds: float) -> float:
    return moment + seconds if seconds else moment


def _stored_headers(collector: Collector, body: bytes) -> HeaderPairs:
    """Return the headers that may be stored (never Set-Cookie: I1), with a Content-Length.

    What caches on the way to the client would misread is completed.
    """
    head = collector.head
    headers = naming_coding(storable(head.headers, collector.control))
    headers = stating_lifetime(headers, collector.arrived)
    if head.status not in _BODILESS and b"content-length" not in headers:
        headers = headers.plus((b"content-length", b"%d" % len(body)))
    return tuple(headers.pairs)


def still_counts(engine: Engine, entry: Entry) -> bool:
    """Tell whether an entry has not been purged meanwhile (I5). A soft purge does not count."""
    return engine.floors.judge(entry) is not Verdict.DEAD
