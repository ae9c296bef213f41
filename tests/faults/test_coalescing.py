"""A thousand ask for one page at once: one call when it can be shared, no queue when it cannot,
and nobody hangs, whatever becomes of the one who leads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachemw import Cache
from cachemw.testing import RedisServer

from .coalescing import AsgiSite, Call, asgi_site, page, settings, wsgi_site
from .kit import until

CROWD = 1000
THREADS = 50
PATIENCE = 30.0
"""Seconds after which a test that hangs is taken for one that hangs for ever."""


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await main

    asyncio.run(bounded())


# -- event loops -----------------------------------------------------------------------------------


def test_a_thousand_waiters_cost_one_call() -> None:
    # Guard: `board` in `_together`.
    async def main() -> None:
        ready = asyncio.Event()

        async def application(call: Call) -> Any:
            await ready.wait()
            return page(f"made by call {call.number}")

        site = asgi_site(application)
        crowd = site.start(*["en"] * CROWD)
        await site.waiting(CROWD - 1)
        ready.set()
        answers = await asyncio.gather(*crowd)
        assert site.calls == 1
        assert {answer.body for answer in answers} == {b"made by call 1"}
        assert site.cache.engine.flights.waiting == 0
        assert not site.cache.engine.flights.open

    run(main())


def test_one_call_also_with_a_shared_tier(own_redis_server: RedisServer) -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def application(call: Call) -> Any:
            await ready.wait()
            return page("shared")

        config = {**settings(), "redis": {"url": own_redis_server.url, "deadline": "2s"}}
        site = AsgiSite(application, Cache.from_dict(config))
        site.cache.start()
        while not site.cache.log.live:  # an answer begun before would belong to no life of the log
            await asyncio.sleep(0.002)
        crowd = site.start(*["en"] * CROWD)
        await site.waiting(CROWD - 1)
        ready.set()
        answers = await asyncio.gather(*crowd)
        assert (site.calls, len(answers)) == (1, CROWD)
        await site.cache.aclose()

    run(main())


@pytest.mark.parametrize(
    "field",
    [("Cache-Control", "no-store"), ("Cache-Control", "private"), ("Set-Cookie", "a=b")],
    ids=["no-store", "private", "set-cookie"],
)
def test_what_cannot_be_shared_is_never_queued_for(field: tuple[str, str]) -> None:
    # Guard: `refuse` releases the flight, and remembers the key. The barriers open only when every
    # request is inside the application at the same time.
    async def main() -> None:
        first = asyncio.Event()
        together = [asyncio.Barrier(CROWD - 1), asyncio.Barrier(CROWD)]

        async def application(call: Call) -> Any:
            if call.number == 1:
                await first.wait()
            else:
                await together[call.number > CROWD].wait()
            return page(f"call {call.number}", field)

        site = asgi_site(application)
        crowd = site.start(*["en"] * CROWD)
        await site.waiting(CROWD - 1)
        first.set()
        answers = await asyncio.gather(*crowd)
        answers += await asyncio.gather(*site.start(*["en"] * CROWD))
        assert len({answer.body for answer in answers}) == site.calls == 2 * CROWD

    run(main())


def test_who_cannot_share_lets_go_as_soon_as_the_head_says_so() -> None:
    # Guard: the head is judged when it comes, not when the body has ended.
    async def main() -> None:
        end = asyncio.Event()

        async def application(call: Call) -> Any:
            if call.number > 1:
                return page("another")
            headers = [(b"cache-control", b"no-store")]
            await call.send({"type": "http.response.start", "status": 200, "headers": headers})
            await call.send({"type": "http.response.body", "body": b"one ", "more_body": True})
            await end.wait()
            await call.send({"type": "http.response.body", "body": b"end"})
            return None

        site = asgi_site(application)
        leader, *followers = site.start("en", "en", "en")
        answers = await asyncio.gather(*followers)
        assert {answer.body for answer in answers} == {b"another"}
        assert not leader.done()
        end.set()
        assert (await leader).body == b"one end"

    run(main())


def test_what_varies_is_shared_within_its_variant_only() -> None:
    # Guard: `_shared_answer` compares the selecting fields of the leader's answer with the request.
    languages = [f"l{number}" for number in range(10)]

    async def main() -> None:
        ready = asyncio.Event()

        async def application(call: Call) -> Any:
            await ready.wait()
            await asyncio.sleep(0)
            return page(f"in {call.language}", ("Vary", "Accept-Language"))

        site = asgi_site(application)
        crowd = site.start(*languages * (CROWD // 10))
        await site.waiting(CROWD - 1)
        ready.set()
        answers = await asyncio.gather(*crowd)
        wanted = [f"in {language}".encode() for language in languages * (CROWD // 10)]
        assert [answer.body for answer in answers] == wanted
        assert site.calls == len(languages)

    run(main())


LEADERS = ("cancelled", "disconnected", "raising", "breaking off")


@pytest.mark.parametrize("end", LEADERS)
def test_a_leader_that_fails_takes_nobody_along(end: str) -> None:
    # Guards: `finish` in the front door's `finally`, and `abandon` promoting a follower.
    async def main() -> None:
        failing, gone = asyncio.Event(), asyncio.Event()

        async def application(call: Call) -> Any:
            if call.number > 1:
                return page(f"call {call.number}")
            headers = [(b"content-length", b"100")]
            if end == "cancelled":
                await asyncio.Event().wait()
            elif end == "disconnected":
                await call.send({"type": "http.response.start", "status": 200, "headers": headers})
                await call.receive()  # as frameworks do, this one gives up when the client is gone
            elif end == "breaking off":
                await failing.wait()
                await call.send({"type": "http.response.start", "status": 200, "headers": headers})
                part = {"type": "http.response.body", "body": b"some", "more_body": True}
                await call.send(part)
            else:
                await failing.wait()
                raise RuntimeError("the application's own")
            return None

        site = asgi_site(application)
        leader = asyncio.ensure_future(site.get(gone=gone))
        await asyncio.sleep(0)
        followers = site.start(*["en"] * 99)
        await site.waiting(99)
        gone.set()
        failing.set()
        if end == "cancelled":
            leader.cancel()
        answers = await asyncio.gather(*followers)
        outcome = (await asyncio.gather(leader, return_exceptions=True))[0]
        assert {answer.status for answer in answers} == {200}
        if end == "raising":  # an answer that failed is not waited for: everyone asks
            assert isinstance(outcome, RuntimeError)
            assert site.calls == 100
        else:  # one was promoted, and led the others
            assert isinstance(outcome, asyncio.CancelledError) == (end == "cancelled")
            assert {answer.body for answer in answers} == {b"call 2"}
            assert site.calls == 2
        assert site.cache.engine.flights.waiting == 0

    run(main())


def test_when_everybody_fails_everybody_is_told() -> None:
    async def main() -> None:
        async def application(call: Call) -> Any:
            await asyncio.sleep(0)
            raise RuntimeError(f"call {call.number}")

        site = asgi_site(application)
        outcomes = await asyncio.gather(*site.start(*["en"] * 100), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {RuntimeError}
        assert len({str(outcome) for outcome in outcomes}) == 100

    run(main())


def test_the_lead_passes_on_until_somebody_lives_to_take_it() -> None:
    # Guard: a follower that is promoted and then cancelled abandons in turn.
    async def main() -> None:
        async def application(call: Call) -> Any:
            if call.number <= 10:
                await asyncio.Event().wait()
            return page(f"call {call.number}")

        site = asgi_site(application)
        crowd = site.start(*["en"] * 100)
        await site.waiting(99)
        for number in range(10):
            while site.calls <= number:
                await asyncio.sleep(0)
            crowd[number].cancel()
        crowd[10].cancel()  # the next in line, which has not been told yet
        answers = await asyncio.gather(*crowd[11:])
        assert {answer.body for answer in answers} == {b"call 11"}
        assert site.cache.engine.flights.waiting == 0

    run(main())


def test_followers_that_are_cancelled_give_up_their_places() -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def application(call: Call) -> Any:
            await ready.wait()
            return page("late")

        site = asgi_site(application)
        crowd = site.start(*["en"] * 100)
        await site.waiting(99)
        for follower in crowd[1:]:
            follower.cancel()
        await asyncio.gather(*crowd[1:], return_exceptions=True)
        assert site.cache.engine.flights.waiting == 0
        ready.set()
        assert (await crowd[0]).body == b"late"
        assert site.calls == 1

    run(main())


def test_a_follower_waits_no_longer_than_it_is_told_to() -> None:
    # Guard: the timeout of `Await`.
    async def main() -> None:
        end = asyncio.Event()

        async def application(call: Call) -> Any:
            if call.number == 1:
                await end.wait()
            return page(f"call {call.number}")

        site = asgi_site(application, wait="100ms")
        crowd = site.start(*["en"] * 20)
        began = time.monotonic()
        await asyncio.gather(*crowd[1:])
        assert 0.1 <= time.monotonic() - began < 5.0
        assert not crowd[0].done()
        end.set()
        await crowd[0]
        assert site.cache.stats().events["flight_timeouts"][""] == 19

    run(main())


def test_waiters_are_bounded_and_the_rest_go_alone() -> None:
    # Guard: `max_waiters` in `board` (I4).
    async def main() -> None:
        first = asyncio.Event()

        async def application(call: Call) -> Any:
            await first.wait()
            return page(f"call {call.number}")

        site = asgi_site(application, max_waiters=10)
        crowd = site.start(*["en"] * 50)
        while site.calls < 40:
            await asyncio.sleep(0)
        assert site.cache.engine.flights.waiting == 10
        first.set()
        answers = await asyncio.gather(*crowd)
        assert len(answers) == 50
        assert site.calls == 40

    run(main())


# -- threads ---------------------------------------------------------------------------------------


def test_fifty_threads_cost_one_call() -> None:
    ready = threading.Event()

    def application(call: Call) -> Any:
        assert ready.wait(PATIENCE)
        return [], [f"call {call.number}".encode()]

    site = wsgi_site(application)
    with ThreadPoolExecutor(THREADS) as pool:
        crowd = site.crowd(pool, *["en"] * THREADS)
        until(lambda: site.waiting == THREADS - 1)
        ready.set()
        assert {each.result(PATIENCE).body for each in crowd} == {b"call 1"}
    assert (site.calls, site.waiting) == (1, 0)


def test_fifty_threads_never_queue_for_what_cannot_be_shared() -> None:
    first = threading.Event()
    together = [threading.Barrier(THREADS - 1), threading.Barrier(THREADS)]

    def application(call: Call) -> Any:
        if call.number == 1:
            assert first.wait(PATIENCE)
        else:
            together[call.number > THREADS].wait(PATIENCE)
        return [("Set-Cookie", f"you={call.number}")], [b"yours"]

    site = wsgi_site(application)
    with ThreadPoolExecutor(THREADS) as pool:
        crowd = site.crowd(pool, *["en"] * THREADS)
        until(lambda: site.waiting == THREADS - 1)
        first.set()
        answers = [each.result(PATIENCE) for each in crowd]
        answers += [each.result(PATIENCE) for each in site.crowd(pool, *["en"] * THREADS)]
    assert len({answer.field(b"set-cookie") for answer in answers}) == site.calls == 2 * THREADS


def test_fifty_threads_share_a_variant_with_its_own_readers_only() -> None:
    ready = threading.Event()

    def application(call: Call) -> Any:
        assert ready.wait(PATIENCE)
        return [("Vary", "Accept-Language")], [f"in {call.language}".encode()]

    site = wsgi_site(application)
    languages = [f"l{number % 5}" for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        crowd = site.crowd(pool, *languages)
        until(lambda: site.waiting == THREADS - 1)
        ready.set()
        bodies = [each.result(PATIENCE).body for each in crowd]
    assert bodies == [f"in {language}".encode() for language in languages]
    assert site.calls == 5


@pytest.mark.parametrize("end", ["raising", "disconnected"])
def test_a_thread_that_fails_takes_nobody_along(end: str) -> None:
    # Guards: `finish` in `close()` of the body, which a server calls when its client is gone.
    failing = threading.Event()

    def application(call: Call) -> Any:
        if call.number > 1:
            return [], [f"call {call.number}".encode()]
        if end == "raising":
            assert failing.wait(PATIENCE)
            raise RuntimeError("the application's own")
        return [], iter([b"some", b"more"])

    site = wsgi_site(application)
    with ThreadPoolExecutor(THREADS) as pool:
        if end == "raising":
            leader = pool.submit(site.get)
            until(lambda: site.calls == 1)
        else:
            _, body = site.open()
            assert next(iter(body)) == b"some"
        crowd = list(site.crowd(pool, *["en"] * (THREADS - 1)))
        until(lambda: site.waiting == THREADS - 1)
        failing.set()
        if end == "raising":
            with pytest.raises(RuntimeError):
                leader.result(PATIENCE)
        else:
            body.close()
        bodies = {each.result(PATIENCE).body for each in crowd}
    if end == "raising":
        assert site.calls == THREADS
    else:
        assert (bodies, site.calls) == ({b"call 2"}, 2)
    assert site.waiting == 0


def test_a_thread_waits_no_longer_than_it_is_told_to() -> None:
    end = threading.Event()

    def application(call: Call) -> Any:
        if call.number == 1:
            assert end.wait(PATIENCE)
        return [], [f"call {call.number}".encode()]

    site = wsgi_site(application, wait="100ms")
    with ThreadPoolExecutor(THREADS) as pool:
        leader = pool.submit(site.get)
        until(lambda: site.calls == 1)
        began = time.monotonic()
        for each in list(site.crowd(pool, *["en"] * 10)):
            each.result(PATIENCE)
        assert 0.1 <= time.monotonic() - began < 5.0
        assert not leader.done()
        end.set()
        leader.result(PATIENCE)
