"""Freshening: bringing a stored entry up to date by what the application says about it.

A 304 to our own conditions makes the stored body current again, under the headers of the 304 (RFC 9111
§4.3.4). The response to a HEAD that was forwarded does the same for a stored GET (§4.3.5), or shows
that it is not current any more.
"""

from __future__ import annotations

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.storing import (
    give_up,
    judge_head,
    refuse,
    still_counts,
    store,
)
from cachemw.engine.model.entry import Entry, EntryWithHoles
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch, Serve
from cachemw.http.conditional import conditions, has_own_tag
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshening import freshened, head_matches, matches
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused

__all__ = ["by_head", "conditions_for", "validated"]


def conditions_for(fetch: Fetch) -> list[Pair]:
    """Return the conditions that ask the application if the stored entry is current (RFC 9111 §4.3.1)."""
    entry = fetch.fallback
    if entry is None or not 200 <= entry.status < 300:
        return []
    if type(entry) is EntryWithHoles:  # it is not what the application sent
        return []
    if fetch.cacheable.request.method not in (
        "GET",
        "QUERY",
    ):  # conditions on a POST mean other things
        return []
    headers = Fields(entry.headers)
    if has_own_tag(headers, entry.body):  # the application has never seen this entity tag
        headers = headers.without((b"etag",))
    return conditions(headers)


def validated(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], now: float, wall_now: float
) -> Serve | None:
    """Serve the stored entry that a 304 says is current, under the headers of the 304, and store it so.

    None: the 304 is about another response than the stored one, so it can renew nothing (RFC 9111
    §4.3.4). Then the entry is forgotten, and the next request asks the application for the whole.
    """
    entry = fetch.fallback
    assert entry is not None
    headers = Fields(entry.headers)
    if not matches(headers, head.headers):
        engine.memory.discard_if(entry.key, entry)
        refuse(engine, fetch, "validator")  # a copy in the shared store is not asked about either
        return None
    headers = freshened(headers, head.headers)
    # What the 304 itself forbids counts. A cookie that it sets goes to this client only (I1).
    sent = Head(status=entry.status, headers=_with_cookies(headers, head.headers))
    control = engine.control(headers)
    judged = judge_head(fetch, sent, control, wall_now, entry.body)
    if isinstance(judged, Refused):
        give_up(engine, fetch, judged.reason)
        once = _for_one_response(entry, sent.headers, fetch.started)
        return Serve(cacheable=fetch.cacheable, entry=once, outcome=Outcome.REVALIDATED, now=now)
    collector = Collector(
        fetch=fetch,
        head=Head(status=entry.status, headers=headers),
        control=control,
        lifetime=judged,
        born=fetch.started - initial_age(head.headers, wall_now),
        arrived=wall_now,
        tags=entry.tags + tags,
    )
    current, pending_save = store(engine, collector, entry.body, now)
    return Serve(
        cacheable=fetch.cacheable,
        entry=current,
        outcome=Outcome.REVALIDATED,
        now=now,
        pending_save=pending_save,
    )


def _with_cookies(headers: Fields, update: Fields) -> Fields:
    cookies = [(b"set-cookie", line) for line in update.values(b"set-cookie")]
    return headers.plus(*cookies) if cookies else headers


def _for_one_response(entry: Entry, headers: Fields, born: float) -> Entry:
    """Return an entry that is sent once and never stored."""
    return Entry(
        key=entry.key,
        status=entry.status,
        headers=tuple(headers.pairs),
        body=entry.body,
        route=entry.route,
        born=born,
        fresh_until=born,
        stale_until=born,
        stale_error_until=born,
        dies_at=born,
        position=entry.position,
    )


def by_head(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], now: float, wall_now: float
) -> SharedWrite | None:
    """Freshen the stored entry by the response to a HEAD, or remove it if it is not current any more."""
    entry = fetch.fallback
    if entry is None or not still_counts(engine, entry) or head.status in (304, *range(500, 600)):
        return None
    if type(entry) is EntryWithHoles:
        return None
    if fetch.spoilt is not None:  # it may be about something else than the stored entry (I7)
        return None
    headers = Fields(entry.headers)
    if head.status != entry.status or not head_matches(headers, len(entry.body), head.headers):
        engine.memory.discard_if(entry.key, entry)
        return None
    headers = freshened(headers, head.headers)
    current = Head(status=entry.status, headers=headers)
    control = engine.control(headers)
    judged = judge_head(fetch, current, control, wall_now, entry.body)
    if isinstance(judged, Refused) or b"set-cookie" in head.headers:
        return None
    collector = Collector(
        fetch=fetch,
        head=current,
        control=control,
        lifetime=judged,
        born=fetch.started - initial_age(head.headers, wall_now),
        arrived=wall_now,
        tags=entry.tags + tags,
    )
    return store(engine, collector, entry.body, now)[1]
