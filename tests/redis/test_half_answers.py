"""A leader whose client has left holds up no other process."""

from __future__ import annotations

import asyncio
from typing import Any

from cachemw.asgi import CacheMiddleware
from tests.support.caches import Caches
from tests.support.calls import call_asgi, scope_of

PATH = "/things/1"


def test_the_lease_is_given_back_when_the_application_learns_of_a_disconnect(
    caches: Caches,
) -> None:
    # Guard: `_settle` in `Exchange.spoil`. Without it the second process waits for the first one.
    async def main() -> None:
        waits, ends = asyncio.Event(), asyncio.Event()
        bodies = [b"half", b"whole"]

        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = bodies.pop(0)
            if body == b"half":
                waits.set()
                assert (await receive())["type"] == "http.disconnect"
                await ends.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None: ...

        options = {"coalesce": {"lease": "1m", "wait": "1m"}}
        one, other = (CacheMiddleware(app, cache=caches.make(**options)) for _ in range(2))
        leader = asyncio.create_task(one(scope_of(PATH), receive, send))
        await waits.wait()
        async with asyncio.timeout(20):
            assert (await call_asgi(other, PATH)).body == b"whole"
        assert not leader.done()
        ends.set()
        await leader

    asyncio.run(main())
