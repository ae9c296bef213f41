"""Habits of servers and frameworks: forms of headers, spellings of mounts, what comes after the last byte."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.process.tasks import Tasks
from cachemw.testing import FakeClock
from cachemw.wsgi import CacheMiddleware as WsgiMiddleware
from tests.support.calls import call_asgi, call_wsgi, scope_of

ROUTE = {"name": "p", "path": "/p", "ttl": "60s", "cookies": [], "stale_while_revalidate": "1h"}
FORMS: dict[str, Callable[[list[tuple[bytes, bytes]]], Any]] = {
    "lists": lambda pairs: [list(pair) for pair in pairs],
    "a tuple": tuple,
    "an iterator": iter,
    "bytearrays": lambda pairs: [(bytearray(name), bytearray(value)) for name, value in pairs],
    "memoryviews": lambda pairs: [(memoryview(name), memoryview(value)) for name, value in pairs],
    "values": lambda pairs: [(name, bytearray(value)) for name, value in pairs],
}


class Origin:
    """An application that numbers its answers, and keeps the scopes that it was given."""

    def __init__(self, *headers: Any) -> None:
        self.headers = headers
        self.scopes: list[Any] = []
        self.afterwards: Callable[[], object] = lambda: None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        body = b"%d" % len(self.scopes)
        head = {"type": "http.response.start", "status": 200, "headers": iter(self.headers)}
        await send(head)
        await send({"type": "http.response.body", "body": body})
        self.afterwards()


def cache_of(clock: FakeClock | None = None, **options: Any) -> Cache:
    return Cache.from_dict({"routes": [ROUTE], **options}, clock=clock)


async def ask(app: Any, **scope: Any) -> tuple[bytes, str]:
    """Ask for a path; give the body and Cache-Status."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({**scope_of("/p"), **scope}, receive, send)
    return messages[1]["body"], dict(messages[0]["headers"]).get(b"cache-status", b"").decode()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", [(b"accept", b"a/b"), (b"origin", b"https://x")], ids=str)
def test_header_pairs_may_have_any_form(
    form: str, field: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    # Guards: `plain`, `request_of`, and the pairs that `__call__` makes of watched headers.
    async def main() -> None:
        app = CacheMiddleware(origin := Origin((bytearray(b"X-One"), memoryview(b"1"))), cache_of())
        pairs = [(b"host", b"shop.example"), field]
        for _ in range(3):
            body, status = await ask(app, headers=FORMS[form](pairs))
            assert body == b"1"
        assert "detail=memory" in status
        assert {bytes(name): bytes(value) for name, value in origin.scopes[0]["headers"]} == dict(
            pairs
        )

    run(main())
    assert "failed" not in caplog.text


def test_two_hosts_are_never_answered_from_memory() -> None:
    # Guard: `has_one_host` in cachemw.asgi: an index by name hides the first of them.
    async def main() -> None:
        app = CacheMiddleware(Origin(), cache_of())
        one, other = (b"host", b"one.example"), (b"host", b"shop.example")
        await ask(app)
        assert "detail=host" in (await ask(app, headers=[one, other]))[1]
        again = [other, (b"x", b"1"), (b"x", b"2")]
        assert "hit" in (await ask(app, headers=again))[1]

    run(main())


@pytest.mark.parametrize("missing", ["headers", "query_string", "method"])
def test_a_scope_that_cannot_be_read_reaches_the_application(missing: str) -> None:
    """I3."""

    async def main() -> None:
        scope = {**scope_of("/p")}
        del scope[missing]
        origin = Origin()
        app = CacheMiddleware(origin, cache_of())

        async def nothing(message: Any = None) -> Any: ...

        await app(scope, nothing, nothing)
        assert len(origin.scopes) == 1

    run(main())


def test_an_environ_that_cannot_be_read_reaches_the_application() -> None:
    """I3."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"well"]

    wrapped = WsgiMiddleware(app, cache_of())
    assert call_wsgi(wrapped, "/p", HTTP_HOST=7).body == b"well"
    assert call_wsgi(wrapped, "/p", CONTENT_LENGTH=0).body == b"well"


def test_heads_that_cannot_be_read_go_out_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """I3."""
    sent: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Text", "\u2019")])
        return [b"well"]

    start: Any = lambda *head: sent.append(head)  # noqa: E731
    body = WsgiMiddleware(app, cache_of())(environ(), start)
    assert (b"".join(body), sent[0][:2]) == (b"well", ("200 OK", [("X-Text", "\u2019")]))

    async def main() -> None:
        cache = cache_of()
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def receive() -> Any: ...

        await CacheMiddleware(Origin(("x", "text")), cache)(scope_of("/p"), receive, send)
        assert messages[0]["headers"] == [("x", "text")]
        assert messages[1]["body"] == b"1"
        assert len(cache.memory) == 0

    run(main())
    assert caplog.text.count("event=head_failed") == 2


def environ() -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/p",
        "HTTP_HOST": "shop.example",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }


# -- refreshes -------------------------------------------------------------------------------------


def stale(cache: Cache, clock: FakeClock) -> None:
    clock.advance(61)
    assert not cache._core.engine.flights.open


def test_a_refresh_sees_the_state_of_the_lifespan_alone(clock: FakeClock) -> None:
    # Guard: `refresh_scope`.
    async def main() -> None:
        cache = cache_of(clock)
        app = CacheMiddleware(origin := Origin(), cache)
        lifespan = {"type": "lifespan", "state": {"pool": 1}}

        async def nothing(message: Any = None) -> Any: ...

        await app(lifespan, nothing, nothing)
        origin.scopes.clear()
        mine = {"state": {"pool": 1, "of": "ann"}, "extensions": {"tls": {"client": "ann"}}}
        await ask(app, **mine)
        stale(cache, clock)
        assert "stale" in (await ask(app, **mine))[1]
        while len(origin.scopes) < 2:
            await asyncio.sleep(0)
        refresh = origin.scopes[1]
        assert (refresh["state"], refresh["extensions"]) == ({"pool": 1}, {})
        refresh["state"]["later"] = 1
        assert lifespan["state"] == {"pool": 1}

    run(main())


def test_a_refresh_that_is_cancelled_before_it_begins_frees_its_key(clock: FakeClock) -> None:
    # Guard: `ended` of `Tasks.spawn`: such a task runs no `finally`.
    async def main() -> None:
        cache = cache_of(clock)
        app = CacheMiddleware(origin := Origin(), cache)
        await ask(app)
        stale(cache, clock)
        await ask(app)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as a loop does that ends with its request
        while cache._core.engine.flights.open:
            await asyncio.sleep(0)
        assert len(origin.scopes) == 1

    run(main())


@pytest.mark.parametrize("part", ["cachemw.asgi.refresh_scope", "cachemw.asgi.receive_body"])
def test_a_refresh_that_cannot_be_made_costs_no_answer(
    part: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Guard: `give_up_refresh` in `CacheMiddleware._reply`.
    def fail(*_: Any) -> Any:
        raise LookupError

    async def main() -> None:
        cache = cache_of(clock)
        app = CacheMiddleware(Origin(), cache)
        await ask(app)
        stale(cache, clock)
        with monkeypatch.context() as patched:
            patched.setattr(part, fail)
            assert (await ask(app))[0] == b"1"
        assert not cache._core.engine.flights.open
        with monkeypatch.context() as patched:
            patched.setattr(Tasks, "spawn", fail)
            assert (await ask(app))[0] == b"1"
        assert not cache._core.engine.flights.open

    run(main())


def test_a_refresh_that_cannot_be_made_costs_no_answer_under_wsgi(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise LookupError

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"well"]

    cache = cache_of(clock)
    wrapped = WsgiMiddleware(app, cache)
    call_wsgi(wrapped, "/p")
    for part in ("cachemw.wsgi._detached", "cachemw.process.threads.WorkerPool.submit"):
        clock.advance(61)
        with monkeypatch.context() as patched:
            patched.setattr(part, fail)
            assert call_wsgi(wrapped, "/p").body == b"well"
        assert not cache._core.engine.flights.open


# -- the last byte ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["on", "off"])
def test_what_follows_the_last_byte_is_no_part_of_the_request(clock: FakeClock, flag: str) -> None:
    # Guard: `exchange.finish` in `AsgiRelay._on_body`.
    async def main() -> None:
        cache = cache_of(clock, route_flags={"p": flag})
        origin = Origin()

        def fail() -> None:
            clock.advance(9)
            raise LookupError("a background task")

        origin.afterwards = fail
        with pytest.raises(LookupError):
            await ask(CacheMiddleware(origin, cache))
        check_quick(cache)

    run(main())


@pytest.mark.parametrize("flag", ["on", "off"])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_closing_is_no_part_of_the_request(clock: FakeClock, flag: str, streams: bool) -> None:
    # Guard: `sent` in `_Body`.
    class Body:
        def __init__(self) -> None:
            self._pieces = iter([b"one", b"two"])

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        def close(self) -> None:
            clock.advance(9)

    class Whole(list[bytes]):
        close = Body.close

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Body() if streams else Whole([b"onetwo"])

    cache = cache_of(clock, route_flags={"p": flag})
    assert call_wsgi(WsgiMiddleware(app, cache), "/p").body == b"onetwo"
    check_quick(cache)


@pytest.mark.parametrize("flag", ["on", "off"])
def test_a_stream_counts_to_its_last_byte(clock: FakeClock, flag: str) -> None:
    # Guard: `_Body` around a body that is only passed on: the control group's too.
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"one"
        clock.advance(9)
        yield b"two"

    cache = cache_of(clock, route_flags={"p": flag})
    call_wsgi(WsgiMiddleware(app, cache), "/p")
    assert seconds(cache) >= 9


def check_quick(cache: Cache) -> None:
    assert cache.stats().failures == {}
    assert seconds(cache) < 1


def seconds(cache: Cache) -> float:
    """Give the time that all requests together took."""
    durations = cache.stats().durations["p"]
    return sum(histogram.seconds for histogram in durations.values())


# -- streams and loops -----------------------------------------------------------------------------


@pytest.mark.parametrize("further", [(), ((b"content-length", b"9"),)], ids=["", "length"])
@pytest.mark.parametrize("kind", [b"text/event-stream", b"Text/Event-Stream; charset=utf-8"])
def test_nobody_waits_for_a_stream_of_events(
    kind: bytes, further: tuple[tuple[bytes, bytes], ...]
) -> None:
    # Guards: `is_endless` in cachemw.engine.keeping.storing, and where `AsgiRelay` holds a head.
    async def main() -> None:
        cache = cache_of(coalesce={"wait": "1m"})
        begun, ends = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            head = {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", kind), *further],
            }
            await send(head)
            if begun.is_set():
                ends.set()
            begun.set()
            await ends.wait()
            await send({"type": "http.response.body", "body": b"data: 1\n\n"})

        wrapped = CacheMiddleware(app, cache)
        async with asyncio.timeout(10):
            await asyncio.gather(*(call_asgi(wrapped, "/p") for _ in range(2)))
        assert cache.stats().refused["p"] == {"event-stream": 2}

    run(main())


def test_nobody_waits_for_a_stream_of_events_in_a_thread() -> None:
    # Guard: `WsgiRelay._is_endless`. The first event may be a long time off.
    cache = cache_of(coalesce={"wait": "1m"})
    begun, ends = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        if begun.is_set():
            ends.set()
        begun.set()
        return events()

    def events() -> Iterator[bytes]:
        assert ends.wait(10)
        yield b"data: 1\n\n"

    wrapped = WsgiMiddleware(app, cache)
    with ThreadPoolExecutor() as pool:
        bodies = [pool.submit(call_wsgi, wrapped, "/p").result for _ in range(2)]
        assert [body().body for body in bodies] == [b"data: 1\n\n"] * 2
    assert cache.stats().refused["p"] == {"event-stream": 2}


@pytest.mark.parametrize("further", [(), ((b"content-length", b"9"),)], ids=["", "length"])
def test_a_stream_that_is_dropped_ends_at_its_head(
    further: tuple[tuple[bytes, bytes], ...],
) -> None:
    """I3: its first event may never come. Guard: `AsgiRelay._on_start` raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        own = any(name == b"cookie" for name, _ in scope["headers"])
        kind = (b"content-type", b"text/plain" if own else b"text/event-stream")
        headers = [kind] if own else [kind, (b"set-cookie", b"sid=new"), *further]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not own:
            await asyncio.Event().wait()
        await send({"type": "http.response.body", "body": b"own"})

    async def main() -> None:
        wrapped = CacheMiddleware(app, cache := cache_of())
        async with asyncio.timeout(10):
            asked = scope_of("/p", (b"cookie", b"sid=ann"))
            assert (await ask(wrapped, **asked))[0] == b"own"
        assert not cache._core.engine.flights.open

    run(main())


def test_another_event_loop_goes_past_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    # Guard: `can_run` in `Pipeline.adecide`. Driven by hand, as a loop that is not asyncio's does it.
    cache = cache_of()
    app = CacheMiddleware(Origin(), cache)
    for number in (b"1", b"2"):
        call = ask(app)
        with pytest.raises(StopIteration) as ended:
            call.send(None)
        assert ended.value.value == (number, "cachemw; fwd=bypass; detail=event-loop")
    call = ask(app, method="PUT")  # which may change what other processes have
    with pytest.raises(StopIteration):
        call.send(None)
    assert cache.stats().events["purge"] == {"change": 1}
    assert caplog.text.count("event=loop_unsupported") == 1
    assert "failed" not in caplog.text
