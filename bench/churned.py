"""The process that measures a full memory tier: whether `max_size` is what the process really uses.

It fills a memory tier to its limit, replaces all entries several times, and measures its own
resident memory. Run as `python -m bench.churned POPULATION MEBIBYTES TURNS`; it prints one line of
JSON, sizes in bytes. Tables of the cache that have a limit of their own are full before the first
measurement, so they are not counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench import asgi_calls, wsgi_calls
from bench.constants import config
from cachemw import Cache, asgi, wsgi
from cachemw.engine.model.entry import Item, Key
from cachemw.stores.memory.interning import intern_pairs
from cachemw.stores.memory.malloc_trim import trim
from cachemw.stores.memory.tier import MemoryTier
from cachemw.stores.redis.codec import Codec

__all__ = ["POPULATIONS", "main"]

_MIB = 1 << 20
_WARM_UP = 12_000
"""Requests after which the memo of plans and all other tables of the cache are full."""
_PURGED = 500
"""Number of URLs that are purged now and then. It is small, because each purged tag is remembered."""
_MEASURE_EVERY = 200
_PIECE_SIZE = 16 * 1024
"""Bytes of each piece that a streaming application sends."""

Pair = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The kind of responses that fill the tier."""

    about: str
    smallest: int
    largest: int
    headers: int = 0
    """Headers of 40 bytes that no other response has, besides the six of every response."""
    groups: int = 0
    """Cache groups (RFC 9875), each of which is a tag of the entry."""
    variants: int = 1
    """Responses per URL, selected by a request header."""
    streamed: bool = False
    threads: int = 0
    """Threads that send requests in turn, through WSGI. Each has an arena of its own in malloc."""
    shared: bool = False
    """Whether each entry comes from Redis, so that its bytes were made by the codec."""

    def size(self, chance: random.Random) -> int:
        """Return a random body size; each order of magnitude is equally likely."""
        return round(self.smallest * (self.largest / self.smallest) ** chance.random())


POPULATIONS = {
    "small": Population(about="bodies of 0.5 to 2 kB", smallest=500, largest=2_000),
    "middling": Population(about="bodies of 5 to 20 kB", smallest=5_000, largest=20_000),
    "large": Population(about="bodies of 100 to 400 kB", smallest=100_000, largest=400_000),
    "mixed": Population(about="bodies of 0.3 to 300 kB", smallest=300, largest=300_000),
    "streamed": Population(
        about="bodies of 20 to 200 kB in pieces", smallest=20_000, largest=200_000, streamed=True
    ),
    "fields": Population(
        about="bodies of 1 kB, 30 headers of their own", smallest=1_000, largest=1_000, headers=30
    ),
    "tags": Population(about="bodies of 1 kB, 30 tags", smallest=1_000, largest=1_000, groups=30),
    "variants": Population(
        about="bodies of 1 kB, 20 variants of each", smallest=1_000, largest=1_000, variants=20
    ),
    "threads": Population(
        about="bodies of 0.3 to 300 kB, by 8 threads", smallest=300, largest=300_000, threads=8
    ),
    "shared": Population(
        about="bodies of 0.3 to 300 kB out of Redis", smallest=300, largest=300_000, shared=True
    ),
}


class _Origin:
    """An application whose every response has its own body and headers."""

    def __init__(self, population: Population) -> None:
        self.kind = population
        self.chance = random.Random(3)
        self.stores = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = self.kind.size(self.chance) if self.stores else 0
        await send({"type": "http.response.start", "status": 200, "headers": self.headers(size)})
        step = _PIECE_SIZE if self.kind.streamed else size + 1
        for at in range(0, size + 1, step):
            piece = self.chance.randbytes(min(step, size - at))
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def wsgi(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        size = self.kind.size(self.chance) if self.stores else 0
        headers = [(name.decode(), value.decode()) for name, value in self.headers(size)]
        start_response("200 OK", headers)
        return [self.chance.randbytes(size)]

    def headers(self, size: int) -> list[Pair]:
        draw = self.chance.getrandbits
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % size),
            (b"cache-control", b"public, max-age=36000" if self.stores else b"no-store"),
            (b"etag", b'"%016x"' % draw(64)),
            (b"last-modified", b"Mon, 05 Jan 2026 08:%02d:%02d GMT" % (draw(6) % 60, draw(6) % 60)),
            (b"x-content-type-options", b"nosniff"),
        ]
        headers += [(b"x-own-%d" % n, b"%040x" % draw(160)) for n in range(self.kind.headers)]
        if self.kind.groups:
            groups = b", ".join(b'"%032x"' % draw(128) for _ in range(self.kind.groups))
            headers.append((b"cache-groups", groups))
        if self.kind.variants > 1:
            headers.append((b"vary", b"x-variant"))
        return headers


class _OutOfRedis:
    """A memory tier that is filled from Redis: each entry is encoded and decoded by the codec."""

    def __init__(self, tier: MemoryTier) -> None:
        self._tier = tier
        self._codec = Codec([b"secret"], threshold=1024, level=3, max_body=_MIB)
        self.get, self.discard, self.discard_if = tier.get, tier.discard, tier.discard_if

    def put(self, entry: Item) -> bool:
        key = Key(entry.key, entry.key)
        now = time.monotonic()
        stored = self._codec.encode(entry, key, now=now, server_now=now)
        return self._tier.put(self._codec.decode(stored, key, now=now, server_now=now))


class _Churn:
    """One cache, and requests for new URLs among requests for known ones."""

    def __init__(self, kind: Population, max_size: int) -> None:
        self.kind = kind
        self.origin = _Origin(kind)
        self.cache = Cache.from_dict(config(memory={"max_size": max_size}))
        if kind.shared:
            self.cache._core.engine.memory = _OutOfRedis(self.cache.memory)
        self.app = asgi.CacheMiddleware(self.origin, self.cache)
        self.threaded = wsgi.CacheMiddleware(self.origin.wsgi, self.cache)
        self.threads = [ThreadPoolExecutor(1) for _ in range(kind.threads)]
        self.chance = random.Random(4)
        self.requested = 0
        self.highest = 0
        """The highest measured memory of the process."""

    async def ask(self, number: int) -> None:
        url = f"/orders/{number // self.kind.variants}"
        if self.threads:
            thread = self.threads[number % len(self.threads)]
            thread.submit(wsgi_calls.ask, self.threaded, url).result()
            return
        scope = asgi_calls.scope_of(url)
        scope["headers"].append((b"x-variant", b"%d" % (number % self.kind.variants)))
        await asgi_calls.call(self.app, scope)

    async def turn(self, count: int) -> None:
        """Request new URLs, and in between some that may still be stored, and some that were purged."""
        for _ in range(count):
            await self.ask(self.requested)
            self.requested += 1
            if self.origin.stores:
                if self.chance.random() < 0.4:
                    await self.ask(self.requested - 1 - round(self.chance.expovariate(1 / 500)))
                if self.chance.random() < 0.1:
                    await self._replace(self.chance.randrange(_PURGED))
            if self.requested % _MEASURE_EVERY == 0:
                self.highest = max(self.highest, resident())

    async def _replace(self, number: int) -> None:
        await self.ask(number)
        if self.chance.random() < 1 / self.kind.variants:  # a purge removes all variants of a URL
            self.cache.purge(tags=[f"orders:{number // self.kind.variants}"])
            await self.ask(number)


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(population: str, mebibytes: int, turns: int) -> None:
    """Fill the tier, replace its entries this many times, and print the memory of the process."""
    kind = POPULATIONS[population]
    max_size = mebibytes * _MIB
    churn = _Churn(kind, max_size)
    tier = churn.cache.memory
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(churn.turn(_WARM_UP))
        churn.origin.stores = True
        for _ in range(_WARM_UP):
            intern_pairs(tuple(churn.origin.headers(kind.size(churn.chance))))
        gc.collect()
        began = resident()
        while not tier.evictions:
            loop.run_until_complete(churn.turn(50))
        full = {"entries": len(tier), "accounted": tier.size, "filled": resident() - began}
        churn.highest = 0
        for _ in range(turns):
            loop.run_until_complete(churn.turn(full["entries"]))
        after = {"churned": resident() - began, "highest": churn.highest - began}
        tier.clear()
        gc.collect()
        trim()
        emptied = {"emptied": resident() - began}
    print(json.dumps({"max_size": max_size, **full, **after, **emptied}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
