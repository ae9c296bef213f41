"""Pages with holes, over Redis: each process fills them for its own clients."""

from __future__ import annotations

from typing import Any

from cachemw import Cache, hole
from cachemw.testing import RedisServer
from cachemw.wsgi import CacheMiddleware
from tests.support.caches import Caches
from tests.support.calls import Response, call_wsgi
from tests.support.waiting import until

HOLES = {"holes": {"basket": "tests.doors.holes:basket"}}
ROUTE = {"name": "p", "path": "/p", "ttl": "1h", "personal_cookies": ["sessionid"]}


class Door:
    """One process of a site."""

    def __init__(self, cache: Cache) -> None:
        self.calls = 0
        self._door = CacheMiddleware(self._application, cache)

    def _application(self, environ: Any, start_response: Any) -> list[bytes]:
        self.calls += 1
        start_response("200 OK", [("Content-Type", "text/html")])
        try:
            return [b"<p>" + hole("basket").encode() + b"</p>"]
        except LookupError:
            return [b"no baskets here"]

    def get(self, name: str) -> Response:
        return call_wsgi(self._door, "/p", HTTP_COOKIE=f"basket={name}")


def test_another_process_fills_them_for_its_own_clients(
    caches: Caches, redis_server: RedisServer
) -> None:
    first, second = (Door(caches.make(routes=[ROUTE], **HOLES)) for _ in range(2))
    assert first.get("ann").body == b"<p><b>basket=ann</b></p>"
    until(lambda: redis_server.command("KEYS", "*:e4"))
    answer = second.get("bob")
    assert answer.body == b"<p><b>basket=bob</b></p>"
    assert answer.cache_status.endswith("detail=shared")
    (name,) = redis_server.command("KEYS", "*:e4")
    assert b"basket=" not in redis_server.command("GET", name)
    assert second.calls == 0


def test_a_process_that_cannot_fill_them_asks_its_application(
    caches: Caches, redis_server: RedisServer
) -> None:
    # As while a release is rolled out that has a new hole.
    new, old = Door(caches.make(routes=[ROUTE], **HOLES)), Door(caches.make(routes=[ROUTE]))
    new.get("ann")
    until(lambda: redis_server.command("KEYS", "*:e4"))
    answer = old.get("bob")
    assert answer.body == b"no baskets here"
    assert "fwd=" in answer.cache_status, "it is a miss, and no failure of the cache"
