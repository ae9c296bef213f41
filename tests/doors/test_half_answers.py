"""Answers that may be half: an application may end its body early once it knows that the client has left.

What it says after that is neither stored nor shared, also if it looks whole (I7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.testing import FakeClock
from tests.support.calls import Response, scope_of

from .language import PATIENCE

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Coroutine[Any, Any, None]]

WHOLE = b"one two"
HALF = b"one"


class Client:
    """One client, which leaves when it is told to."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self._app = app
        self._scope = {**scope_of("/p"), **scope}
        self._received = False
        self.leaves = asyncio.Event()
        self.messages: list[Message] = []

    async def receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.messages.append(message)

    async def ask(self) -> Response:
        async with asyncio.timeout(PATIENCE):
            await self._app(self._scope, self.receive, self.send)
        start, *pieces = self.messages
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Response(start["status"], headers, b"".join(each["body"] for each in pieces))


class Origin:
    """An application that ends its first answer early when it learns that the client has left."""

    def __init__(
        self, *headers: tuple[bytes, bytes], status: int = 200, before_head: bool = False
    ) -> None:
        self.calls = 0
        self.headers = list(headers)
        self.status = status
        self.before_head = before_head
        """Whether it learns of it before it has sent the head."""
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.calls += 1
        await receive()
        if self.calls > 1:
            await self._say(send, 200, [(b"etag", b'"v2"')], WHOLE)
            return
        if self.before_head:
            await self._learn(receive)
            await self._say(send, self.status, self.headers, HALF)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": HALF, "more_body": True})
        await self._learn(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _learn(self, receive: Receive) -> None:
        self.waits.set()
        assert (await receive())["type"] == "http.disconnect"
        await self.goes_on.wait()

    async def _say(self, send: Send, status: int, headers: Any, body: bytes) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def cache_of(clock: FakeClock | None = None, **options: Any) -> Cache:
    route = {"name": "p", "path": "/p", "ttl": "60s", "cookies": [], **options.pop("route", {})}
    return Cache.from_dict({"routes": [route], **options}, clock=clock)


async def leave(client: Client, origin: Origin) -> Response:
    """Ask, and leave as soon as the application waits for that."""
    asking = asyncio.create_task(client.ask())
    await origin.waits.wait()
    client.leaves.set()
    return await asking


@pytest.mark.parametrize("before_head", [False, True], ids=["in the body", "before the head"])
@pytest.mark.parametrize("fields", [(), ((b"content-length", b"3"),)], ids=["", "length"])
def test_what_is_said_after_a_disconnect_is_not_stored(
    before_head: bool, fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    # Guards: `_Watched` in cachemw.frontdoor.asgi_relay, `spoilt` in `judge_head`.
    async def main() -> None:
        cache = cache_of()
        origin = Origin(*fields, before_head=before_head)
        app = CacheMiddleware(origin, cache=cache)
        half = await leave(Client(app), origin)
        assert half.body == HALF
        assert "stored" not in half.headers["cache-status"]
        replies = [await Client(app).ask() for _ in range(2)]
        assert [reply.body for reply in replies] == [WHOLE, WHOLE]
        assert "hit" in replies[1].cache_status
        assert cache.stats().refused == {"p": {"incomplete": 1}}

    asyncio.run(main())


@pytest.mark.parametrize("before_head", [False, True], ids=["in the body", "before the head"])
def test_a_follower_leads_as_soon_as_the_leader_has_learned_of_it(before_head: bool) -> None:
    # Guard: `fetch.abandon` in `spoil`: at once, not when the application has ended.
    async def main() -> None:
        cache = cache_of(coalesce={"wait": "1m"})
        origin = Origin(before_head=before_head)
        origin.goes_on.clear()
        app = CacheMiddleware(origin, cache=cache)
        leader = Client(app)
        asking = asyncio.create_task(leader.ask())
        await origin.waits.wait()
        following = [asyncio.create_task(Client(app).ask()) for _ in range(3)]
        while cache._core.engine.flights.waiting < 3:
            await asyncio.sleep(0)
        leader.leaves.set()
        replies = await asyncio.gather(*following)
        assert not asking.done()
        assert [reply.body for reply in replies] == [WHOLE] * 3
        assert origin.calls == 2
        origin.goes_on.set()
        await asking
        assert "hit" in (await Client(app).ask()).cache_status

    asyncio.run(main())


def test_it_says_nothing_of_the_next_answer() -> None:
    # Guard: `fetch.spoilt is None` in `refuse`: nobody would wait for anybody for a while.
    async def main() -> None:
        cache = cache_of()
        origin = Origin(before_head=True)
        app = CacheMiddleware(origin, cache=cache)
        await leave(Client(app), origin)
        assert (await Client(app).ask()).cache_status == "cachemw; fwd=uri-miss"

    asyncio.run(main())


def test_a_304_after_it_renews_nothing(clock: FakeClock) -> None:
    async def main() -> None:
        cache = cache_of(clock)
        origin = Origin(status=304, before_head=True)
        app = CacheMiddleware(origin, cache=cache)
        origin.calls = 1
        assert (await Client(app).ask()).body == WHOLE
        clock.advance(61)
        origin.calls = 0
        given = await leave(Client(app), origin)  # the answer that is current now, once
        assert (given.status, given.body) == (200, WHOLE)
        assert "hit" not in (await Client(app).ask()).cache_status

    asyncio.run(main())


def test_a_head_after_it_neither_freshens_nor_removes_an_entry(clock: FakeClock) -> None:
    # Guard: `spoilt` in `by_head`.
    async def main() -> None:
        for etag in (b'"v2"', b'"other"'):
            cache = cache_of(clock)
            origin = Origin((b"etag", etag), before_head=True)
            app = CacheMiddleware(origin, cache=cache)
            origin.calls = 1
            await Client(app).ask()
            clock.advance(61)
            origin.calls = 0
            await leave(Client(app, method="HEAD"), origin)
            assert len(cache.memory) == 1
            assert cache.stats().events["stored"] == {"": 1}

    asyncio.run(main())


def test_it_is_not_compared_in_shadow() -> None:
    # Guard: `spoilt` in `start_shadowing`, and `Exchange.spoil` for what is being collected.
    async def main(before_head: bool) -> None:
        cache = cache_of(route_flags={"p": "shadow"})
        origin = Origin(before_head=before_head)
        app = CacheMiddleware(origin, cache=cache)
        origin.calls = 1
        await Client(app).ask()
        origin.calls = 0
        assert (await leave(Client(app), origin)).body == HALF
        assert "shadow_mismatch" not in cache.stats().by_label

    for before_head in (False, True):
        asyncio.run(main(before_head))


def test_what_was_whole_before_stays_stored() -> None:
    """Servers answer `receive` with a disconnect once the response is complete."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": WHOLE})
        assert (await receive())["type"] == "http.disconnect"

    async def main() -> None:
        cache = cache_of()
        wrapped = CacheMiddleware(app, cache=cache)
        for status in ("cachemw; fwd=uri-miss", "cachemw; hit; ttl=59; detail=memory"):
            client = Client(wrapped)
            client.leaves.set()
            assert (await client.ask()).cache_status == status

    asyncio.run(main())


def test_a_body_that_ends_because_its_task_was_cancelled_is_not_stored() -> None:
    # Guard: `_is_cancelled` in `Exchange.complete`, and in `decide` where the body is known as a whole.
    async def main(*headers: tuple[bytes, bytes]) -> None:
        waits = asyncio.Event()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            body = WHOLE
            if not waits.is_set():
                waits.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    body = HALF
            await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
            await send({"type": "http.response.body", "body": body})

        cache = cache_of()
        wrapped = CacheMiddleware(app, cache=cache)
        asking = asyncio.create_task(Client(wrapped).ask())
        await waits.wait()
        asking.cancel()
        assert (await asking).body == HALF
        assert (await Client(wrapped).ask()).body == WHOLE

    asyncio.run(main())
    asyncio.run(main((b"content-length", b"3")))
