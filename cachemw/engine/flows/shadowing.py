"""Routes in shadow: the application answers everybody, and what the cache would do is watched.

The application gets each request as it came, and its answer goes out as it is; nobody waits. Beside
that everything is as if the route were on: keys, rules and purges. What would be stored is kept apart
(`Engine.shadows`), where nothing can ever serve it, and is compared with what the application says the
next time that it would be served. So an answer that depends on something which the key does not hold
shows before the first client gets a wrong one.
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Struct

from cachemw.engine.core.engine import Engine
from cachemw.engine.core.ports import Shadow
from cachemw.engine.keeping.storing import (
    Collector,
    entries_of,
    has_too_many_tags,
    judge_head,
    refusal,
)
from cachemw.engine.keeping.tagging import tags_of
from cachemw.engine.lookup.candidates import candidate
from cachemw.engine.model.differences import Difference, Seen, compare
from cachemw.engine.model.entry import Entry, HeaderPairs, VaryMarker, Verdict
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch, Forward
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.cache_control import CacheControl
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, storable

__all__ = ["Shadowing", "shadow", "shadowed", "shadowing"]

_KEPT_BODY = 256 * 1024
"""Bytes; of a larger body the digest is kept, which says that it differs, and not where."""
_SAYS_NOTHING = frozenset({206, 304, 500, 502, 503, 504})
"""Parts, answers to a client's own conditions, and failures: none is about what the cache holds."""


class Shadowing(Struct, kw_only=True, eq=False):
    """An answer that is being collected to be compared, or kept as a shadow."""

    fetch: Fetch
    head: Head
    control: CacheControl
    keeping: Collector | None
    """None: it would not be stored."""

    @property
    def max_size(self) -> int:
        """The bytes beyond which the body is not worth collecting."""
        return self.fetch.cacheable.route.max_size


def shadow(engine: Engine, cacheable: CacheableRequest, now: float) -> Forward:
    """Forward a request as it came, and watch what comes of it."""
    fetch = Fetch(cacheable=cacheable, position=engine.floors.here(), started=now, shadow=True)
    fetch.would, fetch.would_renew = _would_serve(engine, cacheable, now)
    outcome = Outcome.SHADOW_MISS if fetch.would is None else Outcome.SHADOW_HIT
    return Forward(route=cacheable.route, outcome=outcome, reason="shadow", fetch=fetch)


def shadowing(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], wall_now: float
) -> Shadowing | None:
    """Begin to watch an answer, by its head; None: there is nothing to be seen in it."""
    cacheable = fetch.cacheable
    if cacheable.request.method == "HEAD" or head.status in _SAYS_NOTHING or cacheable.ranged:
        return None
    control = engine.control(head.headers)
    judged = judge_head(fetch, head, control, wall_now, None)
    keeping = None
    if isinstance(judged, Refused):
        engine.refused(cacheable.route, judged.reason)
        if fetch.would is None:
            return None
    else:
        born = fetch.started - initial_age(head.headers, wall_now)
        keeping = Collector(
            fetch=fetch, head=head, control=control, lifetime=judged, born=born, tags=tags
        )
    return Shadowing(fetch=fetch, head=head, control=control, keeping=keeping)


def _would_serve(
    engine: Engine, cacheable: CacheableRequest, now: float
) -> tuple[Shadow | None, bool]:
    """Give what would be served, and whether it is stale."""
    found = engine.shadows.get(cacheable.plan.key.digest)
    if found is not None and isinstance(found.entry, VaryMarker):
        marker = found.entry
        if engine.floors.judge(marker) is Verdict.DEAD or now >= marker.dies_at:
            return None, False
        key = engine.variants.key_for(cacheable.plan, marker, cacheable.headers)
        found = engine.shadows.get(key.digest)
    if found is None or not isinstance(found.entry, Entry):
        return None, False
    fresh, stale = Outcome.HIT_MEMORY, Outcome.STALE_MEMORY
    served = candidate(engine, cacheable, found.entry, now, fresh, stale).served
    return (None, False) if served is None else (found, served.outcome is stale)


def shadowed(
    engine: Engine, watched: Shadowing, body: bytes | None, size: int, now: float
) -> Outcome:
    """Compare a whole answer with what the cache would have served; keep it if that was wrong, or nothing.

    `body` is None where its `size` is more than the route keeps: then it is not what is kept.
    """
    fetch, would = watched.fetch, watched.fetch.would
    fresh = Seen(
        status=watched.head.status,
        headers=_compared(watched),
        digest=b"" if body is None else blake2b(body, digest_size=16).digest(),
        size=size,
        body=body if body is not None and size <= _KEPT_BODY else b"",
    )
    difference: Difference | None = None
    if would is not None:
        difference = compare(would.seen, fresh, fetch.cacheable.route.volatile)
        if difference is not None:
            engine.mismatched(fetch.cacheable.route, difference)
    if body is not None and (would is None or fetch.would_renew or difference is not None):
        _keep(engine, watched.keeping, fresh, body, now)
    if would is None:
        return Outcome.SHADOW_MISS
    return Outcome.SHADOW_MISMATCH if difference else Outcome.SHADOW_HIT


def _keep(engine: Engine, keeping: Collector | None, fresh: Seen, body: bytes, now: float) -> None:
    """Keep what can be compared of an answer, by the rules by which it would be stored."""
    if keeping is None or refusal(keeping, body, now) is not None:
        return
    tags = tags_of(keeping.fetch, keeping.head.headers, keeping.tags)
    if has_too_many_tags(engine, keeping.fetch, tags):
        return
    for key, entry in entries_of(engine, keeping, b"", tags)[1]:
        engine.shadows.put(key.digest, Shadow(entry, fresh))


def _compared(watched: Shadowing) -> HeaderPairs:
    """Give the fields that would be stored, and that cookies are set: a stored answer sets none."""
    fields = tuple(storable(watched.head.headers, watched.control).pairs)
    cookies = (b"set-cookie", b"") if b"set-cookie" in watched.head.headers else None
    return fields if cookies is None else (*(f for f in fields if f[0] != b"set-cookie"), cookies)
