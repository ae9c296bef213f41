"""Empty caches for each test, and tests without the cache."""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from cachemw import Cache
from cachemw.cache import forget
from cachemw.testing import CacheOffMixin, EmptyCacheMixin, caches_off, empty_caches
from cachemw.wsgi import CacheMiddleware
from tests.support.calls import call_wsgi
from tests.support.waiting import until

ROUTE = {"path": "/{rest:path}", "ttl": "60s", "cookies": []}


class Door:
    """A WSGI application behind a cache of its own."""

    def __init__(self, **config: Any) -> None:
        self.cache = Cache.from_dict({"routes": [ROUTE], **config})
        self.headers: list[tuple[str, str]] = []
        self._door = CacheMiddleware(self._answer, self.cache)

    def _answer(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", self.headers)
        return [b"page"]

    def get(self, path: str = "/p") -> str:
        return dict(call_wsgi(self._door, path).headers)["cache-status"]


def test_a_test_begins_with_empty_caches() -> None:
    one, other = Door(), Door()
    for door in (one, other):
        door.get()
        assert "; hit" in door.get()
    empty_caches()
    for door in (one, other):
        assert len(door.cache.memory) == 0
        assert "uri-miss; stored" in door.get()


def test_a_response_that_was_not_stored_is_forgotten_too() -> None:
    # Guard: `Engine.clear_marks`.
    door = Door()
    door.headers = [("Cache-Control", "no-store")]
    door.get()
    assert "hit-for-miss" in door.get()
    door.headers = []
    empty_caches()
    assert "uri-miss; stored" in door.get()


def test_what_was_compared_in_shadow_is_forgotten_too() -> None:
    door = Door(flags={"high": "shadow"})
    door.get()
    assert door.cache._core.shadows.size > 0
    empty_caches()
    assert door.cache._core.shadows.size == 0


def test_what_is_in_redis_is_not_served_to_the_next_test(redis_url: str) -> None:
    # Guard: the purge. To clear the memory is not enough.
    door = Door(redis={"url": redis_url})
    try:
        door.cache.start()
        until(lambda: door.cache.log.live)

        def shared() -> bool:
            door.get()
            door.cache.memory.clear()
            return "detail=shared" in door.get()

        until(shared)
        empty_caches()
        assert "; hit" not in door.get()
    finally:
        door.cache.close()


def test_in_the_block_every_cache_is_off_and_then_as_before() -> None:
    before = Door()
    before.cache.flags.drive({"low": "off"})
    before.get()
    with caches_off():
        made_in_it = Door()
        for door in (before, made_in_it):
            for _ in range(2):
                assert "detail=off" in door.get()
    assert "; hit" in before.get()
    assert before.cache.flags.driven == {"low": "off"}
    assert "uri-miss; stored" in made_in_it.get()
    assert "uri-miss; stored" in Door().get()


def test_an_error_in_the_block_switches_on_again() -> None:
    door = Door()
    with pytest.raises(ZeroDivisionError), caches_off():
        raise ZeroDivisionError
    assert "stored" in door.get()


def test_a_cache_that_was_given_up_in_the_block_stays_off() -> None:
    # Guard: `caches_off` switches on living caches only. Django's registry gives caches up.
    door = Door()
    with caches_off():
        forget(door.cache)
    assert "detail=off" in door.get()


@pytest.mark.parametrize(
    ("mixin", "expected"), [(EmptyCacheMixin, "uri-miss; stored"), (CacheOffMixin, "detail=off")]
)
@pytest.mark.parametrize("base", [unittest.TestCase, unittest.IsolatedAsyncioTestCase])
def test_a_test_case_with_the_mixin_is_isolated(mixin: Any, expected: str, base: Any) -> None:
    door = Door()
    door.get()
    found = []

    class Case(mixin, base):  # type: ignore[misc]
        def setUp(self) -> None:  # as careless projects write it: no call of super()
            found.append(door.get())

        def test_one(self) -> None:
            pass

        def test_two(self) -> None:
            pass

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.wasSuccessful()
    assert result.testsRun == len(found) == 2
    assert all(expected in status for status in found), found
    assert "; hit" in door.get() if mixin is CacheOffMixin else True
