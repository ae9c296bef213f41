"""What was purged of late is known in every process, Redis away or not; and looking costs no long wait."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from cachemw import Cache, StoreUnavailable
from cachemw.testing import RedisServer
from tests.support.caches import Caches, Site, caches_over
from tests.support.waiting import until


def told(caches: Caches) -> list[tuple[tuple[str, ...] | None, bool]]:
    """Give what each purge of the last process named, and whether it was soft."""
    cache = caches.make()
    return [(purge.tags, purge.soft) for purge in cache.log.recent()]


def test_a_process_that_joins_knows_what_was_purged_before(redis_url: str) -> None:
    with caches_over(redis_url) as caches:
        one = caches.make()
        one.purge(tags=["a", "b"])
        one.purge(routes=["things"], soft=True)
        assert told(caches) == [(("@route:things",), True), (("a", "b"), False), (None, False)]
        newest = one.log.recent()[0]
        assert newest.at is not None
        assert abs(newest.at - time.time()) < 60


def test_a_log_that_is_read_anew_tells_nothing_twice(redis_url: str) -> None:
    """Fails when what was read is kept although the log begins a new life, and is read again."""
    with caches_over(redis_url) as caches:
        one = caches.make()
        one.purge(tags=["a"])
        one.log.flags.read()  # type: ignore[attr-defined]
        two = caches.make()
        epoch = two._core.engine.floors.epoch
        client = two._core.redis.nodes.find(b"cachemw:{shared}:log").sync()  # type: ignore[union-attr]
        client.delete("cachemw:{shared}:epoch")
        until(lambda: two.log.live and two._core.engine.floors.epoch != epoch)
        until(lambda: len(two.log.recent()) == 3)
        assert [purge.tags for purge in two.log.recent()] == [None, ("a",), None]


def test_with_redis_away_it_is_known_still_and_what_waits_comes_first(
    own_redis_server: RedisServer,
) -> None:
    with caches_over(own_redis_server.url) as caches:
        cache = caches.make()
        cache.purge(tags=["before"])
        until(lambda: cache.log.recent()[0].tags == ("before",))
        own_redis_server.stop()
        until(lambda: not cache.log.live)
        cache.purge(tags=["one"])
        cache.purge(tags=["two"])
        newest = [(purge.tags, purge.at is None) for purge in cache.log.recent()[:3]]
        assert newest == [(("two",), True), (("one",), True), (("before",), False)]


def test_what_the_fleet_counted_can_be_asked_for_in_the_application(redis_url: str) -> None:
    with caches_over(redis_url) as caches:
        one, two = Site(caches.make()), Site(caches.make())
        one.get("/things/1")
        two.get("/things/1")

        def requests() -> int:
            found = one.cache.fleet_stats()
            assert found is not None
            return found.stats.total

        until(lambda: requests() == 2)


def test_a_fleet_that_cannot_be_reached_is_an_error_within_the_deadline(
    own_redis_server: RedisServer,
) -> None:
    with caches_over(own_redis_server.url) as caches:
        cache = caches.make(redis={"deadline": "200ms"})
        own_redis_server.hang()
        try:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                cache.fleet_stats()
            assert time.monotonic() - began < 1.5
        finally:
            own_redis_server.resume()


LOOKS: dict[str, Callable[[Cache], object]] = {
    "preview": lambda cache: cache.preview(everything=True, patience=0.1),
    "shared": lambda cache: list(cache.inspection.shared(patience=0.1)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_who_has_little_patience_looks_no_longer(own_redis_server: RedisServer, look: str) -> None:
    """Fails when the patience does not reach the connection."""
    with caches_over(own_redis_server.url) as caches:
        cache = caches.make()
        own_redis_server.hang()
        try:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                LOOKS[look](cache)
            assert time.monotonic() - began < 1.5
        finally:
            own_redis_server.resume()


def test_who_has_little_patience_waits_no_longer_for_the_log(own_redis_server: RedisServer) -> None:
    """Fails when the waiting for the log does not know of the patience."""
    own_redis_server.stop()
    with caches_over(own_redis_server.url) as caches:
        cache = caches.make(live=False)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            cache.preview(everything=True, patience=0.1)
        assert time.monotonic() - began < 1.5
