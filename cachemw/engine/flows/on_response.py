"""What is done with the application's answer.

The front door calls, in this order: `on_head` when it knows status and fields (and the whole body,
if it has it by then), `on_complete` when the last byte came, or `on_error` when the application
raised. None of them waits for anything.
"""

from __future__ import annotations

from msgspec import Struct

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.flows.shadowing import Shadowing, shadowing
from cachemw.engine.keeping.changes import invalid_tags
from cachemw.engine.keeping.storing import (
    Collector,
    fail,
    judge_head,
    refuse,
    still_counts,
    with_entity_tag,
)
from cachemw.engine.keeping.tagging import take_tags
from cachemw.engine.keeping.validation import by_head, validated
from cachemw.engine.lookup.candidates import stands_in
from cachemw.engine.lookup.rendering import CONDITIONAL_METHODS, Pairs, as_not_modified
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.reasons import FORWARDED
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.http.cache_status import forwarded
from cachemw.http.conditional import not_modified
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Answer, Head
from cachemw.http.storing import Refused

__all__ = ["Relayed", "on_error", "on_head"]

_ORIGIN_FAILED = frozenset({500, 502, 503, 504})
"""What stale-if-error counts as an error (RFC 5861 §4)."""


class Relayed(Struct, frozen=True, kw_only=True):
    """The application's answer goes out."""

    answer: Answer
    keeping: Collector | Shadowing | None = None
    stored: SharedWrite | None = None
    """What the answer to a HEAD brought up to date, for the shared store."""
    purge: tuple[str, ...] = ()
    """Tags to purge before the answer goes out."""


def on_head(
    engine: Engine,
    forward: Forward,
    head: Head,
    *,
    now: float,
    wall_now: float,
    body: bytes | None = None,
) -> Relayed | Serve:
    """Decide what goes out and whether the answer is kept; a stored one may go out in its place.

    `now` is monotonic, `wall_now` seconds since the epoch; `body` is the whole body where it is
    known already.
    """
    fetch = forward.fetch
    tags: tuple[str, ...] = ()
    if forward.route is not None and not engine.settings.tag_fields.isdisjoint(head.headers.names):
        head, tags = take_tags(engine, head)
    if fetch is not None and fetch.shadow:
        watched = shadowing(engine, fetch, head, tags, wall_now)
        return Relayed(answer=_signed(engine, head, forward), keeping=watched)
    if fetch is None:
        purge = invalid_tags(engine, forward.change, head) if forward.change else ()
        return Relayed(answer=_signed(engine, head, forward), purge=purge)
    if head.status in _ORIGIN_FAILED and (stored := _spare(engine, fetch, now)) is not None:
        return _stand_in(fetch, stored, now)
    if head.status == 304 and fetch.validates:
        return validated(engine, fetch, head, tags, now, wall_now)
    if fetch.cacheable.request.method == "HEAD":
        stored_now = by_head(engine, fetch, head, tags, now, wall_now)
        return Relayed(answer=_signed(engine, head, forward), stored=stored_now)
    return _collect(engine, forward, fetch, head, tags, wall_now, body)


def _collect(
    engine: Engine,
    forward: Forward,
    fetch: Fetch,
    head: Head,
    tags: tuple[str, ...],
    wall_now: float,
    body: bytes | None,
) -> Relayed:
    control = engine.control(head.headers)
    judged = judge_head(fetch, head, control, wall_now, body)
    if fetch.cacheable.ranged and head.status != 200:  # it is about the part
        judged = Refused("partial")
    if isinstance(judged, Refused):
        let_go = fail if head.status in _ORIGIN_FAILED else refuse
        let_go(engine, fetch, judged.reason)
        return Relayed(answer=_answer(engine, forward, head, stored=False))
    if body is not None:
        head = with_entity_tag(head, body)
    keeping = Collector(
        fetch=fetch,
        head=head,
        control=control,
        lifetime=judged,
        born=fetch.started - initial_age(head.headers, wall_now),
        judged_whole=body is not None,
        tags=tags,
    )
    return Relayed(answer=_answer(engine, forward, head, stored=body is not None), keeping=keeping)


def _answer(engine: Engine, forward: Forward, head: Head, *, stored: bool) -> Answer:
    signed = _signed(engine, head, forward, stored=stored)
    fetch = forward.fetch
    if (
        fetch is not None
        and head.status == 200
        and fetch.cacheable.request.method in CONDITIONAL_METHODS
        and not fetch.refresh
        and forward.rewrite is not None
        and not_modified(fetch.cacheable.request.headers, head.headers)
    ):
        return as_not_modified(signed.headers)
    return signed


def _signed(engine: Engine, head: Head, forward: Forward, *, stored: bool = False) -> Answer:
    """Add our Cache-Status behind those of caches inside (RFC 9211 §2)."""
    word, detail = FORWARDED[forward.reason].word, None
    if word != forward.reason:
        detail = forward.reason
    key = None
    if engine.settings.show_keys and forward.fetch is not None:
        key = forward.fetch.cacheable.key.digest.hex()
    status = forwarded(word, stored=stored, key=key, detail=detail)
    headers: Pairs = [*head.headers.pairs, (b"cache-status", status)]
    if engine.settings.x_cache:
        missed = forward.outcome.outcome == "miss"
        headers.append((b"x-cache", b"MISS" if missed else b"BYPASS"))
    return Answer(status=head.status, headers=headers, body=None)


def on_error(engine: Engine, forward: Forward, now: float) -> Serve | None:
    """Give what may be served instead of the application's exception; None: raise it."""
    fetch = forward.fetch
    if fetch is None:
        return None
    stored = _spare(engine, fetch, now)
    if stored is None:
        fail(engine, fetch, "exception")
        return None
    return _stand_in(fetch, stored, now)


def _spare(engine: Engine, fetch: Fetch, now: float) -> Entry | None:
    """Give the stale answer that may still stand in: a purge may have come during the call.

    Or the log may have been lost in it, so that no purge could come.
    """
    stored = fetch.stored
    if stored is None or not stands_in(stored, now):
        return None
    if not engine.trusts(fetch.cacheable.route, stored.born, now):
        return None
    return stored if still_counts(engine, stored) else None


def _stand_in(fetch: Fetch, stored: Entry, now: float) -> Serve:
    """Serve a stale answer for a failing origin, to the followers too: they need not try it again."""
    if fetch.flight is not None:
        fetch.flight.land(stored, origin_failed=True)
    return Serve(cacheable=fetch.cacheable, entry=stored, outcome=Outcome.STALE_IF_ERROR, now=now)
