"""Learning from the responses that are stored, which decides how long each one lives.

Only for routes whose `ttl` has bounds, and for responses that state no lifetime themselves. Two responses
are the same if what counts of them is: the status, the body without the declared volatile parts, and the
headers that say what the body is. See `learning.lifetimes` for what is learned from that.
"""

from __future__ import annotations

from hashlib import blake2b

from cachemw.engine.core.engine import Engine
from cachemw.engine.keeping.collector import Collector
from cachemw.engine.model.differences import significant_part
from cachemw.engine.model.entry import Key, Learned, Made
from cachemw.engine.model.routes import RouteState
from cachemw.http.messages import Head

__all__ = ["set_lifetime"]

_COUNT = frozenset(
    {b"content-type", b"content-encoding", b"content-language", b"link", b"location"}
)
"""Headers that say what a body is, or where it is."""
_SIZE = 8
"""Bytes of a digest. It is compared with one other, so two contents that differ are taken for the same
once in 10**19 times."""


def set_lifetime(
    engine: Engine,
    collector: Collector,
    key: Key,
    body: bytes,
    tags: tuple[str, ...],
    *,
    learns: bool,
) -> None:
    """Set the lifetime of a response to the one that is learned for its key.

    `learns` says that the response is really stored; then it is learned from, too.
    """
    fetch = collector.fetch
    bounds = fetch.cacheable.route.learning
    assert bounds is not None
    if learns and fetch.cacheable.request.method != "HEAD":  # a HEAD does not show the body
        before = None if fetch.fallback is None else fetch.fallback.learned
        known = engine.lifetimes.known(key.digest, before)
        made = _made(engine, collector, key, body, tags, known)
        collector.learned = engine.lifetimes.learn(made, bounds, known)
        seconds = collector.learned.lifetime
    else:
        collector.learned = None if fetch.fallback is None else fetch.fallback.learned
        seconds = engine.lifetimes.lifetime(key.digest, bounds)
    collector.lifetime = collector.lifetime.lasting(seconds)


def _made(
    engine: Engine,
    collector: Collector,
    key: Key,
    body: bytes,
    tags: tuple[str, ...],
    known: Learned | None,
) -> Made:
    fetch, floors = collector.fetch, engine.floors
    return Made(
        key=key.digest,
        content=_digest(fetch.cacheable.route, collector.head, body),
        at=fetch.started,
        born=collector.born,
        position=fetch.recording.oldest(fetch.position),
        purged=known is not None and floors.overtakes(known.position, tags),
        named=known is not None and floors.names(known.position, tags),
    )


def _digest(route: RouteState, head: Head, body: bytes) -> bytes:
    pairs = tuple(pair for pair in head.headers.pairs if pair[0] in _COUNT)
    hasher = blake2b(significant_part(pairs, body, route.volatile), digest_size=_SIZE)
    hasher.update(repr((head.status, pairs)).encode())
    return hasher.digest()
