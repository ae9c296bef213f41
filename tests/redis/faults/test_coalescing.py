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
from tests.support.waiting import until

from .coalescing import AsgiSite, Call, asgi_site, page, settings, wsgi_site

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
    # Guard: `join_or_lead` in `_coalesce`.
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
        assert site.cache._core.engine.flights.waiting == 0
        assert not site.cache._core.engine.flights.open

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
        if end == "raising":  # an answer that failed is not waited for: others ask, a few at a time
            assert isinstance(outcome, RuntimeError)
            assert site.calls <= 1 + site.cache.config.coalesce.alone
        else:  # one was promoted, and led the others
            assert isinstance(outcome, asyncio.CancelledError) == (end == "cancelled")
            assert {answer.body for answer in answers} == {b"call 2"}
            assert site.calls == 2
        assert site.cache._core.engine.flights.waiting == 0

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
        assert site.cache._core.engine.flights.waiting == 0

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
        assert site.cache._core.engine.flights.waiting == 0
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
            while timeouts() < 19:  # an answer before that would spare the last ones their wait
                await asyncio.sleep(0.01)
            return page(f"call {call.number}")

        def timeouts() -> int:
            return site.cache.stats().events["flight_timeouts"].get("", 0)

        site = asgi_site(application, wait="100ms", alone=19)
        crowd = site.start(*["en"] * 20)
        began = time.monotonic()
        await asyncio.gather(*crowd[1:])
        assert 0.1 <= time.monotonic() - began < 5.0
        assert not crowd[0].done()
        end.set()
        await crowd[0]
        assert timeouts() == 19

    run(main())


def test_of_those_whose_wait_is_over_few_go_at_a_time_and_one_answer_is_everybodys() -> None:
    # Guard: the room in `Flight._next`. All 50 would be in the application at once.
    async def main() -> None:
        end, one = asyncio.Event(), asyncio.Event()

        async def application(call: Call) -> Any:
            await (one if call.number == 3 else end).wait()
            return page(f"call {call.number}")

        site = asgi_site(application, wait="500ms", alone=4)
        leader, *crowd = site.start(*["en"] * 51)
        await site.waiting(46)
        assert site.calls == 5, "the leader, and four that went"
        one.set()
        done, others = await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        while len(others) > 3:
            more, others = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        assert {task.result().body for task in done} == {b"call 3"}
        assert (site.calls, site.cache._core.engine.flights.waiting, leader.done()) == (5, 0, False)
        end.set()
        await asyncio.gather(leader, *others)
        assert site.calls == 5

    run(main())


def test_whoever_is_cancelled_at_the_application_gives_its_place_to_the_next() -> None:
    # Guard: `finish` in the front door's `finally`.
    async def main() -> None:
        end = asyncio.Event()
        inside: list[asyncio.Task[Any]] = []

        async def application(call: Call) -> Any:
            task = asyncio.current_task()
            assert task is not None
            inside.append(task)
            await end.wait()
            return page(f"call {call.number}")

        site = asgi_site(application, wait="100ms", alone=2)
        crowd = site.start(*["en"] * 10)
        while site.calls < 3:
            await asyncio.sleep(0.002)
        for calls in range(4, 9):  # further waits are bounded too, so this must be quick
            inside[-1].cancel()
            while site.calls < calls:
                await asyncio.sleep(0)
        end.set()
        outcomes = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(isinstance(each, asyncio.CancelledError) for each in outcomes) == 5
        assert site.cache._core.engine.flights.waiting == 0
        assert not site.cache._core.engine.flights.open

    run(main())


def test_nobody_waits_for_longer_than_twice_as_long_whatever_hangs() -> None:
    # Guard: `further` in `Await` (I3): the leader and those who went never come back.
    async def main() -> None:
        async def application(call: Call) -> Any:
            if call.number <= 3:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            return page(f"call {call.number}")

        site = asgi_site(application, wait="200ms", alone=2)
        crowd = site.start(*["en"] * 20)
        began = time.monotonic()
        done: set[asyncio.Task[Any]] = set()
        while len(done) < 17:
            done, _ = await asyncio.wait(crowd, timeout=0.01)
        assert 0.4 <= time.monotonic() - began < 2.0
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    run(main())


def test_an_origin_that_fails_is_asked_by_few_at_a_time() -> None:
    # Guard: `fail` in `on_error`. Everybody is told of a failure of their own.
    async def main() -> None:
        inside = most = 0

        async def application(call: Call) -> Any:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            raise RuntimeError(f"call {call.number}")

        site = asgi_site(application, alone=3)
        outcomes = await asyncio.gather(*site.start(*["en"] * 100), return_exceptions=True)
        assert len({str(outcome) for outcome in outcomes}) == site.calls == 100
        assert most == 3
        assert not site.cache._core.engine.flights.open

    run(main())


def test_after_a_failure_requests_are_coalesced_again() -> None:
    async def main() -> None:
        ready = asyncio.Event()

        async def application(call: Call) -> Any:
            if call.number == 1:
                raise RuntimeError("a hiccup")
            await ready.wait()
            return page(f"call {call.number}")

        site = asgi_site(application)
        with pytest.raises(RuntimeError):
            await site.get()
        crowd = site.start(*["en"] * 50)
        await site.waiting(49)
        ready.set()
        assert {answer.body for answer in await asyncio.gather(*crowd)} == {b"call 2"}

    run(main())


def test_waiters_are_bounded_and_the_rest_go_alone() -> None:
    # Guard: `max_waiters` in `join_or_lead` (I4).
    async def main() -> None:
        first = asyncio.Event()

        async def application(call: Call) -> Any:
            await first.wait()
            return page(f"call {call.number}")

        site = asgi_site(application, max_waiters=10)
        crowd = site.start(*["en"] * 50)
        while site.calls < 40:
            await asyncio.sleep(0)
        assert site.cache._core.engine.flights.waiting == 10
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
        assert site.calls <= 1 + site.cache.config.coalesce.alone
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


def test_of_threads_whose_wait_is_over_few_go_at_a_time_and_one_answer_is_everybodys() -> None:
    end, one = threading.Event(), threading.Event()

    def application(call: Call) -> Any:
        assert (one if call.number == 3 else end).wait(PATIENCE)
        return [], [f"call {call.number}".encode()]

    site = wsgi_site(application, wait="500ms", alone=4)
    with ThreadPoolExecutor(THREADS + 1) as pool:
        crowd = list(site.crowd(pool, *["en"] * (THREADS + 1)))
        until(lambda: (site.calls, site.waiting) == (5, THREADS - 4))
        one.set()
        until(lambda: sum(each.done() for each in crowd) == THREADS - 3)
        assert {each.result().body for each in crowd if each.done()} == {b"call 3"}
        assert (site.calls, site.waiting) == (5, 0)
        end.set()
        for each in crowd:
            each.result(PATIENCE)
    assert site.calls == 5


def test_an_origin_that_fails_is_asked_by_few_threads_at_a_time() -> None:
    inside: list[int] = []
    most = [0]
    lock = threading.Lock()

    def application(call: Call) -> Any:
        with lock:
            inside.append(call.number)
            most[0] = max(most[0], len(inside))
        time.sleep(0.005)
        with lock:
            inside.remove(call.number)
        raise RuntimeError(f"call {call.number}")

    site = wsgi_site(application, alone=3)
    with ThreadPoolExecutor(THREADS) as pool:
        crowd = list(site.crowd(pool, *["en"] * THREADS))
        outcomes = {str(each.exception(PATIENCE)) for each in crowd}
    assert len(outcomes) == site.calls == THREADS
    assert most[0] <= 3
    assert not site.cache._core.engine.flights.open
