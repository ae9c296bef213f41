"""The cache in a project's own tests: Django's test clients, and settings that a test overrides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from cachemw.django import CacheMiddleware, get_cache
from tests.doors.apps_django import configure

from .django_site import CACHE

Get = Callable[..., Any]
ROUTE = {"path": "/{rest:path}", "ttl": "60s"}


def address(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.get_host()} {request.headers.get('Host')}")


def config(**changes: Any) -> dict[str, Any]:
    return {"routes": [{**ROUTE, **changes}]}


@pytest.fixture
def site() -> Iterator[None]:
    configure()
    urls = ModuleType("test_urls")
    urls.__dict__["urlpatterns"] = [path("p", address)]
    hosts = ["testserver", "shop.example"]
    with override_settings(
        ALLOWED_HOSTS=hosts, CACHEMW=config(), MIDDLEWARE=[CACHE], ROOT_URLCONF=urls
    ):
        yield


def sync_get(**defaults: Any) -> Get:
    return Client(**defaults).get


def async_get(**defaults: Any) -> Get:
    return async_to_sync(AsyncClient(**defaults).get)


both_clients = pytest.mark.parametrize("getter", [sync_get, async_get])


def status(response: Any) -> str:
    return str(response["Cache-Status"])


@both_clients
def test_the_test_clients_are_served_from_the_cache_as_they_are(site: None, getter: Any) -> None:
    get = getter()
    assert "uri-miss; stored" in status(get("/p"))
    again = get("/p")
    assert "; hit" in status(again)
    assert again.content == b"testserver testserver"


def test_a_test_client_that_names_its_host_has_an_entry_of_its_own(site: None) -> None:
    sync_get()("/p")
    named = sync_get(headers={"host": "shop.example"})("/p")
    assert "stored" in status(named)
    assert named.content == b"shop.example shop.example"


def test_another_port_of_a_test_client_is_in_the_key(site: None) -> None:
    sync_get()("/p")
    other = sync_get()("/p", SERVER_PORT="8000")
    assert "stored" in status(other)
    assert other.content == b"testserver:8000 testserver:8000"
    assert "uri-miss; stored" in status(sync_get()("/p", secure=True))


def test_a_host_that_is_not_allowed_is_refused_as_without_the_cache(site: None) -> None:
    # Guard: `set_host` leaves the request as it is.
    with override_settings(ALLOWED_HOSTS=["shop.example"]):
        for _ in range(2):
            refused = sync_get()("/p")
            assert refused.status_code == 400
            assert "detail=host" in status(refused)


def test_a_request_of_a_server_without_a_host_still_bypasses(site: None) -> None:
    # Guard: only requests of the test clients get a Host. The key of others is never guessed.
    middleware = CacheMiddleware(address)
    for _ in range(2):
        response: Any = middleware(RequestFactory().get("/p"))
        assert "detail=host" in status(response)
        assert response.content == b"testserver None"


@both_clients
def test_overridden_settings_count_for_a_client_that_was_there_before(
    site: None, getter: Any
) -> None:
    # Guards: `_forget` switches the old cache off; `_changed` takes the new one.
    get = getter()
    get("/p")
    assert "; hit" in status(get("/p"))
    with override_settings(CACHEMW=config(ttl="3h")):
        assert "uri-miss; stored" in status(get("/p"))
        assert "hit; ttl=107" in status(get("/p"))
        with override_settings(CACHEMW={"routes": []}):
            assert "no-route" in status(get("/p"))
        assert "uri-miss; stored" in status(get("/p"))
    assert "uri-miss; stored" in status(get("/p"))
    assert "hit; ttl=5" in status(get("/p"))
    assert len(get_cache().memory) == 1


def test_a_setting_that_changes_the_key_counts_too(site: None) -> None:
    get = sync_get()
    get("/p")
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_SECURE", "yes")):
        assert "uri-miss; stored" in status(get("/p"))
        assert "uri-miss; stored" in status(get("/p", headers={"x-secure": "yes"}))


def test_a_wrong_setting_leaves_the_application_as_without_the_cache(site: None) -> None:
    get = sync_get()
    get("/p")
    with override_settings(CACHEMW={"routes": [{"path": "no slash", "ttl": "60s"}]}):
        assert "Cache-Status" not in get("/p")
    assert "stored" in status(get("/p"))
