"""Tests that do not see each other's stored responses, and tests without the cache.

All of this is about every cache of the process, so that no test needs to know where its application
has made one. A cache is known from when it is made; `Cache.close` changes nothing about that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cachemw.cache import Cache, living_caches, on_made

__all__ = ["CacheOffMixin", "EmptyCacheMixin", "caches_off", "empty_caches"]


def empty_caches() -> None:
    """Empty every cache of this process, and what is remembered of responses that were not stored.

    Over Redis this is a purge of everything, which all processes that use it follow. A response that
    is being made at the moment is not kept. Flags, statistics and rollouts stay.
    """
    for cache in living_caches():
        cache.purge(everything=True)
        cache.memory.clear()
        cache._core.shadows.clear()
        cache._core.engine.clear_marks()


@contextlib.contextmanager
def caches_off() -> Iterator[None]:
    """Switch every cache of this process off for a block, also those that are made in it.

    Other processes that share the Redis notice nothing.
    """
    switched: list[tuple[Cache, dict[str, str]]] = []

    def switch_off(cache: Cache) -> None:
        switched.append((cache, dict(cache.flags.driven)))
        cache.flags.drive({**cache.flags.driven, "kill": "on"})

    on_made.append(switch_off)
    try:
        for cache in living_caches():
            switch_off(cache)
        yield
    finally:
        on_made.remove(switch_off)
        living = living_caches()
        for cache, before in switched:
            if cache in living:  # the others stay off: a test has overridden their settings
                cache.flags.drive(before)


if TYPE_CHECKING:
    from unittest import TestCase as _TestCase
else:
    _TestCase = object


class EmptyCacheMixin(_TestCase):
    """For a `TestCase`, Django's too: each test begins with empty caches. Write it before the TestCase."""

    def run(self, result: Any = None) -> Any:
        """Run one test. This also works where a test class has a `setUp` that calls no other."""
        empty_caches()
        return super().run(result)


class CacheOffMixin(_TestCase):
    """For a `TestCase`, Django's too: each test runs without caches. Write it before the TestCase."""

    def run(self, result: Any = None) -> Any:
        """Run one test."""
        with caches_off():
            return super().run(result)
