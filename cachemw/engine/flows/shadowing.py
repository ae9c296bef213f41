"""Routes in shadow: the application answers every request, and the cache only compares.

The application gets each request unchanged, and its response is sent unchanged. Nobody waits.
Otherwise everything is as if the route were on: keys, rules and purges. What would be stored is held
apart (`Engine.shadows`), where nothing can serve it (I1). When it would be served, it is compared
with the application's response. So a response that depends on something outside the key is noticed
before any client gets a wrong one.
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.core.engine import Engine
from cachemw.engine.flows.proposing import default_counts, propose
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.cutting import Cut, cut, cut_head
from cachemw.engine.keeping.storing import (
    entries_of,
    has_too_many_tags,
    judge_head,
    refusal,
    replaced_cookies,
)
from cachemw.engine.keeping.tagging import tags_of
from cachemw.engine.lookup.in_shadow import would_serve
from cachemw.engine.model.differences import (
    ComparedResponse,
    Difference,
    Shadow,
    compare,
    of_cookies,
)
from cachemw.engine.model.entry import HeaderPairs
from cachemw.engine.model.holes import Piece
from cachemw.engine.model.outcomes import ForecastName, Outcome
from cachemw.engine.request.decisions import Fetch, Forward, Proposed
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.cache_control import CacheControl
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, storable

__all__ = ["Shadowing", "forward_in_shadow", "shadowed", "start_shadowing"]

_LARGEST_BODY = 256 * 1024
"""Bytes. Of a larger body only the digest is held: it tells that bodies differ, but not where."""
_NOT_COMPARED = frozenset({206, 304, 500, 502, 503, 504})
"""Parts, responses to the client's own conditions, and failures: none says what the cache should hold."""


class Shadowing(Struct, kw_only=True, eq=False):
    """A response that is being collected, to be compared or to be held as a shadow."""

    fetch: Fetch
    head: Head
    control: CacheControl
    collector: Collector | None
    """None: the response would not be stored."""
    pieces: tuple[Piece, ...] = ()
    """The pieces for one client in it, which are not compared."""
    proposed: Collector | None = None
    """The same, with the proposed cookie rules."""

    @property
    def max_size(self) -> int:
        """The largest body that is collected, in bytes."""
        return self.fetch.cacheable.route.max_size


def forward_in_shadow(engine: Engine, cacheable: CacheableRequest, now: float) -> Forward:
    """Forward a request unchanged, and note what the cache would have served."""
    fetch = Fetch(
        cacheable=cacheable, position=engine.floors.current_position(), started=now, shadow=True
    )
    fetch.would_serve, fetch.would_refresh = would_serve(engine, cacheable, now)
    tags = cacheable.plan.tags
    fetch.proposed = propose(engine, cacheable.target, tags, cacheable.request, now)
    outcome = Outcome.SHADOW_MISS if fetch.would_serve is None else Outcome.SHADOW_HIT
    return Forward(route=cacheable.route, outcome=outcome, reason="shadow", fetch=fetch)


def start_shadowing(
    engine: Engine,
    fetch: Fetch,
    head: Head,
    tags: tuple[str, ...],
    wall_now: float,
    pieces: tuple[Piece, ...] = (),
) -> Shadowing | None:
    """Begin to collect a response, by its head; None: there is nothing to compare or to hold."""
    cacheable = fetch.cacheable
    head = cut_head(head, pieces)
    _forecast(engine, fetch)
    replaced = replaced_cookies(cacheable, head)
    if replaced:
        engine.forecast(cacheable.route, ("replaced",))
        engine.mismatched(cacheable.route, of_cookies(replaced))
    if cacheable.request.method == "HEAD" or head.status in _NOT_COMPARED or cacheable.ranged:
        if replaced:
            engine.refused(cacheable.route, "cookie-conflict")
        return None
    if fetch.spoilt is not None:  # I7: a half response differs from every stored one
        return None
    control = engine.control(head.headers)
    collector = None
    judged = _collector(fetch, head, control, tags, wall_now)
    if replaced:
        judged = Refused("cookie-conflict")
    if isinstance(judged, Refused):
        engine.refused(cacheable.route, judged.reason)
    else:
        collector = judged
    shadowing = Shadowing(
        fetch=fetch,
        head=head,
        control=control,
        collector=collector,
        proposed=_proposed_collector(fetch, head, control, tags, wall_now),
        pieces=pieces,
    )
    return shadowing if _is_of_use(shadowing) else None


def _forecast(engine: Engine, fetch: Fetch) -> None:
    """Count what the route would have done with this request, switched on."""
    counts: list[ForecastName] = ["requests"]
    if fetch.would_serve is not None:
        counts.append("hits")
    counts += default_counts(fetch.cacheable.route, fetch.proposed)
    engine.forecast(fetch.cacheable.route, counts)


def _is_of_use(shadowing: Shadowing) -> bool:
    """Tell whether there is something to compare the response with, or to hold."""
    if shadowing.collector is not None or shadowing.proposed is not None:
        return True
    fetch = shadowing.fetch
    others = None if fetch.proposed is None else fetch.proposed.would_serve
    return fetch.would_serve is not None or others is not None


def _collector(
    fetch: Fetch, head: Head, control: CacheControl, tags: tuple[str, ...], wall_now: float
) -> Collector | Refused:
    judged = judge_head(fetch, head, control, wall_now, None)
    if isinstance(judged, Refused):
        return judged
    return Collector(
        fetch=fetch,
        head=head,
        control=control,
        lifetime=judged,
        born=fetch.started - initial_age(head.headers, wall_now),
        arrived=wall_now,
        tags=tags,
    )


def _proposed_collector(
    fetch: Fetch, head: Head, control: CacheControl, tags: tuple[str, ...], wall_now: float
) -> Collector | None:
    """Return the collector of a response under the proposed cookie rules; None: it would not be stored."""
    if fetch.proposed is None:
        return None
    own = replace(fetch, cacheable=fetch.proposed.cacheable)
    collector = _collector(own, head, control, tags, wall_now)
    return None if isinstance(collector, Refused) else collector


def shadowed(
    engine: Engine, shadowing: Shadowing, body: bytes | None, size: int, now: float
) -> Outcome:
    """Compare a whole response with what the cache would have served.

    Hold the response as the new shadow, if the old one was wrong, stale or not there. `body` is None
    if its `size` is larger than the route stores; then it is not held.
    """
    fetch, served = shadowing.fetch, shadowing.fetch.would_serve
    if shadowing.pieces and body is not None:
        parts = cut(shadowing.head, body, shadowing.pieces, shadowing.max_size)
        if parts is None:
            engine.refused(fetch.cacheable.route, "lost-piece")
            return Outcome.SHADOW_MISS
        body = _without_pieces(shadowing, parts)
    fresh = ComparedResponse(
        status=shadowing.head.status,
        headers=_compared_headers(shadowing),
        digest=b"" if body is None else blake2b(body, digest_size=16).digest(),
        size=size,
        body=body if body is not None and size <= _LARGEST_BODY else b"",
        began=fetch.started,
        ended=now,
    )
    difference: Difference | None = None
    if served is not None:
        difference = compare(served.response, fresh, fetch.cacheable.route.volatile)
        if difference is not None:
            engine.mismatched(fetch.cacheable.route, difference)
    if body is not None and (served is None or fetch.would_refresh or difference is not None):
        _hold(engine, shadowing.collector, fresh, body, now)
    if fetch.proposed is not None:
        _try_proposal(engine, shadowing, fetch.proposed, fresh, body, now)
    if served is None:
        return Outcome.SHADOW_MISS
    return Outcome.SHADOW_MISMATCH if difference else Outcome.SHADOW_HIT


def _without_pieces(shadowing: Shadowing, parts: Cut) -> bytes:
    """Go on with a response without the pieces that are for one client; return its body."""
    shadowing.head = parts.head
    for collector in (shadowing.collector, shadowing.proposed):
        if collector is not None:
            collector.head = parts.head
    return parts.body


def _try_proposal(
    engine: Engine,
    shadowing: Shadowing,
    proposed: Proposed,
    fresh: ComparedResponse,
    body: bytes | None,
    now: float,
) -> None:
    """Compare a response with what would be served under the proposed cookie rules, or hold it."""
    route, served = proposed.cacheable.route, proposed.would_serve
    differs = served is not None and bool(compare(served.response, fresh, route.volatile))
    if differs:
        engine.forecast(route, ("default_wrong",))
    if body is not None and (served is None or proposed.would_refresh or differs):
        _hold(engine, shadowing.proposed, fresh, body, now)


def _hold(
    engine: Engine,
    collector: Collector | None,
    fresh: ComparedResponse,
    body: bytes,
    now: float,
) -> None:
    """Hold a response as a shadow, by the rules by which it would be stored."""
    if collector is None or refusal(collector, body, now) is not None:
        return
    tags = tags_of(engine, collector.fetch, collector.head.headers, collector.tags)
    if has_too_many_tags(engine, collector.fetch, tags):
        return
    known = engine.shadows.get(collector.fetch.digest)
    items = entries_of(engine, collector, b"", tags, None if known is None else known.entry)[1]
    for key, item in items:
        engine.shadows.put(key.digest, Shadow(item, fresh))


def _compared_headers(shadowing: Shadowing) -> HeaderPairs:
    """Return the headers that would be stored, and whether the response sets a cookie.

    The value of a cookie is left out: it differs from client to client. A stored entry sets none.
    """
    headers = tuple(storable(shadowing.head.headers, shadowing.control).pairs)
    if b"set-cookie" not in shadowing.head.headers:
        return headers
    return (*(pair for pair in headers if pair[0] != b"set-cookie"), (b"set-cookie", b""))
