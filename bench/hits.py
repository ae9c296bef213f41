"""A memory hit under ASGI, beside the bare application and other caches.

The unit is the bare call: how many calls of the application without a cache one hit costs, in
processor time. Other caches run in processes of their own; each is compared with the bare call of
its own process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from bench import asgi_calls
from bench.constants import URLS, config
from bench.effort import Effort
from bench.exporting import in_server_span
from bench.peers.running import Running, running_peers
from bench.rows import Row, at_least, at_most, note, skipped
from bench.timing import SLICES, interleave, ratio, spread
from cachemw import Cache
from cachemw.asgi import CacheMiddleware

__all__ = ["hits", "warm"]

WANTED = 8.0
"""Bare calls."""
FASTER = 10.0
"""Times faster than the fastest other cache."""
FLAG = 0.5
"""Microseconds."""
_FASTEST = "ASGI memory hit, compared with the fastest other cache"


def warm(app: Any, loop: asyncio.AbstractEventLoop, urls: Sequence[str] = URLS) -> None:
    """Fill the cache; raises RuntimeError if the second request for a URL is no hit."""
    for url in urls:
        loop.run_until_complete(asgi_calls.ask(app, url))
    for url in urls:
        head = loop.run_until_complete(asgi_calls.ask(app, url))[0]
        if b"; hit;" not in dict(head["headers"]).get(b"cache-status", b""):
            raise RuntimeError(f"{url}: the second request was no hit: {head}")


def hits(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    with closing(asyncio.new_event_loop()) as loop, running_peers() as (peers, problems):
        cache = Cache.from_dict(config())
        app = CacheMiddleware(asgi_calls.bare, cache=cache)
        warm(app, loop)
        # With this canary, the flag must decide for each key; nearly all keys are let in.
        flagged = Cache.from_dict(config(flags={"low": "canary 99.99%"}))
        behind_flag = CacheMiddleware(asgi_calls.bare, cache=flagged)
        warm(behind_flag, loop)
        subjects = [
            asgi_calls.subject("bare", asgi_calls.bare, loop),
            asgi_calls.subject("hit", app, loop),
            asgi_calls.subject("behind a flag", behind_flag, loop),
            in_server_span("in a span", asgi_calls.subject("", app, loop)),
        ]
        for peer in peers:
            subjects += peer.subjects()
        times = interleave(subjects, effort.rounds, slices=SLICES)
        cache.close()
        flagged.close()
    yield from _our_rows(times)
    yield from _against(peers, times)
    for problem in problems:
        yield skipped("peer", problem)


def _our_rows(times: dict[str, list[float]]) -> Iterator[Row]:
    hit, bare = spread(times["hit"]), spread(times["bare"])
    yield at_most(
        "ASGI memory hit, in process, 5 routes, counters on and exported",
        ratio(times["hit"], times["bare"]),
        WANTED,
        unit=" bare calls",
        beside=f"{hit.median * 1e6:.2f} µs, bare {bare.median * 1e6:.2f} µs",
        seconds=hit.median,
        bare_seconds=bare.median,
    )
    more = [a - b for a, b in zip(times["behind a flag"], times["hit"], strict=True)]
    yield at_most(
        "time that a canary flag adds to such a hit",
        spread(more),
        FLAG,
        unit=" µs",
        scale=1e6,
    )
    yield note(
        "the same, inside a recording OpenTelemetry server span",
        ratio(times["in a span"], times["bare"]),
        unit=" bare calls",
        beside=f"{spread(times['in a span']).median * 1e6:.2f} µs",
    )


def _against(peers: Sequence[Running], times: dict[str, list[float]]) -> Iterator[Row]:
    """Compare with other caches in bare calls, each process by its own bare call."""
    own = [hit / bare for hit, bare in zip(times["hit"], times["bare"], strict=True)]
    by_peer = {}
    for peer in peers:
        name = peer.peer.name
        hit, bare = times[f"{name}: hit"], times[f"{name}: bare"]
        by_peer[name] = [above / below for above, below in zip(hit, bare, strict=True)]
    if not by_peer:
        yield skipped(_FASTEST, "no peer could be installed")
        return
    fastest = min(by_peer, key=lambda name: spread(by_peer[name]).median)
    yield at_least(
        _FASTEST,
        ratio(by_peer[fastest], own),
        FASTER,
        unit=" x faster",
        digits=1,
        beside=f"fastest: {fastest}",
    )
    for peer in peers:
        name = peer.peer.name
        seconds = spread(times[f"{name}: hit"]).median
        versions = ", ".join(f"{what} {number}" for what, number in peer.versions.items())
        yield note(
            f"memory hit of {name} ({versions})",
            spread(by_peer[name]),
            unit=" bare calls",
            digits=0,
            beside=f"{seconds * 1e6:.0f} µs",
            seconds=seconds,
        )
