"""Asynchronous streams in every way in which Django runs the cache, and what ends their calls."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from cachemw.testing import FakeClock
from tests.support.waiting import until

from .django_site import CACHE, INSIDE, OUTSIDE, open_site

ASYNC_PIECES = (b"one", "two", memoryview(b"three"))

pytestmark = pytest.mark.usefixtures("own_clock")


async def pieces(*, broken: bool = False) -> AsyncIterator[Any]:
    for piece in ASYNC_PIECES:
        yield piece
    if broken:
        raise RuntimeError("the stream broke")


def streaming(**further: Any) -> Any:
    return lambda request: StreamingHttpResponse(pieces(**further), headers={"X-Own": "1"})


async def astreaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(pieces())


@pytest.mark.parametrize("view", [streaming(), astreaming], ids=["sync view", "async view"])
def test_an_asynchronous_stream_is_relayed_and_stored(door: Any, view: Any) -> None:
    # Guard: `asyncio.current_task` raises in a thread without an event loop; see `_end_with_task`.
    interface, middleware = door
    with (
        warnings.catch_warnings(),
        open_site({"/p": view}, interface=interface, middleware=middleware) as site,
    ):
        if interface == "wsgi":  # Django's own, with or without the cache
            warnings.filterwarnings("ignore", "StreamingHttpResponse must consume async")
        replies = [site.get("/p") for _ in range(2)]
        assert [reply.body for reply in replies] == [b"onetwothree"] * 2
        assert [reply.hit for reply in replies] == [False, True]
        assert site.idle()


def test_django_warns_of_an_asynchronous_stream_under_wsgi_as_without_the_cache() -> None:
    expected = pytest.warns(Warning, match="must consume asynchronous iterators")
    with open_site({"/p": streaming()}) as site, expected:
        site.get("/p")


def test_a_synchronous_stream_under_asgi_is_relayed_and_stored() -> None:
    view: Any = lambda request: StreamingHttpResponse(iter([b"one", b"two"]))  # noqa: E731
    with (
        warnings.catch_warnings(),
        open_site({"/p": view}, interface="asgi") as site,
    ):
        warnings.filterwarnings("ignore", "StreamingHttpResponse must consume sync")
        assert [site.get("/p").body for _ in range(2)] == [b"onetwo"] * 2
        assert site.get("/p").hit


def test_a_broken_asynchronous_stream_is_not_stored_and_frees_its_key(door: Any) -> None:
    interface, middleware = door
    with (
        warnings.catch_warnings(),
        open_site(
            {"/p": streaming(broken=True)}, interface=interface, middleware=middleware
        ) as site,
    ):
        warnings.simplefilter("ignore")
        if interface == "wsgi":  # the validator of wsgiref wants no error this early
            site.server.app = WSGIHandler()
        reply = site.get("/p")
        assert reply.failed or not reply.complete
        assert (len(site.cache.memory), site.idle()) == (0, True)


@pytest.mark.parametrize("middleware", [[CACHE], OUTSIDE], ids=["cache alone", "sync outside"])
def test_a_client_that_leaves_an_asynchronous_stream_frees_its_key(
    middleware: list[str],
) -> None:
    # Guard: `_end_with_task` of the task that sends.
    with open_site({"/p": astreaming}, interface="asgi", middleware=middleware) as site:
        site.get("/p", hang_up_after=1, hang_up="send")
        gc.collect()
        until(site.idle)
        assert len(site.cache.memory) == 0


def test_a_client_that_leaves_before_the_head_frees_its_key() -> None:
    # Guard: `_end_with_task` of the task that made the response. Garbage may be collected much later.
    with open_site({"/p": astreaming}, interface="asgi") as site:
        server: Any = site.server
        inner = server.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def gone(message: Any) -> None:
                raise OSError("the client is gone")

            await inner(scope, receive, gone)

        server.app = app
        gc.disable()
        try:
            assert isinstance(site.get("/p").error, OSError)
            assert site.idle()
        finally:
            gc.enable()


def dropping(get_response: Any) -> Any:
    """Send another response than what comes from inside, and close neither stream nor response."""

    def answer(request: HttpRequest) -> HttpResponse:
        get_response(request)
        return HttpResponse("another")

    return answer


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_stream_that_a_middleware_outside_drops_frees_its_key(interface: str) -> None:
    # Guard: `__del__`, with `finish_elsewhere` of the exchange.
    middleware = [f"{__name__}.dropping", CACHE]
    view: Any = lambda request: StreamingHttpResponse(iter([b"one"]))  # noqa: E731
    with open_site({"/p": view}, interface=interface, middleware=middleware) as site:
        assert site.get("/p").body == b"another"
        gc.collect()
        until(site.idle)
        assert len(site.cache.memory) == 0


@pytest.mark.parametrize("door_name", ["wsgi", "asgi"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_time_ends_with_the_last_byte(
    door_name: str, asynchronous: bool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `_copy` and `_acopy` finish when the body has ended, before the response is closed.
    def view(request: HttpRequest) -> StreamingHttpResponse:
        body: Any = pieces() if asynchronous else iter([b"one"])
        response: Any = StreamingHttpResponse(body)
        response._resource_closers.insert(0, lambda: clock.advance(5))
        return response

    ended: list[float] = []
    with (
        warnings.catch_warnings(),
        open_site({"/p": view}, interface=door_name) as site,
    ):
        warnings.simplefilter("ignore")
        finish = site.cache._core.reporter.finish

        def noting(*args: Any, **further: Any) -> None:
            ended.append(clock.monotonic())
            finish(*args, **further)

        monkeypatch.setattr(
            type(site.cache._core.reporter), "finish", lambda self, *args, **kw: noting(*args, **kw)
        )
        began = clock.monotonic()
        site.get("/p")
    assert ended == [began]
    assert clock.monotonic() == began + 5


@pytest.mark.parametrize("middleware", [[CACHE], INSIDE, OUTSIDE], ids=["cache", "in", "out"])
def test_a_stream_that_catches_its_cancellation_is_half(
    middleware: list[str],
) -> None:
    # Guard: `Exchange.complete` asks whether its task is being cancelled. Django cancels the task that
    # sends when the client has left, and a generator that catches this ends as if it were whole.
    async def half() -> AsyncIterator[bytes]:
        yield b"one"
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(half())

    with open_site({"/p": view}, interface="asgi", middleware=middleware) as site:
        site.get("/p", hang_up_after=1, hang_up="receive")
        site.server.until(site.idle)
        assert len(site.cache.memory) == 0
