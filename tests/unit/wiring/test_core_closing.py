"""Closing a cache while something of it is under way: refreshes that hang, requests, writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from cachemw import Cache, asgi, wsgi
from cachemw.process.exit import CLOSE_WAIT
from tests.support.calls import call_asgi, call_wsgi
from tests.support.waiting import LIMIT, until

ROUTES = [{"name": "pages", "path": "/pages", "ttl": "1h", "stale_while_revalidate": "1h"}]
"""Soft purges make what is stored stale."""
Hang = Callable[[], Awaitable[None]]


def make() -> Cache:
    return Cache.from_dict({"routes": ROUTES})


def stale(cache: Cache) -> None:
    cache.purge(everything=True, soft=True)


async def for_ever() -> None:
    await asyncio.Event().wait()


released = threading.Event()


async def deaf() -> None:
    """Hang, and ignore that the task is cancelled."""
    while not released.is_set():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.005)


async def in_a_thread() -> None:
    """Hang in a thread, as a synchronous view does."""
    await asyncio.to_thread(released.wait, LIMIT)


class Application:
    """Answers at once the first time, and hangs after that."""

    def __init__(self, hang: Hang) -> None:
        self.calls = 0
        self._hang = hang

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        if self.calls > 1:
            await self._hang()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})


@pytest.mark.parametrize("hang", [for_ever, in_a_thread, deaf])
def test_a_refresh_that_hangs_in_an_event_loop_is_cancelled_or_left(hang: Hang) -> None:
    # Guard: `Tasks.end` cancels refreshes, and waits only a moment for them.
    released.clear()

    async def main() -> None:
        cache = make()
        application = Application(hang)
        door = asgi.CacheMiddleware(application, cache)
        await call_asgi(door, "/pages")
        stale(cache)
        await call_asgi(door, "/pages")
        while application.calls < 2:
            await asyncio.sleep(0.001)
        began = time.monotonic()
        await cache.aclose()
        assert time.monotonic() - began < CLOSE_WAIT
        if hang is not deaf:
            assert not cache._core.engine.flights.open  # whoever asks next may lead again
        released.set()
        await cache._core.tasks.drain(LIMIT)

    asyncio.run(main())


def test_a_refresh_that_hangs_in_a_thread_is_left() -> None:
    # Guard: refreshes are submitted as calls that may be dropped.
    begun, go_on, calls = threading.Event(), threading.Event(), list[int]()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(1)
        if len(calls) > 1:
            begun.set()
            go_on.wait(LIMIT)
        start_response("200 OK", [])
        return [b"page"]

    cache = make()
    door = wsgi.CacheMiddleware(application, cache)
    call_wsgi(door, "/pages")
    stale(cache)
    call_wsgi(door, "/pages")
    assert begun.wait(LIMIT)
    began = time.monotonic()
    cache.close()
    assert time.monotonic() - began < CLOSE_WAIT
    go_on.set()
    until(lambda: not cache._core.engine.flights.open)


def test_a_write_under_way_is_waited_for() -> None:
    # Guard: `Tasks.end` waits for what may not be dropped.
    async def main() -> None:
        cache, written = make(), list[int]()

        async def write() -> None:
            await asyncio.sleep(0.05)
            written.append(1)

        cache._core.tasks.spawn(write())
        await cache.aclose()
        assert written == [1]

    asyncio.run(main())


def test_closing_does_not_block_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        cache, go_on = make(), threading.Event()
        went_on = list[bool]()

        def slowly(until: float) -> None:
            went_on.append(go_on.wait(LIMIT))

        monkeypatch.setattr(cache.log, "finish", slowly)
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        await cache.aclose()
        assert went_on == [True]

    asyncio.run(main())


def test_closing_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Guard: as Python shuts down, none can be started.
    finished = list[float]()

    async def main() -> None:
        cache = make()
        monkeypatch.setattr(cache.log, "finish", finished.append)

        def no_thread(*_: Any) -> None:
            raise RuntimeError("cannot schedule new futures after shutdown")

        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", no_thread)
        await cache.aclose()

    asyncio.run(main())
    assert len(finished) == 1


def test_a_request_under_way_is_answered_while_its_cache_closes_twice() -> None:
    async def main() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def application(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            await go_on.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"page"})

        cache = make()
        door = asgi.CacheMiddleware(application, cache)
        asking = asyncio.ensure_future(call_asgi(door, "/pages"))
        await begun.wait()
        await asyncio.gather(cache.aclose(), cache.aclose())
        go_on.set()
        assert (await asking).body == b"page"
        assert (await call_asgi(door, "/pages")).body == b"page"

    asyncio.run(main())
