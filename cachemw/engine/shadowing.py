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

from cachemw.engine.ask import Ask
from cachemw.engine.candidates import candidate
from cachemw.engine.comparing import Difference, Seen, compare
from cachemw.engine.decisions import Fetch, Forward
from cachemw.engine.engine import Engine, Shadow
from cachemw.engine.entry import MARKER, HeaderPairs, Verdict
from cachemw.engine.keeping import Keeping, entries_of, judge_head
from cachemw.engine.outcomes import Outcome
from cachemw.engine.tagging import tags_of
from cachemw.http.cache_control import CacheControl
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused, storable

__all__ = ["Shadowing", "shadow", "shadowed", "shadowing"]

_KEPT_BODY = 256 * 1024
"""Bytes; of a larger body the digest is kept, which says that it differs, and not where."""


class Shadowing(Struct, kw_only=True, eq=False):
    """An answer that is being collected to be compared, or kept as a shadow."""

    fetch: Fetch
    head: Head
    control: CacheControl
    would: Shadow | None
    """What the cache would have served."""
    keeping: Keeping | None
    """None: it would not be stored."""

    @property
    def max_size(self) -> int:
        """The bytes beyond which the body is not worth collecting."""
        return self.fetch.ask.route.max_size


def shadow(engine: Engine, asked: Ask, now: float) -> Forward:
    """Forward a request as it came, and watch what comes of it."""
    fetch = Fetch(ask=asked, position=engine.floors.here(), started=now, shadow=True)
    return Forward(route=asked.route, outcome=Outcome.SHADOW_MISS, reason="shadow", fetch=fetch)


def shadowing(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], wall_now: float
) -> Shadowing | None:
    """Begin to watch an answer, by its head; None: there is nothing to be seen in it."""
    asked = fetch.ask
    if asked.request.method == "HEAD" or head.status == 304 or asked.ranged:
        return None
    would = _would_serve(engine, asked, fetch.started)
    control = engine.control(head.headers)
    judged = judge_head(fetch, head, control, wall_now, None)
    keeping = None
    if isinstance(judged, Refused):
        engine.refused(asked.route, judged.reason)
        if would is None:
            return None
    else:
        born = fetch.started - initial_age(head.headers, wall_now)
        keeping = Keeping(
            fetch=fetch, head=head, control=control, lifetime=judged, born=born, tags=tags
        )
    return Shadowing(fetch=fetch, head=head, control=control, would=would, keeping=keeping)


def _would_serve(engine: Engine, asked: Ask, now: float) -> Shadow | None:
    found = engine.shadows.get(asked.plan.key.digest)
    if found is not None and found.entry.status == MARKER:
        if engine.floors.judge(found.entry) is Verdict.DEAD or now >= found.entry.dies_at:
            return None
        names = tuple(name for name, _ in found.entry.vary)
        key = engine.variant_key(asked.plan, engine.selecting(names, asked.headers))
        found = engine.shadows.get(key.digest)
    if found is None:
        return None
    outcome = Outcome.SHADOW_HIT
    served = candidate(engine, asked, found.entry, now, outcome, outcome).served
    return found if served is not None else None


def shadowed(engine: Engine, watched: Shadowing, body: bytes, now: float) -> Outcome:
    """Compare a whole answer with what the cache would have served; keep it if that was wrong, or nothing."""
    fetch, keeping, would = watched.fetch, watched.keeping, watched.would
    digest = blake2b(body, digest_size=16).digest()
    kept = body if len(body) <= _KEPT_BODY else b""
    fresh = Seen(
        status=watched.head.status,
        headers=_compared(watched),
        digest=digest,
        size=len(body),
        body=kept,
    )
    difference: Difference | None = None
    if would is not None:
        difference = compare(would.seen, fresh, fetch.ask.route.volatile)
        if difference is not None:
            engine.mismatched(fetch.ask.route, difference)
    if (
        keeping is not None
        and (would is None or difference)
        and now < keeping.born + keeping.lifetime.kept
    ):
        tags = tags_of(fetch, keeping.head.headers, keeping.tags)
        for key, entry in entries_of(engine, keeping, b"", tags)[1]:
            engine.shadows.put(key.digest, Shadow(entry, fresh))
    if would is None:
        return Outcome.SHADOW_MISS
    return Outcome.SHADOW_MISMATCH if difference else Outcome.SHADOW_HIT


def _compared(watched: Shadowing) -> HeaderPairs:
    """Give the fields that would be stored, and that cookies are set: a stored answer sets none."""
    fields = tuple(storable(watched.head.headers, watched.control).pairs)
    cookies = (b"set-cookie", b"") if b"set-cookie" in watched.head.headers else None
    return fields if cookies is None else (*(f for f in fields if f[0] != b"set-cookie"), cookies)
