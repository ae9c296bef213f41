"""How Django runs the middleware, and what becomes of an error of the cache's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, SyncToAsync
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from cachemw.testing import FakeClock

from .django_site import CACHE, DOORS, open_site

SYNC = "tests.unit.django.django_site.sync_only"


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each change between threads and event loops."""
    found: list[str] = []
    for kind in (SyncToAsync, AsyncToSync):
        inner = kind.__call__

        def noting(self: Any, *args: Any, inner: Any = inner, **further: Any) -> Any:
            found.append(type(self).__name__)
            return inner(self, *args, **further)

        monkeypatch.setattr(kind, "__call__", noting)
    return found


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


async def apage(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


@pytest.mark.parametrize("view", [page, apage])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("without", "with_cache"),
    [([], [CACHE]), ([SYNC], [CACHE, SYNC]), ([SYNC], [SYNC, CACHE])],
    ids=["alone", "synchronous inside", "synchronous outside"],
)
def test_the_cache_adds_no_change_between_threads_and_loops(
    interface: str, view: Any, without: list[str], with_cache: list[str], changes: list[str]
) -> None:
    counts = []
    for middleware in (without, with_cache):
        with open_site({"/p": view}, interface=interface, middleware=middleware) as site:
            changes.clear()
            assert site.get("/p").body == b"page"
            counts.append(len(changes))
    assert counts[1] == counts[0]


async def apieces() -> AsyncIterator[bytes]:
    yield b"from the view"


FAULTS = {
    "reading META": "cachemw.django.middleware.seen_of",
    "making a response from memory": "cachemw.django.middleware.make_response",
    "rewriting the request": "cachemw.django.response_relay.rewrite_request",
    "reading the head": "cachemw.django.response_relay.head_of",
    "applying headers": "cachemw.django.response_relay.apply_answer",
    "wrapping a stream": "cachemw.django.response_relay.ResponseRelay._copy_stream",
}


def broken(*args: Any, **further: Any) -> Any:
    raise ZeroDivisionError("a fault of the cache")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_of_the_cache_gives_the_applications_answer(
    door: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: the `except` of `_from_memory`, `ResponseRelay.rewrite` and `ResponseRelay.respond`.
    def view(request: HttpRequest) -> Any:
        if fault == "wrapping a stream":
            return StreamingHttpResponse(apieces() if interface == "asgi" else [b"from the view"])
        return HttpResponse(b"from the view")

    interface, middleware = DOORS[door]
    with open_site({"/p": view}, interface=interface, middleware=middleware, cookies=[]) as site:
        if fault == "making a response from memory":
            site.get("/p")
        monkeypatch.setattr(FAULTS[fault], broken)
        for _ in range(2):
            reply = site.get("/p", {"Cookie": "a=1"})
            assert (reply.status, reply.body) == (200, b"from the view")
            assert site.idle()
        if fault == "rewriting the request":  # it saw cookies that are in no key
            assert len(site.cache.memory) == 0


@pytest.mark.parametrize("fault", ["cachemw.django.refreshes.copy_request", "response_of"])
@pytest.mark.usefixtures("own_clock")
def test_an_error_around_a_refresh_lets_its_flight_go(
    door: tuple[str, list[str]], fault: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guards: `_copied`, which raises in the refresh, and the `except` of `_reply`.
    interface, middleware = door
    with open_site(
        {"/p": page}, interface=interface, middleware=middleware, stale_while_revalidate="1h"
    ) as site:
        site.get("/p")
        clock.advance(61)
        with monkeypatch.context() as patch:
            patch.setattr(fault if "." in fault else f"cachemw.django.middleware.{fault}", broken)
            assert site.get("/p").body == b"page"
            site.server.until(site.idle)
        clock.advance(61)
        site.get("/p")
        site.server.until(site.idle)
        assert site.get("/p").hit


@pytest.mark.parametrize("streams", [False, True], ids=["page", "stream"])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")  # Django's, under ASGI
def test_nothing_of_a_response_that_is_asked_for_again_remains(
    door: tuple[str, list[str]], streams: bool
) -> None:
    # Guards: `ResponseRelay.start_again` restores the request, and does not close the response.
    seen: list[Any] = []
    finished: list[object] = []

    def note(**_: Any) -> None:
        finished.append(None)

    def view(request: HttpRequest) -> Any:
        own = request.COOKIES.get("sid")
        seen.append((own, getattr(request, "user", None), request.META.get("CSRF_COOKIE")))
        request.user = "nobody"  # type: ignore[assignment]
        request.META["CSRF_COOKIE"] = "new"
        request.body  # noqa: B018 - Django closes what it reads this from
        answer = StreamingHttpResponse(iter([b"he", b"llo"])) if streams else HttpResponse("hello")
        answer.set_cookie("sid", own or "new")
        return answer

    interface, middleware = door
    request_finished.connect(note)
    try:
        with open_site(
            {"/p": view}, interface=interface, middleware=middleware, cookies=[]
        ) as site:
            reply = site.get("/p", {"Cookie": "sid=ann"})
    finally:
        request_finished.disconnect(note)
    assert seen == [(None, None, None), ("ann", None, None)]
    assert (reply.body, reply.detail) == (b"hello", "cookie-conflict")
    assert (reply.field("set-cookie") or "").startswith("sid=ann")
    assert len(finished) == 1
