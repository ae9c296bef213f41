"""Which cookies a page was made from travels with it: another process of Django knows before it serves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from cachemw.django import get_cache
from tests.doors.apps_django import configure
from tests.support.caches import options
from tests.support.waiting import until

CALLS: list[str] = []


def themed(request: HttpRequest) -> HttpResponse:
    CALLS.append(request.COOKIES.get("theme", "light"))
    return HttpResponse(f"theme {CALLS[-1]}")


@contextmanager
def process(url: str, **changes: Any) -> Iterator[Client]:
    """Make a cache as a new process has it; nothing is known to it but what is in Redis."""
    configure()
    urls = ModuleType("read_urls")
    urls.__dict__["urlpatterns"] = [path("things/<name>", lambda request, name: themed(request))]
    with override_settings(
        ALLOWED_HOSTS=["*"],
        CACHEMW=options(url, **changes),
        MIDDLEWARE=["cachemw.django.CacheMiddleware"],
        ROOT_URLCONF=urls,
    ):
        cache = get_cache()
        cache.start()
        until(lambda: cache.log.live)
        yield Client(headers={"host": "shop.example"})


def test_another_process_does_not_serve_it_to_a_client_that_has_such_a_cookie(
    redis_url: str,
) -> None:
    # Guard: `tags_of_reads` in `tags_of`, and `_is_made_from_cookies` in `candidate`.
    with process(redis_url) as client:
        assert client.get("/things/1").content == b"theme light"
    with process(redis_url) as client:
        client.cookies["theme"] = "dark"
        for _ in range(2):
            assert client.get("/things/1").content == b"theme dark"
        del client.cookies["theme"]
        CALLS.clear()
        assert client.get("/things/1").content == b"theme light"
    assert CALLS == []


def test_what_a_client_without_it_takes_from_redis_teaches_the_process(redis_url: str) -> None:
    # Guard: `learn_cookies` before `keep_in_memory`. Else the fast path would serve it.
    with process(redis_url) as client:
        client.get("/things/2")
    with process(redis_url) as client:
        CALLS.clear()
        assert "detail=shared" in client.get("/things/2")["Cache-Status"]
        assert "detail=memory" in client.get("/things/2")["Cache-Status"]
        assert CALLS == []
        client.cookies["theme"] = "dark"
        reply = client.get("/things/2")
        assert reply.content == b"theme dark"
        assert "detail=personal-cookie" in reply["Cache-Status"]


def test_what_nobody_watched_is_not_used(redis_url: str) -> None:
    # Guard: `reads_of` gives None. Before the default, nobody noted what was read.
    with process(redis_url, personal_cookies=["sid"]) as client:
        client.get("/things/3")
    with process(redis_url) as client:
        client.cookies["theme"] = "dark"
        assert client.get("/things/3").content == b"theme dark"
    with process(redis_url, personal_cookies=["sid"]) as client:
        assert "detail=shared" in client.get("/things/3")["Cache-Status"]
