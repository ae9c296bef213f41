"""The flow of a response: what is sent, and whether the response is stored.

The middleware calls, in this order:

1. `on_head`, when status and headers are known (and the body, if it is known as a whole by then);
2. `keeping.storing.on_complete`, when the body has ended;
3. or `on_error`, if the application raised.

None of them waits for anything.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.core.effects import SharedWrite
from cachemw.engine.core.engine import Engine
from cachemw.engine.flows.shadowing import Shadowing, start_shadowing
from cachemw.engine.keeping.changes import invalid_tags
from cachemw.engine.keeping.client_cookies import ask_with_own, with_cookies, without_dropped
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.keeping.cutting import Cut, cut
from cachemw.engine.keeping.storing import (
    fail,
    give_up,
    judge_head,
    refuse,
    sets_removed_cookie,
    still_counts,
    with_entity_tag,
)
from cachemw.engine.keeping.tagging import is_overtaken, take_tags
from cachemw.engine.keeping.validation import by_head, validated
from cachemw.engine.lookup.candidates import usable_on_error
from cachemw.engine.lookup.filling import fill, is_current
from cachemw.engine.lookup.nonces import nonce_pieces
from cachemw.engine.lookup.rendering import CONDITIONAL_METHODS, Pairs, as_not_modified
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.holes import Hole, Piece
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.model.reasons import FORWARDED
from cachemw.engine.request.decisions import Fetch, Forward, Serve
from cachemw.http.cache_status import forwarded
from cachemw.http.conditional import not_modified
from cachemw.http.freshness import initial_age
from cachemw.http.messages import Answer, Head
from cachemw.http.storing import Refused
from cachemw.http.vary import naming_coding

__all__ = ["AskAgain", "Relayed", "on_error", "on_head", "unaltered"]

_ORIGIN_FAILED = frozenset({500, 502, 503, 504})
"""What stale-if-error counts as an error (RFC 5861 §4)."""


class Relayed(Struct, frozen=True, kw_only=True):
    """The application's response is sent."""

    answer: Answer
    collector: Collector | Shadowing | None = None
    """Collects the body, if the response may be stored or is compared."""
    pending_save: SharedWrite | None = None
    """What the shared store gets: the entry that the response to a HEAD has freshened."""
    purge: tuple[str, ...] = ()
    """Tags to purge before the response is sent."""
    tags: tuple[str, ...] = ()
    """The tags in its headers."""
    body: bytes | None = None
    """The body to collect, where it is another one than the client gets: with holes in it."""


class AskAgain(Struct, frozen=True):
    """The response is dropped, and the application is called again with the client's own request."""

    forward: Forward


def on_head(
    engine: Engine,
    forward: Forward,
    head: Head,
    *,
    now: float,
    wall_now: float,
    body: bytes | None = None,
) -> Relayed | Serve | AskAgain:
    """Decide what is sent and whether the response is stored; a stored entry may be served instead.

    `now` is monotonic, `wall_now` is in seconds since the epoch. `body` is the whole body, if it is
    known already.
    """
    again = ask_with_own(engine, forward, head)
    if again is not None:
        return AskAgain(again)
    head, cookies = without_dropped(forward, head)
    decided = _on_head(engine, forward, head, now, wall_now, body)
    if isinstance(decided, Relayed):
        return (
            replace(decided, answer=with_cookies(decided.answer, cookies)) if cookies else decided
        )
    if isinstance(decided, Serve) and decided.outcome is Outcome.REVALIDATED:
        # The application has answered this client, and said that what is stored is current.
        return replace(decided, cookies=cookies)
    return decided


def _on_head(
    engine: Engine,
    forward: Forward,
    head: Head,
    now: float,
    wall_now: float,
    body: bytes | None,
) -> Relayed | Serve | AskAgain:
    fetch = forward.fetch
    tags: tuple[str, ...] = ()
    if forward.route is not None and not engine.settings.tag_fields.isdisjoint(head.headers.names):
        head, tags = take_tags(engine, head)
    if fetch is not None and fetch.shadow:
        return _shadow(engine, forward, fetch, head, tags, wall_now, body)
    if fetch is None:
        purge = invalid_tags(engine, forward.change, head) if forward.change else ()
        return Relayed(answer=_signed(engine, forward, head), purge=purge, tags=tags)
    if head.status in _ORIGIN_FAILED:
        entry = _fallback_entry(engine, fetch, now)
        if entry is not None:
            return _serve_fallback(fetch, entry, now)
    pieces = fetch.recording.take_pieces()
    parts = None
    if not (pieces and fetch.recording.has_lost_piece):  # else what is in it is for two clients
        parts = _cut(fetch, head, body, pieces + _nonces(fetch, head))
    if parts is not None:
        return _collect_cut(engine, forward, fetch, parts, tags, wall_now)
    if pieces:
        return _ask_unaltered(engine, forward, fetch, head, "lost-piece")
    if sets_removed_cookie(fetch, head):
        return _ask_unaltered(engine, forward, fetch, head, "cookie-conflict")
    if head.status == 304 and fetch.validates:
        served = validated(engine, fetch, head, tags, now, wall_now)
        return served or _replace_unvalidated(engine, forward, fetch, head, now)
    if fetch.cacheable.request.method == "HEAD":
        pending_save = by_head(engine, fetch, head, tags, now, wall_now)
        answer = _signed(engine, forward, head)
        return Relayed(answer=answer, pending_save=pending_save, tags=tags)
    return _collect(engine, forward, fetch, head, tags, wall_now, body)


def _shadow(
    engine: Engine,
    forward: Forward,
    fetch: Fetch,
    head: Head,
    tags: tuple[str, ...],
    wall_now: float,
    body: bytes | None,
) -> Relayed | AskAgain:
    """Send a response as it is, and begin to compare it. Only placeholders in it are filled."""
    pieces = fetch.recording.take_pieces()
    placeholders = tuple(piece for piece in pieces if piece.placeholder)
    parts = _cut(fetch, head, body, placeholders)
    if parts is None and placeholders:
        engine.refused(fetch.cacheable.route, "lost-piece")
        return AskAgain(replace(forward, fetch=None, rewrite=None))
    pieces += _nonces(fetch, head)
    shadowing = start_shadowing(engine, fetch, head, tags, wall_now, pieces)
    answer = _signed(engine, forward, head)
    if parts is None:
        return Relayed(answer=answer, collector=shadowing, tags=tags)
    headers = _signed(engine, forward, parts.head).headers
    filled = fill(engine, headers, parts.body, parts.holes, fetch.cacheable.request)
    answer = Answer(status=head.status, headers=filled.headers, body=filled.body)
    return Relayed(answer=answer, collector=shadowing, tags=tags, body=body)


def _nonces(fetch: Fetch, head: Head) -> tuple[Piece, ...]:
    """Return the nonces of a page as pieces, if the route asks for new ones for each client."""
    cacheable = fetch.cacheable
    renews = cacheable.route.renews_nonce and cacheable.request.method == "GET"
    return nonce_pieces(head) if renews else ()


def _cut(fetch: Fetch, head: Head, body: bytes | None, pieces: tuple[Piece, ...]) -> Cut | None:
    """Return a response with holes; None if there are no pieces in it, or one cannot be cut out."""
    if body is None or not pieces:
        return None
    return cut(head, body, pieces, fetch.cacheable.route.max_size)


def _ask_unaltered(
    engine: Engine, forward: Forward, fetch: Fetch, head: Head, refused: str
) -> Relayed | AskAgain:
    """Ask the application again with the client's own request, if that is safe.

    It set a cookie that it was not shown: sent, the response would replace the client's session, and
    without its cookie a form in it would not work. Or a piece in it is for nobody, and cannot be replaced.
    A method that may change something is not called twice, and a refresh has no client.
    """
    engine.mark_cookie_conflict(fetch.cacheable.target)
    refuse(engine, fetch, refused)
    if not fetch.may_ask_again:
        return Relayed(answer=_answer(engine, forward, head, will_store=False))
    return AskAgain(unaltered(forward))


def unaltered(forward: Forward) -> Forward:
    """Return what sends the client's own request to the application, with all its cookies."""
    return Forward(route=forward.route, outcome=forward.outcome, reason="cookie-conflict")


def _collect_cut(
    engine: Engine,
    forward: Forward,
    fetch: Fetch,
    parts: Cut,
    tags: tuple[str, ...],
    wall_now: float,
) -> Relayed | AskAgain:
    """Begin to store a response with holes; send it with the pieces of this client in them.

    Stored or not: what was cut out was for nobody, since the application did not see the client's cookies.
    """
    if sets_removed_cookie(fetch, parts.head):
        return _ask_unaltered(engine, forward, fetch, parts.head, "cookie-conflict")
    relayed = _collect(engine, forward, fetch, parts.head, tags, wall_now, parts.body, parts.holes)
    answer, body = relayed.answer, parts.body
    if not fetch.refresh:  # which nobody waits for
        request = fetch.cacheable.request
        filled = fill(engine, answer.headers, body, parts.holes, request)
        answer = Answer(status=answer.status, headers=filled.headers, body=filled.body)
        if answer.status == 200 and is_current(request, filled):
            answer = as_not_modified(filled.headers)
    return replace(relayed, answer=answer, body=body)


def _collect(
    engine: Engine,
    forward: Forward,
    fetch: Fetch,
    head: Head,
    tags: tuple[str, ...],
    wall_now: float,
    body: bytes | None,
    holes: tuple[Hole, ...] = (),
) -> Relayed:
    """Send the response, and begin to collect it if it may be stored."""
    control = engine.control(head.headers)
    judged = judge_head(fetch, head, control, wall_now, body)
    if fetch.cacheable.ranged and head.status != 200:  # it is about the part, not the whole
        judged = Refused("partial")
    if not isinstance(judged, Refused) and is_overtaken(engine, fetch, tags):
        judged = Refused("overtaken")
    if isinstance(judged, Refused):
        # A failure says nothing about the next response, so the key is not marked as uncacheable.
        end = fail if head.status in _ORIGIN_FAILED else give_up
        end(engine, fetch, judged.reason)
        detail = judged.reason if judged.reason == "overtaken" else None
        sent = _signed if holes else _answer
        answer = sent(engine, forward, head, will_store=False, detail=detail)
        return Relayed(answer=answer, tags=tags)
    if (headers := naming_coding(head.headers)) is not head.headers:
        head = Head(status=head.status, headers=headers)
    if body is not None:
        head = with_entity_tag(head, body)
    collector = Collector(
        fetch=fetch,
        head=head,
        control=control,
        lifetime=judged,
        born=fetch.started - initial_age(head.headers, wall_now),
        arrived=wall_now,
        judged_whole=body is not None,
        tags=tags,
        holes=holes,
    )
    # Cache-Status says `stored` only if it is known before the head is sent.
    sent = _signed if holes else _answer
    answer = sent(engine, forward, head, will_store=body is not None)
    return Relayed(answer=answer, collector=collector, tags=tags)


def _answer(
    engine: Engine, forward: Forward, head: Head, *, will_store: bool, detail: str | None = None
) -> Answer:
    """Return the response, or a 304 if the client has it already (its conditions were taken out)."""
    signed = _signed(engine, forward, head, will_store=will_store, detail=detail)
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


def _signed(
    engine: Engine,
    forward: Forward,
    head: Head,
    *,
    will_store: bool = False,
    detail: str | None = None,
) -> Answer:
    """Return the response with our Cache-Status, behind those of caches nearer to it (RFC 9211 §2)."""
    word = FORWARDED[forward.reason].word
    if detail is None and word != forward.reason:
        detail = forward.reason
    key = None
    if engine.settings.show_keys and forward.fetch is not None:
        key = forward.fetch.cacheable.key.digest.hex()
    status = forwarded(word, stored=will_store, key=key, detail=detail)
    headers: Pairs = [*head.headers.pairs, (b"cache-status", status)]
    if engine.settings.x_cache:
        missed = forward.outcome.outcome == "miss"
        headers.append((b"x-cache", b"MISS" if missed else b"BYPASS"))
    return Answer(status=head.status, headers=headers, body=None)


def on_error(engine: Engine, forward: Forward, now: float) -> Serve | None:
    """Return what to serve instead of the application's exception; None: raise it."""
    fetch = forward.fetch
    if fetch is None:
        return None
    entry = _fallback_entry(engine, fetch, now)
    if entry is None:
        fail(engine, fetch, "exception")
        return None
    return _serve_fallback(fetch, entry, now)


def _fallback_entry(engine: Engine, fetch: Fetch, now: float) -> Entry | None:
    """Return the stale entry that may be served because the application failed.

    It is judged again: during the call a purge may have come, or the log may have been lost, so that
    no purge could come (I5).
    """
    entry = fetch.fallback
    if entry is None or not usable_on_error(entry, now):
        return None
    if not engine.trusts(fetch.cacheable.route, entry.born, now):
        return None
    return entry if still_counts(engine, entry) else None


def _replace_unvalidated(
    engine: Engine, forward: Forward, fetch: Fetch, head: Head, now: float
) -> Relayed | Serve | AskAgain:
    """Ask for the whole after a 304 that is not about the stored entry (RFC 9111 §4.3.4).

    The client had no condition of its own, or another one, so the 304 itself means nothing to it. If
    the application cannot be asked again (the body of a QUERY is gone), the stale entry goes out once,
    unless it was purged during the call (I5): then nothing is left but the 304.
    """
    entry = fetch.fallback
    assert entry is not None
    if fetch.may_ask_again:
        again = Forward(route=forward.route, outcome=forward.outcome, reason=forward.reason)
        return AskAgain(again)
    route = fetch.cacheable.route
    if not engine.trusts(route, entry.born, now) or not still_counts(engine, entry):
        return Relayed(answer=_answer(engine, forward, head, will_store=False))
    return Serve(cacheable=fetch.cacheable, entry=entry, outcome=Outcome.STALE_IF_ERROR, now=now)


def _serve_fallback(fetch: Fetch, entry: Entry, now: float) -> Serve:
    """Serve a stale entry, also to the followers: they need not call a failing application again."""
    if fetch.flight is not None:
        fetch.flight.complete(entry, origin_failed=True)
    return Serve(cacheable=fetch.cacheable, entry=entry, outcome=Outcome.STALE_IF_ERROR, now=now)
