"""Bringing a stored answer up to date: asking if it is current, and taking the application's word.

A 304 to our own conditions makes the stored body current again under the 304's fields (RFC 9111
§4.3.4). The answer to a HEAD that was passed on does the same for a stored GET (§4.3.5), or shows
that it is not current any more.
"""

from __future__ import annotations

import re

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.storing import Collector, judge_head, keep, refuse, still_counts
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Fetch, Serve
from cachemw.http.conditional import conditions, entity_tag
from cachemw.http.fields import Fields, Pair
from cachemw.http.freshening import freshened, head_matches, matches
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Head
from cachemw.http.storing import Refused

__all__ = ["by_head", "conditions_for", "validated"]

_OWN_TAG = re.compile(rb'"[0-9a-f]{24}"')


def conditions_for(fetch: Fetch) -> list[Pair]:
    """Give the conditions to ask the application with, if what is stored is current (RFC 9111 §4.3.1)."""
    stored = fetch.stored
    if stored is None or not 200 <= stored.status < 300:
        return []
    if fetch.cacheable.request.method not in ("GET", "QUERY"):  # to a POST they mean something else
        return []
    fields = Fields(stored.headers)
    if _is_ours(stored, fields):  # an entity tag that the application has never seen
        fields = fields.without((b"etag",))
    return conditions(fields)


def _is_ours(stored: Entry, fields: Fields) -> bool:
    tag = fields.first(b"etag")
    if tag is None or not _OWN_TAG.fullmatch(tag):
        return False
    return tag == entity_tag(stored.body, fields.first(b"content-encoding"))


def validated(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], now: float, wall_now: float
) -> Serve:
    """Serve the stored answer that a 304 calls current, under the 304's fields, and keep it so."""
    stored = fetch.stored
    assert stored is not None
    fields = Fields(stored.headers)
    if matches(fields, head.headers):
        fields = freshened(_dated(fields, head.headers), head.headers)
    current = Head(status=stored.status, headers=fields)
    # What the 304 itself forbids counts, a cookie in it above all: that goes to this client alone.
    said = Head(status=stored.status, headers=_with_cookies(fields, head.headers))
    control = engine.control(fields)
    judged = judge_head(fetch, said, control, wall_now, stored.body)
    if isinstance(judged, Refused):
        refuse(engine, fetch, judged.reason)
        entry = _once(stored, said.headers, fetch.started)
        return Serve(cacheable=fetch.cacheable, entry=entry, outcome=Outcome.REVALIDATED, now=now)
    born = fetch.started - initial_age(head.headers, wall_now)
    keeping = Collector(
        fetch=fetch,
        head=current,
        control=control,
        lifetime=judged,
        born=born,
        tags=stored.tags + tags,
    )
    entry, kept = keep(engine, keeping, stored.body, now)
    return Serve(
        cacheable=fetch.cacheable, entry=entry, outcome=Outcome.REVALIDATED, now=now, stored=kept
    )


def _dated(stored: Fields, update: Fields) -> Fields:
    """Leave an old Date behind where the 304 brings none: age and lifetime count from now on."""
    return stored if b"date" in update else stored.without((b"date",))


def _with_cookies(fields: Fields, update: Fields) -> Fields:
    cookies = [(b"set-cookie", line) for line in update.values(b"set-cookie")]
    return fields.plus(*cookies) if cookies else fields


def _once(stored: Entry, fields: Fields, born: float) -> Entry:
    """Make an entry for one answer that nobody keeps."""
    return Entry(
        key=stored.key,
        status=stored.status,
        headers=tuple(fields.pairs),
        body=stored.body,
        route=stored.route,
        born=born,
        fresh_until=born,
        stale_until=born,
        stale_error_until=born,
        dies_at=born,
        position=stored.position,
    )


def by_head(
    engine: Engine, fetch: Fetch, head: Head, tags: tuple[str, ...], now: float, wall_now: float
) -> SharedWrite | None:
    """Freshen what is stored by the answer to a HEAD, or drop it if it is another one by now."""
    stored = fetch.stored
    if stored is None or not still_counts(engine, stored) or head.status in (304, *range(500, 600)):
        return None
    fields = Fields(stored.headers)
    if head.status != stored.status or not head_matches(fields, len(stored.body), head.headers):
        engine.memory.discard_if(stored.key, stored)
        return None
    current = Head(
        status=stored.status, headers=freshened(_dated(fields, head.headers), head.headers)
    )
    control = engine.control(current.headers)
    judged = judge_head(fetch, current, control, wall_now, stored.body)
    if isinstance(judged, Refused) or b"set-cookie" in head.headers:
        return None
    born = fetch.started - initial_age(head.headers, wall_now)
    keeping = Collector(
        fetch=fetch,
        head=current,
        control=control,
        lifetime=judged,
        born=born,
        tags=stored.tags + tags,
    )
    return keep(engine, keeping, stored.body, now)[1]
