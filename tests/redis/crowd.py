"""A worker process with many clients that ask for one cold key at once: `crowd.py URL MODE CLIENTS`.

It says `ready` when it follows the log, begins when a line comes on its standard input, and writes
what its clients got as JSON. The application counts its calls in Redis, lists when they began, and
notes how many ran at once. In the mode `killed` the process that makes the first call dies in it, in
`killed-late` after a while, and lists that too; in the mode `slow` a call takes three times as long
as a lease lasts, and in `refused` answers may not be kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

import redis

from cachemw import Cache, asgi

CALLS = "crowd-calls"
TIMES = "crowd-times"
RUNNING = "crowd-running"
MOST = "crowd-most"
WORK = 0.3
"""Seconds that one call of the application takes."""
LEASE = 1.0
"""Seconds that a lease lasts which is not renewed."""


class Origin:
    def __init__(self, url: str, mode: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._mode = mode

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        number = int(self._redis.incr(CALLS))  # type: ignore[arg-type]
        self._redis.rpush(TIMES, time.monotonic())  # one clock for all processes of a machine
        if self._mode.startswith("killed") and number == 1:
            if self._mode == "killed-late":
                await asyncio.sleep(2 * LEASE)
                self._redis.rpush(TIMES, time.monotonic())
            os.kill(os.getpid(), signal.SIGKILL)
        self._redis.zadd(MOST, {"calls": int(self._redis.incr(RUNNING))}, gt=True)  # type: ignore[arg-type]
        await asyncio.sleep({"slow": 3 * LEASE, "refused": 2 * WORK}.get(self._mode, WORK))
        self._redis.decr(RUNNING)
        fields = [(b"content-type", b"text/plain")]
        if self._mode == "refused":
            fields.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"call %d" % number})


async def ask(app: Any) -> tuple[int, str]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "path": "/things/cold",
        "raw_path": b"/things/cold",
        "query_string": b"",
        "headers": [(b"host", b"shop.example")],
    }
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


async def main(url: str, mode: str, clients: int) -> None:
    route = {"name": "things", "path": "/things/{id}", "ttl": "1h"}
    cache = Cache.from_dict(
        {
            "namespace": "crowd",
            "redis": {"url": url, "deadline": "2s"},
            "coalesce": {"lease": LEASE, "wait": "8s"},
            "routes": [route],
        }
    )
    cache.start()
    while not cache.log.live:
        await asyncio.sleep(0.005)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    app = asgi.CacheMiddleware(Origin(url, mode), cache)
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(app) for _ in range(clients)))
    print(json.dumps({"answers": answers, "seconds": time.monotonic() - began}), flush=True)
    await cache.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
