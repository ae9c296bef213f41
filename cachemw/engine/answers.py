"""What is done with the application's answer, and how a stored one is rendered.

The front door calls, in this order: `on_head` when it knows status and fields (and the whole body,
if it has it by then), `on_complete` when the last byte came, or `on_error` when the application
raised. None of them waits for anything.
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.engine.effects import Flow, Save
from cachemw.engine.engine import Engine
from cachemw.engine.entry import MARKER, Entry, HeaderPairs, Key, Verdict
from cachemw.engine.flows import Fetch, Forward, Serve
from cachemw.engine.outcomes import Outcome
from cachemw.engine.screen import KEYED
from cachemw.errors import StoreError
from cachemw.http import cache_control
from cachemw.http.cache_status import forwarded, hit
from cachemw.http.conditional import NOT_MODIFIED_DROPS, entity_tag, is_conditional, not_modified
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshness import Lifetime, initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, judge, storable
from cachemw.http.vary import Selecting, varies_on

__all__ = [
    "Answer",
    "Keeping",
    "Stored",
    "broke_off",
    "fields_of_hit",
    "on_complete",
    "on_error",
    "on_head",
    "refuse",
    "render",
    "save",
]

Pairs = list[Pair]

_BODILESS = frozenset({204, 304})
_ORIGIN_FAILED = frozenset({500, 502, 503, 504})
"""What stale-if-error counts as an error (RFC 5861 §4)."""


class Answer(Struct, frozen=True, kw_only=True):
    """What goes out to the client instead of the application's own head."""

    status: int
    headers: Pairs
    body: bytes | None
    """None: the application's body follows. Bytes: this is the body, whatever the application sends."""


class Keeping(Struct, kw_only=True, eq=False):
    """An answer that is being collected so that it can be kept."""

    fetch: Fetch
    head: Head
    lifetime: Lifetime
    born: float
    max_size: int
    vary: tuple[bytes, ...]
    """Selecting fields beyond those that the key holds."""


class Stored(Struct, frozen=True):
    """Entries that the memory tier holds and the shared store is to get."""

    entries: tuple[tuple[Key, Entry], ...]
    route: str


def on_head(
    engine: Engine,
    forward: Forward,
    head: Head,
    *,
    now: float,
    wall_now: float,
    body: bytes | None = None,
) -> tuple[Answer, Keeping | None] | Serve:
    """Decide what goes out and whether the answer is kept; a failing origin's stale stand-in may serve.

    `now` is monotonic, `wall_now` seconds since the epoch; `body` is the whole body where it is
    known already.
    """
    fetch = forward.fetch
    if fetch is None:
        return Answer(status=head.status, headers=_signed(engine, head, forward), body=None), None
    if head.status in _ORIGIN_FAILED and (stale := _spare(engine, fetch, now)) is not None:
        return _stand_in(fetch, stale, now)
    judged = _judge(fetch, head, wall_now, body)
    keeping = None
    if isinstance(judged, Refused):
        refuse(engine, fetch, judged.reason)
    else:
        if body is not None:
            head = _with_entity_tag(head, body)
        keeping = Keeping(
            fetch=fetch,
            head=head,
            lifetime=judged,
            born=fetch.started - initial_age(head.headers, wall_now),
            max_size=fetch.ask.route.max_size,
            vary=_unkeyed(fetch, head),
        )
    return _relay(engine, forward, head, stored=keeping is not None and body is not None), keeping


def _judge(fetch: Fetch, head: Head, wall_now: float, body: bytes | None) -> Lifetime | Refused:
    size = len(body) if body is not None else _stated_length(head)
    if size > fetch.ask.route.max_size:
        return Refused("too-large")
    return judge(
        head,
        cache_control.parse(head.headers),
        fetch.ask.route.policy,
        cookies_sent=fetch.ask.cookies_sent,
        authorization_sent=fetch.ask.authorization_sent,
        wall_now=wall_now,
    )


def _stated_length(head: Head) -> int:
    """Give the Content-Length, zero where it says nothing; int() refuses thousands of digits."""
    length = head.headers.first(b"content-length") or b""
    return int(length[:20]) if length.isdigit() else 0


def refuse(engine: Engine, fetch: Fetch, reason: str) -> None:
    """Let everyone who waits go, and remember, so that nobody queues for this key for a while."""
    engine.refused(fetch.ask.route, reason)
    if not fetch.ask.personal:
        engine.set_uncacheable(fetch.digest, True)
    if fetch.flight is not None:
        fetch.flight.release()


def _relay(engine: Engine, forward: Forward, head: Head, *, stored: bool) -> Answer:
    headers = _signed(engine, head, forward, stored=stored)
    fetch = forward.fetch
    if (
        fetch is not None
        and head.status == 200
        and not fetch.refresh
        and forward.rewrite is not None
        and not_modified(fetch.ask.request.headers, head.headers)
    ):
        kept = [pair for pair in headers if pair[0] not in NOT_MODIFIED_DROPS]
        return Answer(status=304, headers=kept, body=b"")
    return Answer(status=head.status, headers=headers, body=None)


def _signed(engine: Engine, head: Head, forward: Forward, *, stored: bool = False) -> Pairs:
    """Add our Cache-Status behind those of caches inside (RFC 9211 §2)."""
    reason = "miss" if forward.outcome.outcome == "miss" else "bypass"
    detail = None if forward.reason == "miss" else forward.reason
    headers = [
        *head.headers.pairs,
        (b"cache-status", forwarded(reason, stored=stored, detail=detail)),
    ]
    if engine.settings.x_cache:
        headers.append((b"x-cache", b"MISS" if reason == "miss" else b"BYPASS"))
    return headers


def _with_entity_tag(head: Head, body: bytes) -> Head:
    if b"etag" in head.headers or head.status != 200:
        return head
    tag = entity_tag(body, head.headers.first(b"content-encoding"))
    return Head(status=head.status, headers=head.headers.plus((b"etag", tag)))


def _unkeyed(fetch: Fetch, head: Head) -> tuple[bytes, ...]:
    """Give the fields of Vary that the key does not hold already."""
    names = varies_on(head.headers)
    if not names:
        return ()
    route = fetch.ask.route
    held = KEYED | route.varies | {b"host"}
    if route.cookies is not None:
        held |= {b"cookie"}
    return tuple(name for name in names if name not in held)


# -- keeping ---------------------------------------------------------------------------------------


def on_complete(engine: Engine, keeping: Keeping, body: bytes, now: float) -> Stored | None:
    """Keep a complete answer in memory, and land its flight. Call before the last byte goes out."""
    fetch, head = keeping.fetch, keeping.head
    length = head.headers.first(b"content-length")
    if length is not None and length != b"%d" % len(body):
        refuse(engine, fetch, "length")
        return None
    head = _with_entity_tag(head, body)
    entry, entries = _entries(engine, keeping, head, body)
    if now >= entry.dies_at:
        refuse(engine, fetch, "stale")
        return None
    for _, each in entries:
        engine.memory.put(each)
    engine.set_uncacheable(fetch.digest, False)
    engine.count("stored", "")
    if fetch.flight is not None:
        fetch.flight.land(entry)
    return Stored(entries, fetch.ask.route.name)


def broke_off(engine: Engine, keeping: Keeping) -> None:
    """Stop keeping an answer whose client went away: that says nothing of the next one's."""
    engine.refused(keeping.fetch.ask.route, "incomplete")
    keeping.fetch.abandon()


def _entries(
    engine: Engine, keeping: Keeping, head: Head, body: bytes
) -> tuple[Entry, tuple[tuple[Key, Entry], ...]]:
    """Make the entry and, where the answer varies, the marker that stands under the primary key."""
    asked = keeping.fetch.ask
    plan = asked.plan
    wanted = engine.selecting(keeping.vary, asked.headers)
    key = engine.variant_key(plan, wanted) if wanted else plan.key
    fields = engine.intern(_storable_fields(head, body))
    entry = _entry(keeping, key, head.status, fields, body, wanted)
    if not wanted:
        return entry, ((key, entry),)
    names = tuple((name, None) for name in keeping.vary)
    marker = _entry(keeping, plan.key, MARKER, (), b"", names)
    return entry, ((plan.key, marker), (key, entry))


def _entry(
    keeping: Keeping, key: Key, status: int, headers: HeaderPairs, body: bytes, vary: Selecting
) -> Entry:
    plan, lifetime = keeping.fetch.ask.plan, keeping.lifetime
    fresh_until = keeping.born + lifetime.fresh
    return Entry(
        key=key.digest,
        status=status,
        headers=headers,
        body=body,
        vary=vary,
        born=keeping.born,
        fresh_until=fresh_until,
        stale_until=fresh_until + lifetime.stale_while_revalidate,
        stale_error_until=fresh_until + lifetime.stale_if_error,
        route=plan.route.name,
        position=keeping.fetch.position,
        tags=plan.tags,
    )


def _storable_fields(head: Head, body: bytes) -> HeaderPairs:
    fields = storable(head.headers, cache_control.parse(head.headers))
    if head.status not in _BODILESS and b"content-length" not in fields:
        fields = fields.plus((b"content-length", b"%d" % len(body)))
    return tuple(fields.pairs)


def save(stored: Stored) -> Flow[bool]:
    """Write what was kept to the shared store; run it when the response has gone out."""
    try:
        for key, entry in stored.entries:
            yield Save(entry, key, stored.route)
    except StoreError:
        return False
    return True


def on_error(engine: Engine, forward: Forward, now: float) -> Serve | None:
    """Give what may be served instead of the application's exception; None: raise it."""
    fetch = forward.fetch
    if fetch is None:
        return None
    stale = _spare(engine, fetch, now)
    if stale is None:
        refuse(engine, fetch, "exception")
        return None
    return _stand_in(fetch, stale, now)


def _spare(engine: Engine, fetch: Fetch, now: float) -> Entry | None:
    """Give the stale answer that may still stand in: a purge may have come during the call."""
    stale = fetch.stale
    if stale is None or now >= stale.stale_error_until:
        return None
    return None if engine.floors.judge(stale) is Verdict.DEAD else stale


def _stand_in(fetch: Fetch, stale: Entry, now: float) -> Serve:
    """Serve a stale answer for a failing origin, to the followers too: they need not try it again."""
    if fetch.flight is not None:
        fetch.flight.land(stale, origin_failed=True)
    return Serve(ask=fetch.ask, entry=stale, outcome=Outcome.STALE_IF_ERROR, now=now)


# -- serving ---------------------------------------------------------------------------------------


def render(engine: Engine, served: Serve) -> Answer:
    """Render a stored answer for one request: 304, HEAD, Age and Cache-Status."""
    entry, request = served.entry, served.ask.request
    headers = fields_of_hit(entry, served.now, _DETAIL[served.outcome])
    if engine.settings.x_cache:
        headers.append((b"x-cache", b"HIT"))
    if (
        entry.status == 200
        and is_conditional(request.headers)
        and not_modified(request.headers, Fields(entry.headers))
    ):
        kept = [pair for pair in headers if pair[0] not in NOT_MODIFIED_DROPS]
        return Answer(status=304, headers=kept, body=b"")
    body = b"" if request.method == "HEAD" else entry.body
    return Answer(status=entry.status, headers=headers, body=body)


_DETAIL = {
    Outcome.HIT_MEMORY: "memory",
    Outcome.HIT_SHARED: "shared",
    Outcome.HIT_COALESCED: "collapsed",
    Outcome.STALE_MEMORY: "stale",
    Outcome.STALE_SHARED: "stale",
    Outcome.STALE_IF_ERROR: "stale-if-error",
}


def fields_of_hit(entry: Entry, now: float, detail: str) -> Pairs:
    """Give a stored answer's fields with its current Age (RFC 9111 §5.1) and our Cache-Status."""
    age = int(now - entry.born)
    ttl = int(entry.fresh_until - now)
    return [
        *entry.headers,
        _ages.get(age) or _age(age),
        _hits.get((ttl, detail)) or _hit(ttl, detail),
    ]


# The few ages and remaining lifetimes in use recur all the time, so their pairs are made once.
_ages: dict[int, tuple[bytes, bytes]] = {}
_hits: dict[tuple[int, str], tuple[bytes, bytes]] = {}
_RENDERED = 8192
"""Pairs kept of each."""


def _age(age: int) -> tuple[bytes, bytes]:
    if len(_ages) >= _RENDERED:
        _ages.clear()
    pair = _ages[age] = (b"age", b"%d" % max(0, age))
    return pair


def _hit(ttl: int, detail: str) -> tuple[bytes, bytes]:
    if len(_hits) >= _RENDERED:
        _hits.clear()
    pair = _hits[ttl, detail] = (b"cache-status", hit(ttl, detail))
    return pair
