"""A tier that fails at random fails no request, deals the same faults again, and leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from cachemw.engine.model.entry import Key
from cachemw.testing import RedisServer, chaos
from tests.support.sites import Site, median
from tests.support.waiting import until

Make = Callable[[str | None], Site]

ASKED = 60
KEY = Key(bytes(16), b"any")


@pytest.fixture
def site(redis_url: str, site_of: Make) -> Site:
    site = site_of(redis_url)
    site.join()
    return site


def traffic(site: Site, count: int = ASKED) -> list[Any]:
    """Ask for new pages and for ones that memory has lost, and let the writes end between."""
    answers = []
    for _ in range(count // 2):
        page = site.page()
        answers.append(site.ask(page))
        site.settle()
        site.cache.memory.clear()
        answers.append(site.ask(page))
        site.settle()
    return answers


def test_everything_at_once_fails_no_request(site: Site) -> None:
    # Guards: the flows go on without what a StoreUnavailable keeps from them, `asave` and `save`
    # have nobody to tell, and the codec refuses what is another key's.
    faults = {"errors": 0.1, "delays": 0.2, "losses": 0.2, "misses": 0.2, "mixups": 0.2}
    with chaos(site.cache, **faults, delay="5ms", seed=7) as store:
        answers = traffic(site)
    assert median(answers) <= 0.1
    assert all(store.counts[name] > 0 for name in faults)
    assert store.counts["reads"] >= ASKED
    until(site.uses_redis)


@pytest.mark.parametrize("fault", ["errors", "losses", "misses", "mixups"])
def test_a_fault_that_always_befalls_means_that_redis_serves_nothing(
    site: Site, fault: str
) -> None:
    with chaos(site.cache, **{fault: 1.0}) as store:
        assert not site.uses_redis()
        assert store.counts[fault] > 0
    assert site.uses_redis()


def test_mixups_are_refused_by_the_tier_and_counted(site: Site) -> None:
    # Guard: the envelope carries its key, and `Codec.decode` compares it with the one asked for.
    with chaos(site.cache, mixups=1.0):
        assert not site.uses_redis()
    assert site.cache.stats().events["entry_rejected"] == {"key": 1}


def test_errors_are_counted_as_redis_errors_are(site: Site) -> None:
    with chaos(site.cache, errors=1.0) as store:
        site.ask(site.page())
        site.settle()
    assert store.counts == {"reads": 1, "writes": 1, "errors": 2}
    assert site.cache.stats().events["store_error"] == {"get": 1, "set": 1}


def test_delays_take_their_time(site: Site) -> None:
    with chaos(site.cache, delays=1.0, delay="30ms"):
        assert site.ask(site.page()).seconds >= 0.03
        assert site.uses_redis()


def test_a_delay_past_the_deadline_is_given_up_there(site: Site) -> None:
    # Guard: `ChaosStore` waits no longer than `redis.deadline`, as the tier itself does.
    with chaos(site.cache, delays=1.0, delay="1h"):
        assert site.ask(site.page()).seconds < 5
        assert not site.uses_redis()


def dealt(site: Site, seed: int) -> Mapping[str, int]:
    with chaos(site.cache, losses=0.3, misses=0.3, seed=seed) as store:
        traffic(site)
    return store.counts


def test_the_same_seed_deals_the_same_faults(site: Site) -> None:
    first = dealt(site, 1)
    assert dealt(site, 1) == first
    assert any(dealt(site, seed) != first for seed in range(2, 6))


def test_it_is_gone_after_the_block_also_when_that_raises(site: Site) -> None:
    with pytest.raises(RuntimeError), chaos(site.cache, errors=1.0):
        raise RuntimeError
    assert site.uses_redis()


def test_a_cache_without_redis_has_no_tier_to_fail(site_of: Make) -> None:
    with pytest.raises(ValueError, match="needs a cache with Redis"), chaos(site_of(None).cache):
        pass


@pytest.mark.parametrize(
    "chances",
    [{"errors": 1.1}, {"delays": -0.1}, {"errors": 0.6, "misses": 0.6}, {"delay": "soon"}],
    ids=str,
)
def test_what_is_no_probability_is_refused(site: Site, chances: dict[str, Any]) -> None:
    with pytest.raises(ValueError), chaos(site.cache, **chances):
        pass


def test_the_tier_behind_it_may_be_ill_too(own_redis_server: RedisServer, site_of: Make) -> None:
    # Guard: `ChaosStore.reachable` asks the tier.
    site = site_of(own_redis_server.url)
    site.join()
    with chaos(site.cache, errors=0.2, seed=7):
        own_redis_server.kill()
        traffic(site)
        until(lambda: not site.cache._core.effects.shared.reachable(KEY))  # type: ignore[union-attr]
        own_redis_server.start()
        until(site.uses_redis)
