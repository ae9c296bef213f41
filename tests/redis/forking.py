"""Fork a process whose cache is in full use, and say what each child found: `forking.py CONFIG WAY`.

A program of its own, for a fork of the test's process would take the test's threads' locks along.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

from cachemw import Cache, wsgi
from cachemw.engine.model.entry import Entry, Key
from tests.support.calls import call_wsgi
from tests.support.forks import fork

CHILDREN = 4
NAMES = [f"name-{number}" for number in range(50)]
ROUNDS = 20


def key_of(cache: Cache, name: str) -> Key:
    return cache._core.engine.keys.make((name.encode(),))


def put_all(cache: Cache) -> None:
    now = time.monotonic()
    for name in NAMES:
        key = key_of(cache, name)
        entry = Entry(
            key=key.digest,
            status=200,
            headers=(),
            body=name.encode(),
            route="things",
            born=now,
            fresh_until=now + 600,
            stale_until=now + 600,
            stale_error_until=now + 600,
            dies_at=now + 600,
            position=cache._core.engine.floors.current_position(),
        )
        cache._core.redis.tier.put(key, entry)  # type: ignore[union-attr]


def hammer(cache: Cache) -> dict[str, int]:
    """Read every name again and again, from a thread and from a loop; count what came."""
    tier: Any = cache._core.redis.tier  # type: ignore[union-attr]
    epoch = cache._core.engine.floors.epoch
    found = {"right": 0, "wrong": 0, "none": 0}

    def judge(name: str, entry: Entry | None) -> None:
        if entry is None:
            found["none"] += 1
        else:
            found["right" if entry.body == name.encode() else "wrong"] += 1

    async def from_a_loop() -> None:
        for _ in range(ROUNDS):
            entries = await asyncio.gather(
                *(tier.aget(key_of(cache, n), epoch) for n in NAMES[:10])
            )
            for name, entry in zip(NAMES, entries, strict=False):
                judge(name, entry)
        await cache._core.redis.nodes.aclose()  # type: ignore[union-attr]

    for _ in range(ROUNDS):
        for name in NAMES:
            judge(name, tier.get(key_of(cache, name), epoch))
    asyncio.run(from_a_loop())
    return found


def live(cache: Cache) -> None:
    cache.start()
    while not cache.log.live:
        time.sleep(0.002)


def page(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def report(cache: Cache, site: Any, what: str) -> dict[str, Any]:
    """What a child inherited, before and after it begins to follow for itself."""
    if what == "page":  # a request is the first thing that the child does
        maker = int(call_wsgi(site, "/things/1").body)
        requests = sum(cache.stats().requests["things"].values())
        live(cache)
        return {"maker": maker, "requests": requests, "me": cache.log.me}  # type: ignore[attr-defined]
    log: Any = cache.log
    inherited = {
        "requests": cache.stats().requests,
        "live": log.live,
        "clients": bool(cache._core.redis.nodes._by_address),  # type: ignore[union-attr]
        "memory": sum(
            cache._core.engine.floors.judge(e).value != "dead" for e in cache.memory.entries()
        ),
    }
    live(cache)
    purged = cache.purge(tags=["nothing"])
    return {"inherited": inherited, "me": log.me, "purge": purged.status, **hammer(cache)}


def main() -> None:
    way, what = sys.argv[2:]
    cache = Cache.from_dict(json.loads(sys.argv[1]))
    site = wsgi.CacheMiddleware(page, cache)
    live(cache)
    for _ in range(3):
        last = call_wsgi(site, "/things/1").cache_status
    assert "detail=memory" in last, last
    put_all(cache)
    hammer(cache)
    cache._core.reporter.count("stored", "")
    busy = threading.Thread(target=lambda: [hammer(cache) for _ in range(3)])
    if way == "python":  # a host that forks in C is careful to have no thread that runs Python then
        busy.start()
    children = []
    begun, begin = os.pipe()
    for _ in range(CHILDREN):
        reader, writer = os.pipe()
        if fork(way) == 0:
            os.close(reader)
            os.read(begun, 1)
            with os.fdopen(writer, "w") as out:
                json.dump(report(cache, site, what), out)
            os._exit(0)
        os.close(writer)
        children.append(reader)
    assert cache.purge(tags=["thing:1"]).status == "confirmed"
    os.write(begin, b"!" * CHILDREN)
    reports = []
    for reader in children:
        with os.fdopen(reader) as pipe:
            reports.append(json.load(pipe))
        os.wait()
    if way == "python":
        busy.join()
    parent = {"me": cache.log.me, **hammer(cache)}  # type: ignore[attr-defined]
    print(json.dumps({"parent": parent, "children": reports, "pid": os.getpid()}), flush=True)
    os._exit(0)  # closing would wait for a poll, and that is long here


if __name__ == "__main__":
    main()
