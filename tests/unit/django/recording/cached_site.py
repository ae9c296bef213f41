"""A project whose views read and write Django's caches, asked through the middleware."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from cachemw.django import get_cache
from cachemw.recording.context import value_caches

__all__ = ["BACKENDS", "CACHE", "Apart", "Site", "open_site"]

CACHE = "cachemw.django.CacheMiddleware"
BACKENDS = ("locmem", "files", "database", "apart")
"""Names of caches in `caches`. With Redis there is also `redis`."""


class Apart(BaseCache):
    """A cache that stands for one on another machine; it notes what it is asked."""

    stored: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []
    timeouts: ClassVar[dict[str, Any]] = {}

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        self.asked.append(f"get {key}")
        stored = self.stored.get(self.make_and_validate_key(key, version))
        return default if stored is None else pickle.loads(stored)

    def set(self, key: Any, value: Any, timeout: Any = 300, version: Any = None) -> None:
        self.asked.append(f"set {key}")
        made = self.make_and_validate_key(key, version)
        self.stored[made], self.timeouts[made] = pickle.dumps(value), timeout

    def add(self, key: Any, value: Any, timeout: Any = 300, version: Any = None) -> bool:
        if self.make_key(key, version) in self.stored:
            return False
        self.set(key, value, timeout, version)
        return True

    def touch(self, key: Any, timeout: Any = 300, version: Any = None) -> bool:
        made = self.make_key(key, version)
        if made in self.stored:
            self.timeouts[made] = timeout
        return made in self.stored

    def delete(self, key: Any, version: Any = None) -> bool:
        return self.stored.pop(self.make_key(key, version), None) is not None

    def clear(self) -> None:
        self.stored.clear()
        self.timeouts.clear()


class Site:
    """The pages, of which each shows what its work returns."""

    def __init__(self) -> None:
        self.works: dict[str, Callable[[], Any]] = {}
        self.aworks: dict[str, Callable[[], Awaitable[Any]]] = {}
        self.urls = ModuleType("cached_site_urls")
        self.urls.__dict__["urlpatterns"] = [
            path("page/<str:name>", self.page),
            path("apage/<str:name>", self.apage),
        ]
        self.fresh_clients()

    def fresh_clients(self) -> None:
        """Ask by the middleware that the settings have now."""
        self.client = Client(headers={"host": "shop.example"})
        self.aclient: Any = AsyncClient(headers={"host": "shop.example"})

    def page(self, request: HttpRequest, name: str) -> HttpResponse:
        return self._answer(self.works[name]())

    async def apage(self, request: HttpRequest, name: str) -> HttpResponse:
        return self._answer(await self.aworks[name]())

    def _answer(self, result: object) -> HttpResponse:
        if isinstance(result, HttpResponse):
            return result
        return HttpResponse(str(result), content_type="text/plain")

    def get(self, name: str, **headers: str) -> tuple[str, str]:
        """Return the body of a page, and what became of it: `hit`, `stored`, or why it was not stored."""
        before = dict(refused())
        if name in self.aworks:
            response = async_to_sync(self._aget)(f"/apage/{name}", headers)
        else:
            response = self.client.get(f"/page/{name}", headers=headers)
        return response.content.decode(), _verdict(response.headers["Cache-Status"], before)

    async def _aget(self, target: str, headers: Mapping[str, str]) -> Any:
        return await self.aclient.get(target, headers=headers)


def _verdict(status: str, before: Mapping[str, int]) -> str:
    for word in ("hit", "stored"):
        if f"; {word}" in status:
            return word
    new = [reason for reason, count in refused().items() if count > before.get(reason, 0)]
    return new[0] if new else status


def refused() -> dict[str, int]:
    return events("not_stored")


def events(name: str) -> dict[str, int]:
    return dict(get_cache().stats().events.get(name, {}))


@contextmanager
def open_site(
    folder: Any,
    redis_url: str | None = None,
    holes: Mapping[str, str] = {},
    **recording: Any,
) -> Iterator[Site]:
    """Open a site with these options of `recording`."""
    site = Site()
    kinds = {
        "locmem": ("django.core.cache.backends.locmem.LocMemCache", f"locmem-{next(_NUMBERS)}"),
        "files": ("django.core.cache.backends.filebased.FileBasedCache", str(folder / "files")),
        "database": ("django.core.cache.backends.db.DatabaseCache", "cache_table"),
        "apart": (f"{__name__}.Apart", ""),
    }
    if redis_url is not None:
        kinds["redis"] = ("django.core.cache.backends.redis.RedisCache", redis_url)
    settings = {
        alias: {"BACKEND": backend, "LOCATION": place, "KEY_PREFIX": "site"}
        for alias, (backend, place) in kinds.items()
    }
    routes = [
        {"path": f"/{kind}/{{name}}", "ttl": "1h", "cookies": ["seen"], "personal_cookies": ["who"]}
        for kind in ("page", "apage")
    ]
    with override_settings(
        CACHEMW={"routes": routes, "recording": recording, "holes": dict(holes)},
        CACHES={"default": settings["locmem"], **settings},
        MIDDLEWARE=[CACHE],
        ROOT_URLCONF=site.urls,
    ):
        get_cache()
        call_command("createcachetable", verbosity=0)
        for alias in kinds:
            caches[alias].clear()
        Apart.asked.clear()
        try:
            yield site
        finally:
            value_caches.clear()  # other tests are of projects without such a cache


_NUMBERS = itertools.count()
