"""Reads before the cache's middleware, and transactions that began before it, count for the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from cachemw.django.recording import recorder
from tests.unit.django.conftest import CONFIG, models

pytestmark = pytest.mark.usefixtures("goods")

CACHE = "cachemw.django.CacheMiddleware"
Ask = Callable[[str], tuple[str, bool]]
meanwhile: list[Callable[[], Any]] = []
"""What happens between the read before the cache, and the cache."""


def shop() -> Any:
    return models().Shop.objects.get(pk=1)


def happen() -> None:
    while meanwhile:
        meanwhile.pop()()


def tenant(get_response: Any) -> Any:
    """Read the tenant of each request, in threads."""

    def answer(request: Any) -> Any:
        request.tenant = shop()
        happen()
        return get_response(request)

    return answer


def async_tenant(get_response: Any) -> Any:
    """Read the tenant of each request, in an event loop."""

    async def answer(request: Any) -> Any:
        request.tenant = await models().Shop.objects.aget(pk=1)
        await sync_to_async(happen)()
        return await get_response(request)

    return answer


async_tenant.sync_capable, async_tenant.async_capable = False, True  # type: ignore[attr-defined]


def in_transaction(get_response: Any) -> Any:
    """Open a transaction around each request, and read in it."""

    def answer(request: Any) -> Any:
        with transaction.atomic():
            models().Tag.objects.count()
            happen()
            return get_response(request)

    return answer


def show_tenant(request: Any) -> HttpResponse:
    return HttpResponse(request.tenant.name)


def show_shop(request: HttpRequest) -> HttpResponse:
    return HttpResponse(shop().name)


urlpatterns = [
    path("tenant", show_tenant),
    path("shop", show_shop),
    path("api/tenant", show_tenant),
]


@contextmanager
def site(*middleware: str, loops: bool = False, **config: Any) -> Iterator[Ask]:
    names = [*(f"{__name__}.{each}" for each in middleware), CACHE]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=names, CACHEMW={**CONFIG, **config}):
        client: Any = (AsyncClient if loops else Client)(headers={"host": "shop.example"})

        async def asked(url: str) -> Any:
            return await client.get(url)

        def ask(url: str) -> tuple[str, bool]:
            response = async_to_sync(asked)(url) if loops else client.get(url)
            return response.content.decode(), "; hit" in response.headers["Cache-Status"]

        yield ask


def rename(name: str, using: str = "default") -> None:
    models().Shop.objects.using(using).filter(pk=1).update(name=name)


WAYS = [("tenant", False), ("tenant", True), ("async_tenant", True), ("async_tenant", False)]


@pytest.mark.parametrize(("middleware", "loops"), WAYS)
def test_what_middleware_outside_has_read_is_part_of_the_answer(
    middleware: str, loops: bool
) -> None:
    with site(middleware, loops=loops) as ask:
        assert [ask("/tenant"), ask("/tenant")] == [("one", False), ("one", True)]
        rename("new")
        assert ask("/tenant") == ("new", False)


@pytest.mark.parametrize(("middleware", "loops"), WAYS)
def test_the_answer_is_as_old_as_the_first_read(middleware: str, loops: bool) -> None:
    """Fails where an entry has the position at which the cache's middleware came in."""
    with site(middleware, loops=loops) as ask:
        meanwhile.append(lambda: rename("new"))
        assert ask("/tenant") == ("one", False)
        assert ask("/tenant") == ("new", False)
        assert ask("/tenant") == ("new", True)


def test_nothing_is_recorded_where_the_cache_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachemw.django.recording.early_reads.Recording", None)
    with site() as ask:
        assert [ask("/shop"), ask("/shop")] == [("one", False), ("one", True)]


def test_what_is_not_listed_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a request that goes past the cache records what its view reads."""
    recorded: list[Any] = []
    with site("tenant", routes=[{"path": "/other", "ttl": "1h"}]) as ask:
        real = recorder.record

        def noting(recording: Any, observed: Any, *rest: Any) -> None:
            recorded.extend(each.table for each in observed.reads)
            real(recording, observed, *rest)

        monkeypatch.setattr(recorder, "record", noting)
        assert ask("/shop") == ("one", False)
    assert recorded == ["shop_shop"]  # for the tenant, and not again for the view


def test_an_answer_from_an_old_snapshot_is_not_kept_past_a_purge() -> None:
    """Fails where an entry counts as made when its request began, and not when its transaction did."""
    with connections["default"].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")  # so that one may write while another reads
    with site("in_transaction") as ask:
        meanwhile.append(lambda: rename("new", using="replica"))
        assert ask("/shop") == ("one", False)
        assert ask("/shop") == ("new", False)
        assert ask("/shop") == ("new", True)
