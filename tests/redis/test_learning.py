"""What is learned is shared: by an entry of its key, and by a document of its kind."""

from __future__ import annotations

from typing import Any

import pytest

from cachemw import Cache
from cachemw.testing import RedisServer
from tests.conftest import Server
from tests.support.caches import Caches, Site
from tests.support.waiting import until

ROUTE = {
    "name": "things",
    "path": "/things/{id}",
    "kind": "thing",
    "risk": "low",
    "tags": ["thing:{id}"],
}
LEARNING: dict[str, Any] = {
    "kinds": {"thing": {"ttl": {"min": "50ms", "max": "1h"}}},
    "routes": [ROUTE],
}
NAME = "cachemw:{shared}:learned"


def refreshes(cache: Cache) -> int:
    return round(cache.stats().learned.get("thing", {}).get("refreshes", 0.0))


def refreshed(site: Site, path: str, times: int) -> None:
    """Ask until the application was called so often."""
    before = site.calls

    def asked() -> bool:
        site.get(path)
        return site.calls >= before + times

    until(asked)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachemw.wiring.redis._SHARE_EVERY", 0.05)


def test_a_process_knows_what_another_has_learned_of_a_kind(
    caches: Caches, redis_server: Server
) -> None:
    site = Site(caches.make(**LEARNING))
    refreshed(site, "/things/1", 4)
    until(lambda: redis_server.command("EXISTS", NAME))
    other = caches.make(**LEARNING)
    until(lambda: refreshes(other) >= 3)
    site.cache.close()
    other.close()
    newcomer = caches.make(**LEARNING)  # after a restart of all
    until(lambda: refreshes(newcomer) >= 3)


def test_a_key_is_known_to_whoever_reads_its_entry(caches: Caches) -> None:
    one, other = Site(caches.make(**LEARNING)), Site(caches.make(**LEARNING))
    refreshed(one, "/things/1", 4)
    [kept] = one.cache.inspection.memory()
    until(lambda: other.hits("/things/1") or one.get("/things/1"))
    [seen] = other.cache.inspection.memory()
    assert seen.changes_every == pytest.approx(kept.changes_every, rel=0.5)
    [stored] = other.cache.inspection.shared()
    assert stored.lifetime is not None


@pytest.mark.parametrize("value", [b"none of ours", b'{"thing": {"seconds": -1}}'])
def test_a_document_of_somebody_else_is_replaced(
    caches: Caches, redis_server: Server, value: bytes
) -> None:
    redis_server.command("SET", NAME, value)
    site = Site(caches.make(**LEARNING))
    refreshed(site, "/things/1", 4)
    other = caches.make(**LEARNING)
    until(lambda: refreshes(other) >= 3)


def test_a_name_that_holds_something_else_is_counted_and_harms_nobody(
    caches: Caches, redis_server: Server
) -> None:
    redis_server.command("RPUSH", NAME, "x")
    cache = caches.make(**LEARNING)
    until(lambda: cache.stats().events.get("store_error", {}).get("learned", 0) > 1)
    assert cache.log.live
    assert redis_server.command("TYPE", NAME) == b"list"


def test_what_is_learned_without_redis_is_shared_when_it_is_back(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    site = Site(own_caches.make(**LEARNING))
    own_redis_server.stop()
    until(lambda: not site.cache.log.live)
    refreshed(site, "/things/1", 4)
    own_redis_server.start()
    other = own_caches.make(**LEARNING)
    until(lambda: refreshes(other) >= 3)


def test_without_learning_nothing_is_written(caches: Caches, redis_server: Server) -> None:
    cache = caches.make(learning="off", **LEARNING)
    Site(cache).get("/things/1")
    ticks = cache._core.redis
    assert ticks is not None
    until(lambda: ticks.published_at > 0)
    assert not redis_server.command("EXISTS", NAME)
