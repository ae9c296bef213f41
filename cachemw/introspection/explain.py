"""Explanation of what the cache would do with a request, and why, without calling the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from cachemw.engine.core.drivers import run
from cachemw.engine.core.effects import Acquire, Await, Claim, Effect
from cachemw.engine.core.flights import Waiter
from cachemw.engine.flows.on_request import on_request
from cachemw.engine.model.entry import Entry
from cachemw.engine.model.reasons import FORWARDED
from cachemw.engine.privacy.identity_headers import VARIABLES
from cachemw.engine.request.decisions import Forward, Serve
from cachemw.engine.request.keying import CacheableRequest
from cachemw.http.fields import Fields
from cachemw.http.messages import Content, Request
from cachemw.process.printable import printable
from cachemw.wiring.core import Core

__all__ = ["Explanation", "StoredResponse", "explain"]

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_SERVED = {
    "hit": "the stored response is fresh",
    "stale": "the stored response is stale and may be served while it is refreshed",
    "miss": "the client wants a stored response or none (only-if-cached), and there is none",
}


class StoredResponse(Struct, frozen=True, kw_only=True):
    """The stored response for a request. Times are in seconds."""

    status: int
    size: int
    age: float
    ttl: float
    """The rest of its freshness lifetime; negative: for how long it has been stale."""
    vary: tuple[str, ...]
    """Selecting headers (Vary) that are not part of the key."""


class Explanation(Struct, frozen=True, kw_only=True):
    """The cache's decision about one request, with its reasons."""

    method: str
    url: str
    route: str | None
    outcome: str
    """`hit`, `stale`, `miss`, `pass` or `off`."""
    reason: str
    """The reason as in Cache-Status and in the logs; `fresh` or `stale` for a stored response."""
    sentence: str
    key: str | None = None
    """The digest, in hexadecimal, that the response is stored under."""
    query: str | None = None
    """The query as the key has it and the application would see it."""
    removed: tuple[str, ...] = ()
    """Headers that would be removed before the application sees the request."""
    tags: tuple[str, ...] = ()
    stored: StoredResponse | None = None
    cookies_read: tuple[str, ...] = ()
    """Cookies that no list names and that the application was seen to read; `*`: all. With one, bypass."""

    def __str__(self) -> str:
        """Return a text for people, with one fact a line."""
        lines = [
            f"{self.method} {self.url}",
            f"  {self.outcome}: {self.reason} ({self.sentence})",
            f"  route    {self.route or '-'}",
        ]
        if self.cookies_read:
            lines.append(f"  reads    {', '.join(self.cookies_read)}")
        if self.key is not None:
            lines += [
                f"  key      {self.key}",
                f"  query    {self.query or '-'}",
                f"  removed  {', '.join(self.removed) or '-'}",
                f"  tags     {' '.join(self.tags)}",
            ]
        if self.stored is not None:
            of = self.stored
            vary = f", varies on {', '.join(of.vary)}" if of.vary else ""
            lines.append(
                f"  stored   {of.status}, {of.size} bytes, age {of.age:.0f} s, ttl {of.ttl:.0f} s{vary}"
            )
        return "\n".join(map(printable, lines))


def explain(
    core: Core,
    method: str,
    url: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    mount: str,
) -> Explanation:
    """Run the real flow for a made-up request, without calling the application."""
    request = _request(method, url, headers, body, mount.rstrip("/"))
    found = _explain(core, method, url, body, request)
    if not request.mount or found.stored is not None:
        return found
    # Something in front of the server may take the mount off.
    below = replace(request, raw_path=request.raw_path[len(_quoted(request.mount)) :])
    other = _explain(core, method, url, body, below)
    return found if other.stored is None else other


def _explain(core: Core, method: str, url: str, body: bytes, request: Request) -> Explanation:
    """Return what the flow decides.

    A call or a refresh that it asks for is abandoned at once, so that no other request waits for it.
    """
    engine, now = core.engine, core.clock.monotonic()
    if method in engine.bodied:
        request = replace(request, content=Content(body))
    watched = engine.watched.names
    extra = [pair for pair in request.headers if pair[0] in watched]
    extra += request.outer
    target = (
        "explain",
        request.scheme,
        request.headers.first(b"host"),
        request.mount,
        request.raw_path,
        request.query,
    )
    decision = run(
        on_request(engine, request, target, extra or None, now),
        _without_waiting(core.effects.perform, now),
    )
    if isinstance(decision, Serve):
        if decision.refresh is not None:
            decision.refresh.abandon()
        return _served(method, url, decision)
    if decision.fetch is not None:
        decision.fetch.abandon()
    return _forwarded(method, url, decision, now)


def _without_waiting(perform: Callable[[Effect], Any], now: float) -> Callable[[Effect], Any]:
    """Perform effects, but wait for no other request and take no lease.

    Other requests would wait for the holder of a lease to call the application, which never happens
    here (I3).
    """

    def performed(effect: Effect) -> Any:
        if isinstance(effect, Acquire):
            return Claim.UNAVAILABLE, now
        if not isinstance(effect, Await):
            return perform(effect)
        waiter = Waiter(lambda: True)
        effect.flight.join(waiter)
        return effect.flight.leave(waiter), now

    return performed


def _request(
    method: str,
    url: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    mount: str,
) -> Request:
    parts = urlsplit(url)
    if parts.scheme not in ("", "http", "https") or not parts.path.startswith("/"):
        raise ValueError(f"{url!r}: give a path (/products/1) or http(s)://host/path")
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    outer = [
        (VARIABLES[name], value.encode()) for name, value in pairs if value and name in VARIABLES
    ]
    fields = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in pairs
        if name not in VARIABLES
    ]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", (parts.netloc or "localhost").encode("idna")))
    if body and not any(name in _FRAMING for name, _ in fields):
        fields.append((b"content-length", b"%d" % len(body)))
    raw = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    return Request(
        method=method,
        scheme=parts.scheme or "http",
        mount=mount,
        path=unquote(raw, errors="surrogateescape"),
        raw_path=f"{_quoted(mount)}{raw}".encode("ascii"),
        query=quote(parts.query, safe="/%:@!$&'()*+,;=~-._?").encode("ascii"),
        headers=Fields(fields),
        outer=tuple(outer),
    )


def _quoted(mount: str) -> str:
    return quote(mount, safe="/:@!$&'()*+,;=~", errors="surrogateescape")


def _served(method: str, url: str, served: Serve) -> Explanation:
    outcome = served.outcome.outcome
    entry = None if outcome == "miss" else _stored(served.entry, served.now)
    return Explanation(
        method=method,
        url=url,
        outcome=outcome,
        reason={"hit": "fresh", "stale": "stale"}.get(outcome, "only-if-cached"),
        sentence=_SERVED[outcome],
        stored=entry,
        **_request_facts(served.cacheable),
    )


def _forwarded(method: str, url: str, forward: Forward, now: float) -> Explanation:
    fetch = forward.fetch
    route = forward.route.name if forward.route else None
    facts: dict[str, Any] = {"route": route} if fetch is None else _request_facts(fetch.cacheable)
    if fetch is None and forward.route is not None:
        facts["cookies_read"] = forward.route.cookies.reads.spelt()
    stored = fetch.fallback if fetch is not None else None
    return Explanation(
        method=method,
        url=url,
        outcome=forward.outcome.outcome,
        reason=forward.reason,
        sentence=FORWARDED[forward.reason].sentence,
        stored=None if stored is None else _stored(stored, now),
        **facts,
    )


def _request_facts(cacheable: CacheableRequest) -> dict[str, Any]:
    seen = cacheable.headers.names
    return {
        "route": cacheable.route.name,
        "key": cacheable.key.digest.hex(),
        "query": cacheable.query.decode("latin-1"),
        "removed": tuple(
            n.decode("latin-1") for n in cacheable.request.headers.names if n not in seen
        ),
        "tags": cacheable.plan.tags,
        "cookies_read": cacheable.route.cookies.reads.spelt(),
    }


def _stored(entry: Entry, now: float) -> StoredResponse:
    return StoredResponse(
        status=entry.status,
        size=len(entry.body),
        age=now - entry.born,
        ttl=entry.fresh_until - now,
        vary=tuple(name.decode("latin-1") for name, _ in entry.vary),
    )
