"""Exchanging the secret that signs entries, over a real server: nothing is lost, nothing rejected."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.caches import Caches, Site

OLD, NEW = "the old secret of all", "the new secret of all"
STEPS = {
    "everybody accepts the new one": (OLD, [OLD, NEW]),
    "everybody signs with it": ([OLD, NEW], [NEW, OLD]),
    "the old one goes": ([NEW, OLD], NEW),
}
ROUTES = [
    {"name": "things", "path": "/things/{id}", "ttl": "1h", "risk": "low"},
    {"name": "mine", "path": "/mine/{id}", "ttl": "1h", "cookies": ["theme"], "identity": "user"},
]
ASKED: dict[str, dict[str, str]] = {
    "/things/1": {},
    "/mine/1": {"HTTP_COOKIE": "theme=dark", "HTTP_X_USER": "alice"},
}


def site_with(caches: Caches, secret: str | list[str]) -> Site:
    return Site(caches.make(secret=secret, routes=ROUTES))


@pytest.fixture
def caches(caches: Caches) -> Caches:
    caches.identities = {"user": lambda request: dict(request.headers)[b"x-user"].decode()}
    return caches


def hits_in_redis(site: Site, number: int) -> list[bool]:
    """Ask for everything with an empty memory; say what was answered without the application."""
    found = []
    for path, fields in ASKED.items():
        site.cache.memory.clear()
        found.append("; hit" in site.get(path.replace("1", str(number)), **fields).cache_status)
    return found


def rejections(site: Site) -> dict[str, int]:
    return dict(site.cache.stats().events.get("entry_rejected", {}))


@pytest.mark.parametrize(("before", "after"), STEPS.values(), ids=STEPS)
def test_in_each_step_everybody_reads_what_anybody_wrote(
    caches: Caches, before: Any, after: Any
) -> None:
    # Guards: `Codec._is_signed` accepts all secrets, and keys do not depend on any of them.
    early, late = site_with(caches, before), site_with(caches, after)
    assert hits_in_redis(early, 1) == hits_in_redis(late, 2) == [False, False]
    for site in (early, late):
        assert hits_in_redis(site, 1) == hits_in_redis(site, 2) == [True, True]
        assert site.calls == 2
        assert rejections(site) == {}


def test_an_entry_from_before_the_first_step_is_found_until_the_last(caches: Caches) -> None:
    assert hits_in_redis(site_with(caches, OLD), 1) == [False, False]
    for secret in ([OLD, NEW], [NEW, OLD]):
        assert hits_in_redis(site_with(caches, secret), 1) == [True, True]


def test_who_has_the_new_secret_alone_asks_the_application_and_writes_over(caches: Caches) -> None:
    old, new = site_with(caches, OLD), site_with(caches, NEW)
    assert hits_in_redis(old, 1) == [False, False]
    assert hits_in_redis(new, 1) == [False, False]
    assert new.calls == 2
    assert rejections(new) == {"checksum": 2}
    assert hits_in_redis(new, 1) == [True, True]
    assert hits_in_redis(site_with(caches, [OLD, NEW]), 1) == [True, True]
    assert hits_in_redis(old, 1) == [False, False]
    assert rejections(old) == {"checksum": 2}


def test_another_secret_for_digests_finds_nothing_and_rejects_nothing(caches: Caches) -> None:
    one = site_with(caches, OLD)
    other = Site(caches.make(secret=OLD, digest_secret=NEW, routes=ROUTES))
    assert hits_in_redis(one, 1) == hits_in_redis(other, 1) == [False, False]
    assert hits_in_redis(one, 1) == hits_in_redis(other, 1) == [True, True]
    assert rejections(one) == rejections(other) == {}
