"""A process that hears nothing for a while, and the flags that reach one that does."""

from __future__ import annotations

from cachemw import Cache
from cachemw.testing import FakeClock, RedisServer
from tests.support.caches import Caches, Site
from tests.support.waiting import until

from .following import process

# -- cut off ---------------------------------------------------------------------------------------


def test_a_process_that_hears_nothing_serves_from_memory_only_within_the_partition_limit(
    own_caches: Caches, own_redis_server: RedisServer, clock: FakeClock
) -> None:
    # Guard: `serves` of the log, asked by the fast path and by the flow.
    site = Site(own_caches.make(clock=clock, log={"partition_limit": "30s"}))
    site.get("/things/old")
    own_redis_server.kill()
    until(lambda: not site.cache.log.live)
    clock.advance(20)
    site.get("/things/young")
    assert site.hits("/things/old")
    clock.advance(11)
    assert site.hits("/things/young")
    assert not site.hits("/things/old")
    assert site.hits("/things/old")  # it is a new one now
    clock.advance(20)
    assert not site.hits("/things/young")


# -- flags -----------------------------------------------------------------------------------------


def state(cache: Cache) -> str:
    return cache.flags.states()["route:things"]


def test_a_flag_reaches_another_process_within_a_second(caches: Caches) -> None:
    here = caches.make()
    with process(caches.url) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def there() -> str:
            child.stdin.write("route things\n")
            child.stdin.flush()
            return child.stdout.readline().strip()

        assert there() == "on"
        for wanted in ("off", "on"):
            assert here.flags.set({"route:things": wanted})
            until(lambda wanted=wanted: there() == wanted, limit=1.0)


def test_a_process_that_joins_knows_the_live_flags(caches: Caches) -> None:
    caches.make().flags.set({"route:things": "off"})
    assert state(caches.make()) == "off"


def test_flags_survive_a_redis_that_lost_everything(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    # Guard: `_restore_flags` gives back what a process remembers.
    here = own_caches.make()
    here.flags.set({"route:things": "off"})
    own_redis_server.restart()
    until(lambda: own_redis_server.command("EXISTS", "cachemw:{shared}:flags") == 1)
    assert state(here) == "off"
    assert state(own_caches.make()) == "off"


def test_a_flag_set_without_redis_holds_here(
    own_caches: Caches, own_redis_server: RedisServer
) -> None:
    site = Site(own_caches.make(redis={"deadline": "100ms"}))
    site.get("/things/7")
    own_redis_server.kill()
    assert not site.cache.flags.set({"route:things": "off"})
    assert not site.hits("/things/7")
