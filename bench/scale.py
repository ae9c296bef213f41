"""A memory hit with many routes and many entries, beside few.

The figures are ratios: the time of a hit with 1,000 routes to that with 10, and with a million
entries to that with a thousand.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from bench import asgi_calls
from bench.constants import URLS, config, routes
from bench.effort import Effort
from bench.hits import warm
from bench.rows import Row, at_most, note
from bench.timing import SLICES, Subject, interleave, ratio, spread
from cachemw import Cache
from cachemw.asgi import CacheMiddleware

__all__ = ["filled", "scale"]

WANTED = 1.2
FEW, MANY = 10, 1000
SMALL = 1000


def scale(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    with closing(asyncio.new_event_loop()) as loop:
        yield from _routes(effort, loop)
        yield from _entries(effort, loop)


def _cached_app(**settings: Any) -> CacheMiddleware:
    return CacheMiddleware(asgi_calls.bare, Cache.from_dict(config(**settings)))


def _routes(effort: Effort, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    subjects = []
    for count in (FEW, MANY):
        app = _cached_app(routes=routes(count))
        warm(app, loop)
        subjects.append(asgi_calls.subject(str(count), app, loop))
    times = interleave(subjects, effort.rounds, slices=SLICES)
    yield at_most(
        f"memory hit with {MANY:,} routes, against {FEW}",
        ratio(times[str(MANY)], times[str(FEW)]),
        WANTED,
        unit=" x",
        beside=f"{spread(times[str(MANY)]).median * 1e6:.2f} µs",
    )


def filled(count: int, loop: asyncio.AbstractEventLoop) -> tuple[CacheMiddleware, list[str]]:
    """Return an application whose cache has this many entries, and their URLs."""
    app = _cached_app(memory={"max_size": "16GiB"})
    others = [f"/orders/{1000 + number}" for number in range(count - len(URLS))]
    asgi_calls.subject("", app, loop, calls=len(others), urls=others).round()
    warm(app, loop)
    if len(app.cache.memory) != count:
        raise RuntimeError(f"only {len(app.cache.memory)} of {count} entries were stored")
    return app, [*URLS, *others]


def _entries(effort: Effort, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    many = effort.entries
    small, few_urls = filled(SMALL, loop)
    large, many_urls = filled(many, loop)
    chance = random.Random(1)
    # Measured apart: requests for all entries would evict the popular ones from the processor's caches.
    hot = [asgi_calls.subject("small", small, loop), asgi_calls.subject("large", large, loop)]
    anything = [
        Subject("small, any", lambda: _random_urls_round(small, few_urls, chance, loop)),
        Subject("large, any", lambda: _random_urls_round(large, many_urls, chance, loop)),
    ]
    times = interleave(hot, effort.rounds, slices=SLICES)
    times |= interleave(anything, effort.rounds, slices=SLICES)
    micro = {name: f"{spread(each).median * 1e6:.2f} µs" for name, each in times.items()}
    yield at_most(
        f"memory hit with {many:,} entries, against {SMALL:,}; the same {len(URLS)} requested",
        ratio(times["large"], times["small"]),
        WANTED,
        unit=" x",
        beside=micro["large"],
    )
    yield note(
        f"the same, requested uniformly at random over all {many:,} and all {SMALL:,}",
        ratio(times["large, any"], times["small, any"]),
        unit=" x",
        beside=f"{micro['large, any']}, {micro['small, any']}",
    )


def _random_urls_round(
    app: Any, urls: list[str], chance: random.Random, loop: asyncio.AbstractEventLoop
) -> float:
    some = chance.choices(urls, k=asgi_calls.CALLS)
    return asgi_calls.subject("", app, loop, calls=asgi_calls.CALLS, urls=some).round()
