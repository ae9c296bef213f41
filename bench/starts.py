"""The first requests of a process that has never reached Redis, beside the bare application.

Until a process knows which flags are switched off, it lets nothing in, and its first requests wait a
moment for the answer. Measured: the longest wait of a request, for requests one after the other and for
many at once, and how many of them waited at all. `refuses` is a Redis whose port is closed, `hangs` one
that accepts connections and never answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import perf_counter
from typing import Any

from bench import asgi_calls, wsgi_calls
from bench.constants import URLS, config
from bench.effort import Effort
from bench.rows import Row, at_most
from bench.timing import spread
from cachemw import Cache, asgi, wsgi
from cachemw.testing import ChaosProxy, RedisServer

__all__ = ["starts"]

_DEADLINE = 0.050
"""Seconds: the default of `redis.deadline`."""
_LIMIT = 2 * _DEADLINE
"""Seconds that no request may wait: the deadline, and as much again for a busy machine."""
_AFTER_ANOTHER = 40
_AT_ONCE = 20
_NOTICED = 0.005
"""Seconds from which on a request counts as one that waited."""
_FAULTS: dict[str, Callable[[ChaosProxy], None]] = {
    "refuses": ChaosProxy.refuse,
    "hangs": ChaosProxy.swallow,
}


def starts(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    logging.getLogger("cachemw.faults").disabled = True  # each start would say that Redis is away
    with RedisServer() as server:
        for fault, begin in _FAULTS.items():
            with ChaosProxy(server.url) as proxy:
                begin(proxy)
                for how, ask in (("one after the other", _in_turn), ("at once", _at_once)):
                    starts = [ask(proxy.url) for _ in range(effort.server_rounds)]
                    yield _row(fault, how, starts)


def _row(fault: str, how: str, starts: list[list[float]]) -> Row:
    waited = max(sum(took > _NOTICED for took in start) for start in starts)
    return at_most(
        f"start while Redis {fault}, {len(starts[0])} requests {how}: longest wait of one",
        spread([max(start) for start in starts]),
        _LIMIT * 1e3,
        unit=" ms",
        scale=1e3,
        digits=1,
        beside=f"at most {waited} of them waited",
        waited=waited,
    )


def _cache(url: str) -> Cache:
    return Cache.from_dict(config(redis={"url": url, "deadline": _DEADLINE}, flags_mirror=False))


def _in_turn(url: str) -> list[float]:
    """Return the seconds of requests to a new process under WSGI, each after the one before."""
    with closing(_cache(url)) as cache:
        app = wsgi.CacheMiddleware(wsgi_calls.bare, cache)
        return [_timed(app, target) for target in URLS[:_AFTER_ANOTHER]]


def _at_once(url: str) -> list[float]:
    """Return the seconds of requests that come at once: in threads first, then in an event loop."""
    with closing(_cache(url)) as cache, ThreadPoolExecutor(_AT_ONCE) as threads:
        app = wsgi.CacheMiddleware(wsgi_calls.bare, cache)
        return [*threads.map(lambda target: _timed(app, target), URLS[:_AT_ONCE]), *_in_loop(url)]


def _timed(app: Any, target: str) -> float:
    began = perf_counter()
    wsgi_calls.ask(app, target)
    return perf_counter() - began


def _in_loop(url: str) -> list[float]:
    cache = _cache(url)
    app = asgi.CacheMiddleware(asgi_calls.bare, cache)

    async def timed(target: str) -> float:
        began = perf_counter()
        await asgi_calls.ask(app, target)
        return perf_counter() - began

    async def every() -> list[float]:
        took = await asyncio.gather(*(timed(target) for target in URLS[:_AT_ONCE]))
        await cache.aclose()
        return took

    return asyncio.run(every())
