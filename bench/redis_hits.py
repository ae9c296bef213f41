"""A hit in Redis, beside a bare GET of the same value.

Measured: the number of commands for a hit (each is one round trip), and the time that cachemw adds
to a bare GET, in microseconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from statistics import median
from time import perf_counter
from typing import Any

from bench import asgi_calls, wsgi_calls
from bench.constants import HEADERS, config
from bench.effort import Effort
from bench.rows import Row, at_most
from bench.timing import Spread, spread
from cachemw import Cache, asgi, wsgi
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.testing import RedisServer
from cachemw.testing.redis_protocol import connect_tcp

__all__ = ["redis_hits"]

Pair = tuple[float, float]
"""The median seconds of a GET and of a hit in one round."""

WANTED_MICROSECONDS = 100.0
_COUNT = 100
_URLS = [f"/orders/{number}" for number in range(_COUNT)]
_SIZE = 10_000
_COMMAND = re.compile(r"^\+[0-9.]+ \[\d+ (\S+)\] \"(\w+)\"")
_LAST = "bench-has-asked"
_DEADLINE = "2s"
"""Longer than the default, so that a busy machine does not turn a hit into a miss."""
_WARMUPS = 2
_PATIENCE = 10.0
"""Seconds to wait for something that should take milliseconds."""


def _bodies() -> dict[str, bytes]:
    """Return ten kilobytes of JSON for each URL, as compressible as the records of a shop."""
    chance = random.Random(2)
    words = [
        "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9)))
        for _ in range(400)
    ]
    bodies = {}
    for url in _URLS:
        records: list[dict[str, Any]] = []
        while len(json.dumps(records)) < _SIZE:
            records.append(
                {
                    "id": chance.randrange(10**6),
                    "name": " ".join(chance.choices(words, k=3)),
                    "price": round(chance.uniform(1, 900), 2),
                    "in_stock": chance.random() < 0.9,
                    "text": " ".join(chance.choices(words, k=12)),
                }
            )
        bodies[url] = json.dumps(records).encode()
    return bodies


class _Origin:
    """An application with responses of ten kilobytes that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._bodies = _bodies()
        self._headers = [pair for pair in HEADERS if pair[0] != b"content-length"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        body = self._bodies[scope["path"]]
        headers = [*self._headers, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _until(done: Callable[[], bool], loop: asyncio.AbstractEventLoop) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError("Redis or the invalidation log did not start")
        loop.run_until_complete(asyncio.sleep(0.005))


def _names(server: RedisServer) -> list[bytes]:
    found = server.command("KEYS", "cachemw:{bench:*}:e[0-9]*")
    assert isinstance(found, list)
    return [name for name in found if isinstance(name, bytes)]


def redis_hits(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    origin = _Origin()
    with RedisServer() as server, closing(asyncio.new_event_loop()) as loop:
        settings = config(redis={"url": server.url, "deadline": _DEADLINE})
        caches = [Cache.from_dict(settings), Cache.from_dict(settings)]
        served = asgi.CacheMiddleware(origin.asgi, caches[0])
        threaded = wsgi.CacheMiddleware(wsgi_calls.bare, caches[1])
        for cache in caches:
            cache.start()
        _until(lambda: all(cache.log.live for cache in caches), loop)
        for url in _URLS:
            loop.run_until_complete(asgi_calls.ask(served, url))
        _until(lambda: len(_names(server)) == _COUNT, loop)
        ask = {
            "async": (caches[0], lambda url: loop.run_until_complete(asgi_calls.ask(served, url))),
            "sync": (caches[1], lambda url: wsgi_calls.ask(threaded, url)),
        }
        for kind, (cache, call) in ask.items():
            yield _round_trips(server, kind, cache, call)
        yield from _cost(effort, loop, server, caches, served, threaded)
        if origin.calls != _COUNT:
            raise RuntimeError(f"{origin.calls - _COUNT} hits reached the application")
        loop.run_until_complete(caches[0].aclose())
        caches[1].close()


# -- commands ------------------------------------------------------------------------------------


def _round_trips(server: RedisServer, kind: str, cache: Cache, call: Callable[[str], Any]) -> Row:
    """Count the commands for hits, as the server itself reports them with MONITOR."""
    call(_URLS[0])  # opens the connection
    with _monitored(server) as lines:
        for url in _URLS:
            cache.memory.clear()
            call(url)
    sent = [match.groups() for line in lines if (match := _COMMAND.match(line))]
    ours = {client for client, command in sent if command.upper() in ("GET", "GETRANGE")}
    commands = Counter(command.upper() for client, command in sent if client in ours)
    trips = sum(commands.values()) / _COUNT
    return at_most(
        f"Redis hit, {kind}: commands sent, one round trip each",
        Spread(trips, trips, trips),
        1,
        unit="",
        beside=", ".join(f"{count} {name}" for name, count in sorted(commands.items()))
        + f" for {_COUNT} hits",
    )


@contextmanager
def _monitored(server: RedisServer) -> Iterator[list[str]]:
    """Collect the lines of MONITOR while the block runs."""
    lines: list[str] = []
    with connect_tcp("127.0.0.1", server.port, _PATIENCE) as connection:
        connection.sendall(b"*1\r\n$7\r\nMONITOR\r\n")
        reader = connection.makefile("r", encoding="latin-1", newline="\r\n")
        assert reader.readline().startswith("+OK")
        thread = threading.Thread(target=_collect, args=(reader, lines))
        thread.start()
        try:
            yield lines
        finally:
            server.command("ECHO", _LAST)
            thread.join(_PATIENCE)
            connection.shutdown(socket.SHUT_RDWR)


def _collect(reader: Any, lines: list[str]) -> None:
    for line in reader:
        if _LAST in line:
            return
        lines.append(line)


# -- time ----------------------------------------------------------------------------------------


def _cost(
    effort: Effort,
    loop: asyncio.AbstractEventLoop,
    server: RedisServer,
    caches: Sequence[Cache],
    served: Any,
    threaded: Any,
) -> Iterator[Row]:
    names = _names(server)
    assert caches[0].config.redis is not None
    nodes = Nodes(caches[0].config.redis)
    node = nodes.of(b"any")
    rounds: dict[str, Callable[[], Pair]] = {
        "sync": lambda: _threads_round(caches[1], threaded, node, names),
        "async": lambda: loop.run_until_complete(_loop_round(caches[0], served, node, names)),
    }
    measured: dict[str, list[Pair]] = {kind: [] for kind in rounds}
    for number in range(_WARMUPS + effort.rounds):
        for kind, once in rounds.items():
            pair = once()
            if number >= _WARMUPS:
                measured[kind].append(pair)
    loop.run_until_complete(nodes.aclose())
    nodes.close()
    for kind, pairs in measured.items():
        get, hit = (spread(times).median * 1e6 for times in zip(*pairs, strict=True))
        yield at_most(
            f"Redis hit, {kind}, 10 KB of JSON: time added to a bare GET of the same value",
            spread([hit - get for get, hit in pairs]),
            WANTED_MICROSECONDS,
            unit=" µs",
            scale=1e6,
            digits=0,
            beside=f"hit {hit:.0f} µs, GET {get:.0f} µs",
        )


# A GET and a hit take turns, so that both find the server and the processor's caches in the same state.
# In a loop of GETs alone, each GET would find the server still awake, and would be faster.


def _threads_round(cache: Cache, app: Any, node: Node, names: Sequence[bytes]) -> Pair:
    cache.memory.clear()
    client = node.sync()
    gets, hits = [], []
    for name, url in zip(names, _URLS, strict=True):
        environ = wsgi_calls.environ_of(url)
        began = perf_counter()
        client.execute_command("GET", name)
        between = perf_counter()
        wsgi_calls.call(app, environ)
        hits.append(perf_counter() - between)
        gets.append(between - began)
    return median(gets), median(hits)


async def _loop_round(cache: Cache, app: Any, node: Node, names: Sequence[bytes]) -> Pair:
    cache.memory.clear()
    client = node.aio()
    gets, hits = [], []
    for name, url in zip(names, _URLS, strict=True):
        scope = asgi_calls.scope_of(url)
        began = perf_counter()
        await client.execute_command("GET", name)
        between = perf_counter()
        await asgi_calls.call(app, scope)
        hits.append(perf_counter() - between)
        gets.append(between - began)
    return median(gets), median(hits)
