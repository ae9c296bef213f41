"""The process that measures the memory of one entry.

It fills a cache by requests, and measures its own growth in resident memory, per entry. Run as
`python -m bench.kept COUNT`; it prints one line of JSON, sizes in bytes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
from typing import Any

from bench import asgi_calls
from bench.constants import config
from cachemw import Cache
from cachemw.asgi import CacheMiddleware

__all__ = ["main"]

_WARM = 1_000
"""Entries stored before the first measurement, so that one-time allocations are not counted."""
_FULL = 40_000
"""Entries after which every table with a fixed limit is full, such as the memo of plans."""


class _Origin:
    """An application whose every response has its own body, ETag and date."""

    def __init__(self) -> None:
        self.chance = random.Random(3)
        self.bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = self.chance.randbytes(self.chance.randint(500, 4000))
        self.bytes += len(body)
        number = self.chance.randrange(10**9)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"public, max-age=36000"),
            (b"etag", b'"%d"' % number),
            (b"last-modified", b"Mon, 05 Jan 2026 %02d:%02d:%02d GMT" % _clock(number)),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _clock(number: int) -> tuple[int, int, int]:
    return number // 3600 % 24, number // 60 % 60, number % 60


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(count: int) -> None:
    """Store this many entries after the first ones, and print how much the process grew."""
    loop = asyncio.new_event_loop()
    origin = _Origin()
    cache = Cache.from_dict(config(memory={"max_size": "4GiB"}))
    app = CacheMiddleware(origin, cache)

    async def fill(first: int, last: int) -> None:
        for number in range(first, last):
            await asgi_calls.ask(app, f"/orders/{number}")

    def measure() -> dict[str, int]:
        return {
            "entries": len(cache.memory),
            "resident": _resident(),
            "bodies": origin.bytes,
            "accounted": cache.memory.size,
        }

    loop.run_until_complete(fill(0, _WARM))
    began = measure()
    loop.run_until_complete(fill(_WARM, _FULL))
    full = measure()
    loop.run_until_complete(fill(_FULL, _FULL + count))
    ended = measure()
    loop.close()
    print(json.dumps({"one more": _growth(full, ended), "all": _growth(began, ended)}))


def _growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in before}


if __name__ == "__main__":
    main(int(sys.argv[1]))
