"""Calls of Django's own cache are noticed, and stay as they are."""

from __future__ import annotations

import inspect
import itertools
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends import cache as cache_sessions
from django.contrib.sessions.backends import cached_db
from django.core.cache import CacheHandler, cache, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

import cachemw
from cachemw.django import get_cache, registry
from cachemw.django.recording import second_caches
from cachemw.recording.context import Recording

ABSENT = object()
SESSION = "0123456789abcdef"
NUMBERS = itertools.count()


class OwnWays(LocMemCache):
    """A backend that overrides what it can, and answers in ways of its own."""

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return super().get(*args, **kwargs)

    def get_many(self, keys: Any, version: Any = None, client: Any = None) -> Any:
        found = {key: super(OwnWays, self).get(key, ABSENT, version) for key in keys}
        return {key: value for key, value in found.items() if value is not ABSENT}

    def get_or_set(self, key: Any, default: Any, timeout: Any = 300, version: Any = None) -> Any:
        if self.has_key(key, version):
            return super().get(key, None, version)
        value = default() if callable(default) else default
        self.set(key, value, timeout, version)
        return value

    async def aget(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return LocMemCache.get(self, key, default, version)

    async def aget_or_set(self, key: Any, default: Any, **more: Any) -> Any:
        if await self.aget(key, ABSENT) is ABSENT:
            given = default() if callable(default) else default
            value = await given if inspect.isawaitable(given) else given
            self.set(key, value)
        return await self.aget(key)


class WithSlots:
    """A backend that is none of Django's classes, and takes no attribute."""

    __slots__ = ()

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        pass

    def get(self, key: str, default: Any = None) -> Any:
        return "slots" if key == "a" else default

    async def get_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: "slots" for key in keys if key == "a"}

    def close(self, **_: Any) -> None:
        pass


def settings_of(folder: Path) -> dict[str, dict[str, Any]]:
    here = f"{__name__}."
    backends = {
        "default": "django.core.cache.backends.locmem.LocMemCache",
        "files": "django.core.cache.backends.filebased.FileBasedCache",
        "own": f"{here}OwnWays",
        "slots": f"{here}WithSlots",
    }
    return {
        name: {"BACKEND": each, "LOCATION": str(folder / name)} for name, each in backends.items()
    }


class Site:
    """The project, with views that do what a test says."""

    def __init__(self) -> None:
        self.work: Callable[[], Any] = lambda: None
        self.awork: Callable[[], Awaitable[Any]]
        self.urls = ModuleType("second_caches_urls")
        self.urls.__dict__["urlpatterns"] = [
            path("page/<int:number>", self.page),
            path("other/<int:number>", self.page),
            path("apage/<int:number>", self.apage),
            path("kept", cache_page(100)(self.page)),
        ]
        self.client = Client(headers={"host": "shop.example"})
        self.result: Any = None

    def page(self, request: HttpRequest, number: int = 0) -> HttpResponse:
        self.result = self.work()
        return HttpResponse(str(self.result), content_type="text/plain")

    async def apage(self, request: HttpRequest, number: int) -> HttpResponse:
        self.result = await self.awork()
        return HttpResponse(str(self.result), content_type="text/plain")

    def ask(self, work: Callable[[], Any], place: str = "page") -> Any:
        """Answer a request by what `work` returns, which is returned here too."""
        self.work = work
        response = self.client.get(f"/{place}/{next(NUMBERS)}")
        assert "stored" in response.headers["Cache-Status"]
        return self.result

    def aask(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self.awork = work
        client: Any = AsyncClient(headers={"host": "shop.example"})

        async def get() -> Any:
            return await client.get(f"/apage/{next(NUMBERS)}")

        assert "stored" in async_to_sync(get)().headers["Cache-Status"]
        return self.result


ROUTES = [
    {"path": f"/{place}", "ttl": "1h", "query": ["n"], "cookies": []}
    for place in ("page/{number}", "other/{number}", "apage/{number}", "kept")
]


@pytest.fixture
def site(project: None, tmp_path: Path) -> Iterator[Site]:
    site = Site()
    with override_settings(
        CACHEMW={"routes": ROUTES, "recording": {"unknown_cached": "keep"}},
        CACHES=settings_of(tmp_path),
        MIDDLEWARE=["cachemw.django.CacheMiddleware"],
        ROOT_URLCONF=site.urls,
    ):
        get_cache()
        for alias in ("default", "files", "own"):
            caches[alias].clear()
            caches[alias].set_many({"a": 1, "b": 2, "none": None})
            caches[alias].set("a", "of version 2", version=2)
        yield site


def hits() -> dict[str, int]:
    return dict(get_cache().stats().events.get("second_cache_hit", {}))


ALIASES = pytest.mark.parametrize("alias", ["default", "files", "own"])

HITS: dict[str, tuple[Callable[[BaseCache], Any], Any, int]] = {
    "get": (lambda c: c.get("a"), 1, 1),
    "by-name": (lambda c: c.get(key="a", default=3), 1, 1),
    "version": (lambda c: c.get("a", None, 2), "of version 2", 1),
    "none": (lambda c: c.get("none", ABSENT), None, 1),
    "get-many": (lambda c: c.get_many(["a", "b", "c"]), {"a": 1, "b": 2}, 2),
    "get-or-set": (lambda c: c.get_or_set("a", 5), 1, 1),
    "get-or-set-call": (lambda c: c.get_or_set("a", default=lambda: 5), 1, 1),
    "in-default": (lambda c: c.get_or_set("c", lambda: c.get("a")), 1, 1),
    "twice": (lambda c: (c.get("a"), c.get("b")), (1, 2), 2),
}
OTHERS: dict[str, tuple[Callable[[BaseCache], Any], Any]] = {
    "miss": (lambda c: c.get("c"), None),
    "default": (lambda c: c.get("c", 3), 3),
    "none-is-the-default": (lambda c: c.get("none"), None),
    "get-many": (lambda c: c.get_many(["c", "d"]), {}),
    "get-or-set": (lambda c: c.get_or_set("c", 5), 5),
    "get-or-set-none": (lambda c: c.get_or_set("c", None), None),
    "get-or-set-call": (lambda c: c.get_or_set("c", lambda: [5]), [5]),
    "has-key": (lambda c: ("a" in c, c.has_key("c")), (True, False)),
    "incr": (lambda c: (c.incr("a"), c.decr("b")), (2, 1)),
    "incr-version": (lambda c: c.incr_version("b"), 2),
    "touch": (lambda c: c.touch("a"), True),
    "set": (lambda c: (c.set("c", 1), c.add("a", 2), c.delete("b")), (None, False, True)),
    "other-version": (lambda c: c.get("b", version=7), None),
}


@ALIASES
@pytest.mark.parametrize(("work", "result", "count"), HITS.values(), ids=HITS)
def test_a_hit_is_counted_each_time(
    site: Site, alias: str, work: Callable[[BaseCache], Any], result: Any, count: int
) -> None:
    assert site.ask(lambda: work(caches[alias])) == result
    assert hits() == {alias: count}
    caches[alias].delete("c")
    site.ask(lambda: work(caches[alias]))
    assert hits() == {alias: 2 * count}


@ALIASES
@pytest.mark.parametrize(("work", "result"), OTHERS.values(), ids=OTHERS)
def test_what_makes_no_response_is_not_counted(
    site: Site, alias: str, work: Callable[[BaseCache], Any], result: Any
) -> None:
    assert site.ask(lambda: work(caches[alias])) == result
    assert hits() == {}


AHITS: dict[str, tuple[Callable[[BaseCache], Awaitable[Any]], Any, int]] = {
    "aget": (lambda c: c.aget("a"), 1, 1),
    "aget-miss": (lambda c: c.aget("c", 4), 4, 0),
    "aget-many": (lambda c: c.aget_many(["a", "b", "c"]), {"a": 1, "b": 2}, 2),
    "aget-or-set": (lambda c: c.aget_or_set("a", 5), 1, 1),
    "aget-or-set-miss": (lambda c: c.aget_or_set("c", lambda: 5), 5, 0),
    "ahas-key": (lambda c: c.ahas_key("a"), True, 0),
    "aincr": (lambda c: c.aincr("a"), 2, 0),
}


@ALIASES
@pytest.mark.parametrize(("work", "result", "count"), AHITS.values(), ids=AHITS)
def test_hits_in_event_loops_are_counted(
    site: Site, alias: str, work: Callable[[BaseCache], Awaitable[Any]], result: Any, count: int
) -> None:
    assert site.aask(lambda: work(caches[alias])) == result
    assert hits() == ({alias: count} if count else {})


def test_a_default_that_is_a_coroutine_function_stays_one(site: Site) -> None:
    async def default() -> Any:
        return await caches["own"].aget("b")

    assert site.aask(lambda: caches["own"].aget_or_set("a", default)) == 1
    assert hits() == {"own": 1}
    assert site.aask(lambda: caches["own"].aget_or_set("c", default)) == 2
    assert hits() == {"own": 2}


def test_a_backend_of_another_kind_works_and_is_noticed(site: Site) -> None:
    assert site.ask(lambda: caches["slots"].get("a")) == "slots"
    assert hits() == {"-": 1}
    assert site.ask(lambda: caches["slots"].get("b", 2)) == 2
    assert hits() == {"-": 1}
    many: Any = caches["slots"].get_many
    assert site.aask(lambda: many(["a", "b"])) == {"a": "slots"}
    assert hits() == {"-": 2}


class NoKey:
    def __str__(self) -> str:
        raise LookupError("no key")


@pytest.mark.parametrize(
    ("work", "error", "text"),
    [
        (lambda c: c.get(), TypeError, r"^LocMemCache.get\(\) missing 1 required"),
        (lambda c: c.get("a", 1, 2, 3), TypeError, r"^LocMemCache.get\(\) takes from 2 to 4 pos"),
        (lambda c: c.get(NoKey(), 1), LookupError, "^no key$"),
        (lambda c: c.incr("c"), ValueError, "not found$"),
        (lambda c: c.get_or_set("c"), TypeError, r"^BaseCache.get_or_set\(\) missing 1 required"),
        (lambda c: c.get_or_set("c", lambda: [][1]), IndexError, "^list index"),
    ],
)
def test_an_exception_is_the_backends_own(
    site: Site, work: Callable[[Any], Any], error: type[Exception], text: str
) -> None:
    def fail() -> None:
        with pytest.raises(error, match=text):
            work(cache)

    fail()  # outside of a recording
    site.ask(fail)
    assert hits() == {}


def test_a_page_of_cache_page_is_counted_once(site: Site) -> None:
    site.work = lambda: "body"
    assert "stored" in site.client.get("/kept?n=1").headers["Cache-Status"]
    assert hits() == {}
    get_cache().purge(everything=True)
    assert site.client.get("/kept?n=1").content == b"body"
    assert hits() == {"default": 1}


def test_a_fragment_of_a_template_is_counted(site: Site) -> None:
    django_templates = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    with override_settings(TEMPLATES=django_templates):
        text = "{% load cache %}{% cache 60 side %}{{ words }}{% endcache %}"
        fragment = engines["django"].from_string(text)
        assert site.ask(lambda: fragment.render({"words": "old"})) == "old"
        assert hits() == {}
        assert site.ask(lambda: fragment.render({"words": "new"})) == "old"
        assert hits() == {"default": 1}


def test_it_is_warned_of_once_for_each_cache_and_route(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cachemw.faults")
    for _ in range(3):
        site.ask(lambda: caches["default"].get("a"))
        site.ask(lambda: caches["files"].get("a"))
        site.ask(lambda: caches["files"].get("a"), "other")
    lines = [each.cachemw for each in caplog.records]  # type: ignore[attr-defined]
    assert [(line["event"], line["alias"], line["route"]) for line in lines] == [
        ("second_cache_unknown", "default", "/page/{number}"),
        ("second_cache_unknown", "files", "/page/{number}"),
        ("second_cache_unknown", "files", "/other/{number}"),
    ]
    assert "cachemw.depends_on()" in lines[0]["advice"]
    assert hits() == {"default": 3, "files": 6}


def test_nothing_is_noticed_where_nothing_is_recorded(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cachemw.faults")
    assert cache.get("a") == 1  # outside of a request

    def unrecorded() -> Any:
        with cachemw.unrecorded():
            return cache.get("a")

    assert site.ask(unrecorded) == 1
    recording = Recording()
    with recording:
        recording.close()  # the response is complete
        assert cache.get("a") == 1
    assert site.client.post("/page/0").status_code == 200
    assert (hits(), caplog.records) == ({}, [])


def test_nothing_is_noticed_where_recording_is_switched_off(site: Site) -> None:
    with override_settings(CACHEMW={"routes": ROUTES, "recording": {"database": False}}):
        assert site.ask(lambda: cache.get("a")) == 1
        assert hits() == {}
    with override_settings(CACHEMW={"routes": ROUTES, "recording": {"unknown_cached": "keep"}}):
        assert site.ask(lambda: cache.get("a")) == 1
        assert hits() == {"default": 1}


class OwnSessions(cache_sessions.SessionStore):
    cache_key_prefix = "visit:"


@pytest.mark.parametrize(
    "store", [cache_sessions.SessionStore, cached_db.SessionStore, OwnSessions]
)
def test_sessions_in_the_cache_are_not_noticed(site: Site, store: Any) -> None:
    engine = ModuleType("own_session_engine")
    engine.__dict__["SessionStore"] = OwnSessions
    cache.set(f"{store.cache_key_prefix}{SESSION}", {"user": 5})
    with (
        mock.patch.dict(sys.modules, {"own_session_engine": engine}),
        override_settings(SESSION_ENGINE="own_session_engine"),
    ):
        assert site.ask(lambda: store(SESSION).load()) == {"user": 5}
        assert hits() == {}
        assert site.ask(lambda: (store(SESSION).load(), cache.get("a"))[1]) == 1
        assert hits() == {"default": 1}


def test_signatures_and_kinds_of_methods_stay(site: Site) -> None:
    assert str(inspect.signature(caches["default"].get)) == "(key, default=None, version=None)"
    assert "client" in inspect.signature(caches["own"].get_many).parameters
    for name in ("aget", "aget_many", "aget_or_set", "ahas_key"):
        assert inspect.iscoroutinefunction(getattr(caches["default"], name))
    assert str(inspect.signature(caches["default"].aget_many)) == "(keys, version=None)"
    assert type(caches["default"]) is LocMemCache


def test_a_method_that_a_test_replaces_is_called_as_before(site: Site) -> None:
    with mock.patch.object(LocMemCache, "get", return_value="mocked") as get:
        assert site.ask(lambda: cache.get("c", 1)) == "mocked"
    get.assert_called_once_with("c", 1)
    assert site.ask(lambda: cache.get("a")) == 1
    assert hits() == {"default": 1}


def test_each_method_is_watched_once(site: Site) -> None:
    for _ in range(2):
        second_caches.install(registry.get_cache, registry.is_being_made_here)
        CacheHandler().create_connection("default")
    for method in (LocMemCache.get, BaseCache.get_many, CacheHandler.create_connection):
        assert hasattr(method, "__wrapped__")
        assert not hasattr(method.__wrapped__, "__wrapped__")


def test_a_backend_that_was_made_before_is_watched(site: Site) -> None:
    class Early(FileBasedCache):
        def get(self, key: Any, default: Any = None, version: Any = None, *more: Any) -> Any:
            return ("early", *more)

    with suppress(AttributeError):
        del caches["files"]
    early = Early("", {})
    caches["files"] = early
    assert site.ask(lambda: caches["files"].get("a", 1, 2, 3)) == ("early", 3)
    assert hits() == {}
    second_caches.install(registry.get_cache, registry.is_being_made_here)
    assert site.ask(lambda: caches["files"].get("a", 1, 2, 3)) == ("early", 3)
    assert hits() == {"files": 1}


def test_a_backend_of_another_thread_is_watched(site: Site) -> None:
    def in_thread() -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(cache.get("a")))
        thread.start()
        thread.join()
        return found

    assert site.ask(in_thread) == [1]
    assert hits() == {"default": 1}


def test_a_fault_of_ours_costs_no_read(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(second_caches, "is_ignored", lambda *_: 1 / 0)
    assert site.ask(lambda: cache.get("a")) == 1
    site.ask(lambda: cache.set("a", 2))
    assert cache.get("a") == 2
    assert get_cache().stats().events["second_cache_error"] == {"default": 2}
    assert any("recorder_failed" in each.getMessage() for each in caplog.records)


CACHALOT = """
import sys

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHEMW={"routes": [{"path": "/{rest:path}", "ttl": "1h", "cookies": []}]},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "cachalot", "cachemw.django"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["cachemw.django.CacheMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import path

call_command("migrate", verbosity=0)
ContentType.objects.create(pk=1000, app_label="shop", model="old")


def names(request, number):
    return HttpResponse(ContentType.objects.get(pk=1000).model)


urlpatterns = [path("<int:number>", names)]
client = Client(headers={"host": "shop.example"})
from cachemw.django import get_cache

for number in range(3):
    answer = client.get(f"/{number}")
    print(answer.content.decode(), get_cache().stats().events.get("second_cache_hit", {}).get("default", 0))
"""


def test_a_query_that_cachalot_answers_is_noticed(tmp_path: Path) -> None:
    pytest.importorskip("cachalot")
    command = [sys.executable, "-c", CACHALOT, str(tmp_path / "db")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    first, second, third = (line.split() for line in done.stdout.splitlines())
    assert [first[0], second[0], third[0]] == ["old"] * 3
    assert int(first[1]) < int(second[1]) < int(third[1])
    assert done.stderr.count("event=second_cache_unknown") <= 1
