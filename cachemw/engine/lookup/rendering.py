"""Rendering: a stored response as it is sent: whole, as a 304, in parts, or only its head.

Age (RFC 9111 §5.1) and Cache-Status (RFC 9211) are added here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cachemw.engine.core.engine import Engine
from cachemw.engine.core.ports import EngineSettings
from cachemw.engine.lookup.filling import fill, is_current
from cachemw.engine.model.entry import Entry, EntryWithHoles
from cachemw.engine.model.outcomes import Outcome
from cachemw.engine.request.decisions import Serve
from cachemw.http.cache_status import CACHE_NAME, forwarded, hit
from cachemw.http.conditional import NOT_MODIFIED_DROPS, is_conditional, not_modified
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Answer, Request
from cachemw.http.ranges import may_cut, partial, select

__all__ = ["CONDITIONAL_METHODS", "Pairs", "as_not_modified", "hit_fields", "render"]

Pairs = list[Pair]

CONDITIONAL_METHODS = frozenset({"GET", "HEAD", "QUERY"})
"""Methods that a stored response may answer with a 304; for others RFC 9110 §13.1.2 asks for a 412."""


def render(engine: Engine, served: Serve) -> Answer:
    """Return a stored response as the answer to one request (RFC 9110 §13.2.2, §14.2)."""
    entry, request = served.entry, served.cacheable.request
    if served.outcome is Outcome.UNSATISFIED:  # RFC 9111 §5.2.1.7
        return Answer(status=504, headers=list(_GATEWAY_TIMEOUT), body=b"")
    headers = _headers(engine.settings, served)
    if type(entry) is EntryWithHoles:
        return _filled(engine, entry, headers, request)
    if entry.status == 200 and request.method in CONDITIONAL_METHODS:
        if is_conditional(request.headers) and not_modified(request.headers, Fields(entry.headers)):
            return as_not_modified(headers)
        if served.cacheable.ranged and request.method == "GET":
            fields = Fields(headers)
            cuttable = may_cut(request.headers, fields, entry.body)
            spans = select(request.headers, fields, len(entry.body)) if cuttable else None
            if spans is not None:
                part = partial(fields, entry.body, spans)
                return Answer(status=part.status, headers=list(part.fields.pairs), body=part.body)
    body = b"" if request.method == "HEAD" else entry.body
    return Answer(status=entry.status, headers=headers, body=body)


def _filled(engine: Engine, entry: EntryWithHoles, headers: Pairs, request: Request) -> Answer:
    """Return a response with the client's own pieces in it: whole, as a 304, or only its head.

    It is never cut into parts: the bytes differ from answer to answer.
    """
    filled = fill(engine, headers, entry.body, entry.holes, request)
    if (
        entry.status == 200
        and request.method in CONDITIONAL_METHODS
        and is_current(request, filled)
    ):
        return as_not_modified(filled.headers)
    body = b"" if request.method == "HEAD" else filled.body
    return Answer(status=entry.status, headers=filled.headers, body=body)


def as_not_modified(headers: Pairs) -> Answer:
    """Return the 304 that tells the client to use what it has."""
    kept = [pair for pair in headers if pair[0] not in NOT_MODIFIED_DROPS]
    return Answer(status=304, headers=kept, body=b"")


_GATEWAY_TIMEOUT = (
    (b"content-type", b"text/plain"),  # WSGI servers want one for an empty body too
    (b"content-length", b"0"),
    (b"cache-status", f"{CACHE_NAME}; detail=only-if-cached".encode("ascii")),
)

_DETAIL = {
    Outcome.HIT_MEMORY: "memory",
    Outcome.HIT_SHARED: "shared",
    Outcome.STALE_MEMORY: "stale",
    Outcome.STALE_SHARED: "stale",
    Outcome.STALE_IF_ERROR: "stale-if-error",
}


def _headers(settings: EngineSettings, served: Serve) -> Pairs:
    entry, now = served.entry, served.now
    if served.outcome in _DETAIL:
        return hit_fields(settings, _DETAIL[served.outcome])(entry, now)
    ttl = int(entry.fresh_until - now)
    key = entry.key.hex() if settings.show_keys else None
    if served.outcome is Outcome.HIT_COALESCED:
        status = forwarded("uri-miss", collapsed=True, ttl=ttl, key=key)
    else:
        was_stored = served.pending_save is not None
        reason = "stale" if served.cacheable.directives is None else "request"
        status = forwarded(reason, fwd_status=304, stored=was_stored, ttl=ttl, key=key)
    headers = [*entry.headers, _age_of(entry, now), (b"cache-status", status)]
    if settings.x_cache:
        headers.append((b"x-cache", b"HIT" if served.outcome is Outcome.HIT_COALESCED else b"MISS"))
    return headers


@lru_cache(maxsize=64)
def hit_fields(settings: EngineSettings, detail: str) -> Callable[[Entry, float], Pairs]:
    """Return a function that adds the current Age and our Cache-Status to the headers of an entry.

    It is made once for each front door, because it is on the hot path.
    """

    def plain(entry: Entry, now: float) -> Pairs:
        age = int(now - entry.born)
        ttl = int(entry.fresh_until - now)
        return [
            *entry.headers,
            _ages.get(age) or _age(age),
            _hits.get((ttl, detail)) or _hit(ttl, detail),
        ]

    def full(entry: Entry, now: float) -> Pairs:
        key = entry.key.hex() if settings.show_keys else None
        status = hit(int(entry.fresh_until - now), detail, key=key)
        headers = [*entry.headers, _age_of(entry, now), (b"cache-status", status)]
        if settings.x_cache:
            headers.append((b"x-cache", b"HIT"))
        return headers

    return full if settings.show_keys or settings.x_cache else plain


# The same few ages and remaining lifetimes recur all the time, so their header pairs are made once.
_ages: dict[int, Pair] = {}
_hits: dict[tuple[int, str], Pair] = {}
_RENDERED = 8192
"""Header pairs of each kind that are remembered (I4)."""


def _age_of(entry: Entry, now: float) -> Pair:
    age = int(now - entry.born)
    return _ages.get(age) or _age(age)


def _age(age: int) -> Pair:
    if len(_ages) >= _RENDERED:
        _ages.clear()
    pair = _ages[age] = (b"age", b"%d" % max(0, age))
    return pair


def _hit(ttl: int, detail: str) -> Pair:
    if len(_hits) >= _RENDERED:
        _hits.clear()
    pair = _hits[ttl, detail] = (b"cache-status", hit(ttl, detail))
    return pair
