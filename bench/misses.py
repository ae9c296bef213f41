"""A miss, beside the bare application: its cost, and the delay of a stream's first byte.

The cost is what the cache adds up to the last byte, in bare calls. The delay of the first byte is a
share of the time until the second piece of the stream: a cache that waited for the whole body would
be at 100 %.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from statistics import median
from time import perf_counter, sleep
from typing import Any

from bench import asgi_calls, wsgi_calls
from bench.constants import config
from bench.effort import Effort
from bench.rows import Row, at_most
from bench.timing import SLICES, Spread, Subject, interleave, spread
from cachemw import Cache, asgi, wsgi

__all__ = ["misses"]

WANTED = 60.0
"""Bare calls."""
_CALLS = 20
_PAUSE = 0.005
"""Seconds between the first and the second piece of a stream."""
_SHARE = 10.0
"""Limit of the delay, in per cent of that pause."""
_numbers = itertools.count(1_000)


def _new_urls(count: int) -> list[str]:
    return [f"/products/{next(_numbers)}" for _ in range(count)]


def _added(above: list[float], below: list[float]) -> Spread:
    """Return what a call costs more than the bare one, in bare calls."""
    return spread([(a - b) / b for a, b in zip(above, below, strict=True)])


def misses(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    with closing(asyncio.new_event_loop()) as loop:
        yield from _to_the_last_byte(effort, loop)
        yield from _to_the_first_byte(effort, loop)


def _to_the_last_byte(effort: Effort, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    served = asgi.CacheMiddleware(asgi_calls.bare, Cache.from_dict(config()))
    threaded = wsgi.CacheMiddleware(wsgi_calls.bare, Cache.from_dict(config()))
    times = interleave(
        [
            asgi_calls.subject("bare", asgi_calls.bare, loop),
            Subject("miss", lambda: _asgi_round(served, loop)),
            wsgi_calls.subject("bare WSGI", wsgi_calls.bare),
            Subject("miss WSGI", lambda: _wsgi_round(threaded)),
        ],
        effort.rounds,
        slices=SLICES,
    )
    for kind in ("", " WSGI"):
        miss, bare = times[f"miss{kind}"], times[f"bare{kind}"]
        yield at_most(
            f"miss{kind or ' ASGI'}, memory only: time added by cachemw, to the last byte",
            _added(miss, bare),
            WANTED,
            unit=f" bare{kind} calls",
            digits=1,
            beside=f"{spread(miss).median * 1e6:.0f} µs, bare {spread(bare).median * 1e6:.2f} µs",
        )


def _asgi_round(app: Any, loop: asyncio.AbstractEventLoop) -> float:
    return asgi_calls.subject("", app, loop, calls=_CALLS, urls=_new_urls(_CALLS)).round()


def _wsgi_round(app: Any) -> float:
    return wsgi_calls.subject("", app, calls=_CALLS, urls=_new_urls(_CALLS)).round()


# -- streams -----------------------------------------------------------------------------------


def _stream(headers: list[tuple[bytes, bytes]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 500, "more_body": True})
        await asyncio.sleep(_PAUSE)
        await send({"type": "http.response.body", "body": b"x" * 500})

    return app


async def _first_byte(app: Any, calls: int) -> float:
    """Return the median time from the call to the first message with a body."""
    seconds = []
    for url in _new_urls(calls):
        scope = asgi_calls.scope_of(url)
        times: list[float] = []

        async def send(message: Any, times: list[float] = times) -> None:
            if message["type"] == "http.response.body":
                times.append(perf_counter())

        began = perf_counter()
        await app(scope, asgi_calls.receive, send)
        seconds.append(times[0] - began)
    return median(seconds)


def _wsgi_stream(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    yield b"x" * 500
    sleep(_PAUSE)
    yield b"x" * 500


def _first_piece(app: Any, calls: int) -> float:
    """Return the median time from the call to the first piece of the body."""
    seconds = []
    for url in _new_urls(calls):
        environ = wsgi_calls.environ_of(url)
        began = perf_counter()
        body = app(environ, lambda status, headers, exc_info=None: None)
        pieces = iter(body)
        next(pieces)
        seconds.append(perf_counter() - began)
        for _ in pieces:
            pass
        getattr(body, "close", lambda: None)()
    return median(seconds)


def _to_the_first_byte(effort: Effort, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    kinds = {
        "ASGI stream": [(b"content-type", b"text/plain")],
        "ASGI stream with a Content-Length": [(b"content-length", b"1000")],
    }
    subjects = []
    for kind, headers in kinds.items():
        app = _stream(headers)
        behind = asgi.CacheMiddleware(app, Cache.from_dict(config()))
        subjects += [_timed(f"{kind}: bare", app, loop), _timed(kind, behind, loop)]
    threaded = wsgi.CacheMiddleware(_wsgi_stream, Cache.from_dict(config()))
    subjects += [
        Subject("WSGI stream: bare", lambda: _first_piece(_wsgi_stream, 10)),
        Subject("WSGI stream", lambda: _first_piece(threaded, 10)),
    ]
    times = interleave(subjects, max(effort.rounds // 2, 5))
    for kind in (*kinds, "WSGI stream"):
        later = [a - b for a, b in zip(times[kind], times[f"{kind}: bare"], strict=True)]
        yield at_most(
            f"miss, {kind}: delay of its first byte",
            spread([delay / _PAUSE for delay in later]),
            _SHARE,
            unit=" % of the wait for the second piece",
            scale=100,
            digits=1,
            beside=f"{spread(later).median * 1e6:.0f} µs of {_PAUSE * 1e3:.0f} ms",
        )


def _timed(name: str, app: Any, loop: asyncio.AbstractEventLoop) -> Subject:
    return Subject(name, lambda: loop.run_until_complete(_first_byte(app, 10)))
