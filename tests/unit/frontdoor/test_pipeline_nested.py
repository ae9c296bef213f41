"""An application that asks itself: the outer answer takes the tags of the inner one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware

from cachemw import Cache, asgi, tag, wsgi
from cachemw.recording.context import Recording, current
from tests.support.caches import caches_over
from tests.support.calls import call_asgi, call_wsgi
from tests.support.waiting import until

CONFIG: dict[str, Any] = {"routes": [{"path": "/{name}", "ttl": "1h", "tags": ["named:{name}"]}]}


def answer(environ: Any, start_response: Any) -> list[bytes]:
    tag("read")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"part"]


async def aanswer(scope: Any, receive: Any, send: Any) -> None:
    tag("read")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part"})


async def got(app: Any) -> bytes:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
        return (await client.get("/part")).content


def tags_of(act: Callable[[], object]) -> set[str]:
    """Return what is recorded while something is done."""
    recording = Recording()
    with recording:
        act()
    return set(recording.close())


WANTED = {"read", "named:part", "@/part", "@shop.example/part"}


@pytest.mark.parametrize("stored", [False, True], ids=["miss", "hit"])
def test_a_client_in_process_brings_them(stored: bool) -> None:
    door = asgi.CacheMiddleware(aanswer, Cache.from_dict(CONFIG))
    if stored:
        asyncio.run(call_asgi(door, "/part"))
    assert tags_of(lambda: asyncio.run(got(door))) >= WANTED


@pytest.mark.parametrize("stored", [False, True], ids=["miss", "hit"])
def test_a_mounted_application_of_the_other_interface_brings_them(stored: bool) -> None:
    inner = wsgi.CacheMiddleware(answer, Cache.from_dict(CONFIG))
    outer = WSGIMiddleware(inner)
    if stored:
        call_wsgi(inner, "/part")
    assert tags_of(lambda: asyncio.run(got(outer))) >= WANTED


@pytest.mark.parametrize("stored", [False, True], ids=["miss", "hit"])
def test_so_does_one_that_runs_in_a_loop_of_its_own(stored: bool) -> None:
    inner = asgi.CacheMiddleware(aanswer, Cache.from_dict(CONFIG))
    if stored:
        asyncio.run(call_asgi(inner, "/part"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        outer = ASGIMiddleware(inner, loop=loop)
        assert tags_of(lambda: call_wsgi(outer, "/part")) >= WANTED
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_hit_in_redis_brings_them(redis_url: str) -> None:
    with caches_over(redis_url) as caches:
        first = wsgi.CacheMiddleware(answer, caches.make())
        second = wsgi.CacheMiddleware(answer, caches.make())
        call_wsgi(first, "/things/7")

        def ask() -> str:
            return call_wsgi(second, "/things/7").cache_status

        until(lambda: any(second.cache.inspection.shared()))
        found: list[str] = []
        assert tags_of(lambda: found.append(ask())) >= {"read", "thing:7"}
        assert "hit; " in found[0]
        assert "detail=shared" in found[0]


def test_who_waits_for_anothers_answer_gets_its_tags() -> None:
    cache = Cache.from_dict(CONFIG)
    go = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await aanswer(scope, receive, send)

    door = asgi.CacheMiddleware(slow, cache)

    async def follow(leader: asyncio.Task[Any]) -> set[str]:
        recording = Recording()
        with recording:
            follower = asyncio.create_task(call_asgi(door, "/part"))
        while cache._core.engine.flights.waiting != 1:
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(leader, follower)
        assert "collapsed" in follower.result().cache_status
        return set(recording.close())

    async def both() -> set[str]:
        leader = asyncio.create_task(call_asgi(door, "/part"))
        while not cache._core.engine.flights.open:
            await asyncio.sleep(0)
        return await follow(leader)

    assert asyncio.run(both()) >= WANTED


def test_two_caches_one_in_the_other_both_keep_them() -> None:
    inner, outer = Cache.from_dict(CONFIG), Cache.from_dict(CONFIG)
    app = wsgi.CacheMiddleware(wsgi.CacheMiddleware(answer, inner), outer)
    call_wsgi(app, "/part")
    for cache in (inner, outer):
        (entry,) = cache.inspection.memory()
        assert set(entry.tags) >= WANTED


def test_a_refresh_gives_nothing_to_the_answer_that_set_it_off() -> None:
    """That one is made from the stale answer, whose tags it has."""
    cache = Cache.from_dict({"routes": [{**CONFIG["routes"][0], "stale_while_revalidate": "1h"}]})
    calls: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        calls.append(current.get())
        tag(f"call:{len(calls)}")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"part"]

    door = wsgi.CacheMiddleware(app, cache)
    call_wsgi(door, "/part")
    cache.purge(tags=["call:1"], soft=True)
    recording = Recording()
    with recording:
        call_wsgi(door, "/part")
        until(lambda: len(calls) == 2 and not cache._core.engine.flights.open)
    assert recording.has_stale_part
    assert calls[1] is not recording
    noted = set(recording.close())
    assert "call:1" in noted
    assert "call:2" not in noted
