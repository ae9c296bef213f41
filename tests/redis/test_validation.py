"""A stale answer in Redis is validated once for everybody."""

from __future__ import annotations

import asyncio
from typing import Any

from cachemw import asgi
from tests.support.caches import Caches
from tests.support.calls import call_asgi
from tests.support.waiting import until

ETAG = (b"etag", b'"v1"')


class Origin:
    """An application that answers 304 to its own entity tag, and counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        condition = dict(scope["headers"]).get(b"if-none-match")
        self.asked.append(condition)
        current = condition == ETAG[1]
        fields = [ETAG, (b"cache-control", b"max-age=1")]
        status, body = (304, b"") if current else (200, b"the whole answer")
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})


async def get(app: Any, path: str) -> tuple[int, bytes, str]:
    response = await call_asgi(app, path)
    return response.status, response.body, response.cache_status


def test_a_validated_answer_is_shared(caches: Caches) -> None:
    """The guard is `save_later`, asked after an answer that stood in for a 304."""
    route = {"name": "things", "path": "/things/{id}", "ttl": "1h", "stale_while_revalidate": "0s"}
    here, there = (caches.make(routes=[route]) for _ in range(2))
    origin = Origin()
    path = "/things/validated"

    async def run() -> None:
        apps = [asgi.CacheMiddleware(origin, cache) for cache in (here, there)]
        assert (await get(apps[0], path))[:2] == (200, b"the whole answer")
        await asyncio.sleep(1.05)  # the lifetime that the answer states: nothing can be awaited
        status, body, said = await get(apps[0], path)
        assert (status, body) == (200, b"the whole answer")
        assert "fwd-status=304" in said
        await here._core.tasks.drain(5)
        assert "hit" in (await get(apps[1], path))[2]
        for cache in (here, there):
            await cache._core.tasks.drain(5)

    until(lambda: here.log.live and there.log.live)
    asyncio.run(run())
    assert origin.asked == [None, ETAG[1]]
