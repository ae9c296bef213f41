"""Bodies that no header announces: an answer made from one is not stored, and nobody else gets it (I7)."""

from __future__ import annotations

import asyncio
import threading
from io import StringIO
from typing import Any

import pytest

from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.frontdoor import request_body
from cachemw.wsgi import CacheMiddleware as WsgiMiddleware
from tests.support.calls import call_asgi, call_wsgi, scope_of

from .conftest import OpenDoor
from .doors import ASGI_APPS, MANY_FIELDS, Door
from .language import Asked, Call, Pairs, Reply, Said

GENERIC = MANY_FIELDS


def echo(asked: Asked) -> bytes:
    return b"body=" + asked.body


def ask(door: Door, body: bytes = b"", **further: Any) -> Reply:
    return door.ask(Call(**{"target": "/p", "body": body, "unannounced": True, **further}))


@pytest.mark.parametrize("kind", GENERIC, indirect=True)
@pytest.mark.parametrize("split", [0, 1], ids=["whole", "bytes"])
def test_an_answer_made_from_one_is_not_stored(open_door: OpenDoor, split: int) -> None:
    # Guard: `unkeyed_body` in cachemw.engine.request.keying.
    door = open_door({"/p": echo})
    for _ in range(2):
        evil = ask(door, b"evil", split=split)
        assert (evil.body, evil.detail) == (b"body=evil", "body")
    assert len(door.cache.memory) == 0
    assert [door.get("/p").body for _ in range(2)] == [b"body=", b"body="]
    assert door.calls == 3


@pytest.mark.parametrize("kind", GENERIC, indirect=True)
def test_it_is_not_answered_from_the_cache(open_door: OpenDoor) -> None:
    # Guards: `framed` in cachemw.asgi, `carries_body` in cachemw.wsgi.
    door = open_door({"/p": echo})
    door.get("/p")
    for _ in range(2):
        mine = ask(door, b"mine")
        assert (mine.body, mine.detail) == (b"body=mine", "body")
    assert door.get("/p").hit


@pytest.mark.parametrize("kind", GENERIC, indirect=True)
def test_a_request_without_one_is_cached_as_always(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo})
    assert [ask(door).hit for _ in range(3)] == [False, True, True]
    assert ask(door, method="HEAD").hit
    assert door.get("/p").hit
    assert door.cache.stats().by_label == {"miss": 1, "hit_memory": 4}


@pytest.mark.parametrize("kind", GENERIC, indirect=True)
def test_it_neither_leads_nor_follows(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p": lambda asked: Said(body=echo(asked), wait=gate)})
    calls = [
        Call(target="/p", body=b"evil", unannounced=True),
        Call(target="/p"),
        Call(target="/p", body=b"mine", unannounced=True),
        Call(target="/p"),
    ]
    replies = door.together(calls, when=door.waiting(1), then=gate.set)
    assert [reply.body for reply in replies] == [b"body=evil", b"body=", b"body=mine", b"body="]
    assert (door.calls, door.idle()) == (3, True)


@pytest.mark.parametrize("kind", GENERIC, indirect=True)
def test_it_is_neither_compared_nor_held_in_shadow(open_door: OpenDoor) -> None:
    door = open_door({"/p": echo}, name="it", settings={"route_flags": {"it": "shadow"}})
    for body in (b"evil", b"", b"mine", b""):
        assert ask(door, body).body == b"body=" + body
    assert door.cache.stats().by_label == {"pass": 2, "shadow_miss": 1, "shadow_hit": 1}


@pytest.mark.parametrize("kind", ASGI_APPS, indirect=True)
@pytest.mark.parametrize("lengths", [("0", "4"), ("4", "0"), ("0, 4",), ("0", "0, 4")], ids=str)
def test_of_several_lengths_any_may_be_believed(
    open_door: OpenDoor, lengths: tuple[str, ...]
) -> None:
    # Guard: `bypass_reason` in cachemw.engine.privacy.bypass looks at all of them.
    door = open_door({"/p": echo})
    headers: Pairs = [("content-length", length) for length in lengths]
    for _ in range(2):
        assert door.ask(Call(target="/p", headers=headers)).detail == "body"
    door.get("/p")
    assert door.ask(Call(target="/p", headers=headers)).detail == "body"


@pytest.mark.parametrize("kind", ASGI_APPS, indirect=True)
def test_a_server_that_hides_a_body_poisons_nothing(open_door: OpenDoor) -> None:
    """HTTP/1 has no such bodies. An adapter that makes one up is found out when the body is read."""
    # Guard: `_Watched` in cachemw.frontdoor.asgi_relay.
    gate = threading.Event()
    door = open_door({"/p": lambda asked: Said(body=echo(asked), wait=gate)}, name="it")
    gate.set()

    def hidden(body: bytes) -> Call:
        framing = [("content-length", "0")]  # which is no body to the rules for headers
        return Call(target="/p", body=body, headers=framing, hidden=True)

    assert door.ask(hidden(b"evil")).body == b"body=evil"
    assert len(door.cache.memory) == 0
    gate.clear()
    calls = [hidden(b"evil"), Call(target="/p"), Call(target="/p")]
    replies = door.together(calls, when=lambda: door.calls == 3, then=gate.set)
    assert [reply.body for reply in replies] == [b"body=evil", b"body=", b"body="]
    assert door.get("/p").hit
    assert door.cache.stats().refused["it"] == {"body": 2}


def test_a_request_whose_end_does_not_come_waits_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I3. The application gets what comes later."""
    monkeypatch.setattr(request_body, "_PATIENCE", 0.01)
    bodies: list[bytes] = []

    async def main() -> None:
        called, comes = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            called.set()
            bodies.append((await receive())["body"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def receive() -> Any:
            await comes.wait()
            return {"type": "http.request", "body": b"late", "more_body": False}

        async def send(message: Any) -> None: ...

        cache = Cache.from_dict({"routes": [{"path": "/p", "ttl": "60s", "cookies": []}]})
        wrapped = CacheMiddleware(app, cache=cache)
        asking = asyncio.create_task(
            wrapped({**scope_of("/p"), "http_version": "2"}, receive, send)
        )
        await called.wait()
        comes.set()
        await asking
        assert len(cache.memory) == 0
        await call_asgi(wrapped, "/p")
        assert len(cache.memory) == 1

    asyncio.run(main())
    assert bodies == [b"late", b""]


def test_a_body_that_cannot_be_looked_for_goes_past_a_hit() -> None:
    # Guard: `hit = None` in cachemw.wsgi, after an error.
    cache = Cache.from_dict({"routes": [{"path": "/p", "ttl": "60s"}]})
    answers = iter([b"1", b"2"])

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [next(answers)]

    app = WsgiMiddleware(application, cache)
    assert call_wsgi(app, "/p").body == b"1"
    wrong = {"wsgi.input": StringIO("mine"), "wsgi.input_terminated": True}
    assert call_wsgi(app, "/p", **wrong).body == b"2"
    assert call_wsgi(app, "/p").body == b"1"
    assert cache.stats().by_label == {"miss": 1, "error_bypass": 1, "hit_memory": 1}
