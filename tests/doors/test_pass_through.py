"""What is no plain HTTP answer passes through as it is: other scopes, other messages, background tasks."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import OpenDoor
from .doors import ASGI_APPS
from .language import Said, numbered
from .server_asgi import AsgiServer

pytestmark = pytest.mark.parametrize("kind", ASGI_APPS, indirect=True)

Message = dict[str, Any]

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
WITH_LENGTH: Message = {**START, "headers": [*START["headers"], (b"content-length", b"5")]}
BODY: Message = {"type": "http.response.body", "body": b"hello"}


def types(*messages: Message) -> list[str]:
    """Give the types of messages."""
    return [message["type"] for message in messages]


def test_a_websocket_passes_through(open_door: OpenDoor) -> None:
    door = open_door({"/p": numbered()})
    assert isinstance(door.server, AsgiServer)
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/echo",
        "raw_path": b"/echo",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"shop.example")],
        "subprotocols": [],
    }
    sent = door.server.converse(
        scope, [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    )
    assert types(*sent) == ["websocket.accept", "websocket.send", "websocket.close"]
    assert sent[1]["text"] == "echo hello"


def test_the_lifespan_reaches_the_application_and_starts_and_ends_the_cache(
    open_door: OpenDoor,
) -> None:
    door = open_door({"/p": numbered()})
    assert isinstance(door.server, AsgiServer)
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    sent = door.server.converse(
        scope, [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    )
    assert types(*sent) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert door.origin.life == ["startup", "shutdown"]


def test_a_scope_of_another_age_reaches_the_application(open_door: OpenDoor, kind: str) -> None:
    if kind != "asgi":
        pytest.skip("Starlette asserts that it knows the scope")
    door = open_door({"/p": numbered()})
    assert isinstance(door.server, AsgiServer)
    assert door.server.converse({"type": "telepathy"}, []) == [{"type": "telepathy.answered"}]


@pytest.mark.parametrize("start", [START, WITH_LENGTH], ids=["chunked", "length"])
def test_what_comes_before_the_start_goes_before_the_start(
    open_door: OpenDoor, start: Message
) -> None:
    early = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]}
    debug = {"type": "http.response.debug", "info": {"template": "x"}}
    door = open_door({"/p": lambda _: Said(messages=[early, debug, start, BODY])})
    assert door.get("/p").messages == types(early, debug, START, BODY)
    # The answer itself is an answer like any other.
    assert (door.get("/p").body, door.calls) == (b"hello", 1)


@pytest.mark.parametrize("start", [START, WITH_LENGTH], ids=["chunked", "length"])
def test_an_answer_with_trailers_is_relayed_and_not_kept(
    open_door: OpenDoor, start: Message
) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    messages = [{**start, "trailers": True}, BODY, trailers]
    door = open_door({"/p": lambda _: Said(messages=messages)})
    for calls in (1, 2):
        reply = door.get("/p")
        assert (reply.messages, reply.body) == (types(*messages), b"hello")
        assert (reply.complete, reply.calls) == (True, calls)
        assert "stored" not in (reply.field("cache-status") or "")
    assert door.idle()


PATH: Message = {"type": "http.response.pathsend", "path": "/dev/null"}
FILE: Message = {"type": "http.response.zerocopysend", "file": 3, "count": 5}


@pytest.mark.parametrize("start", [START, WITH_LENGTH], ids=["chunked", "length"])
@pytest.mark.parametrize(
    "body",
    [[PATH], [FILE], [{**FILE, "more_body": True}, BODY]],
    ids=["pathsend", "zerocopysend", "both"],
)
def test_a_body_that_is_no_bytes_is_relayed_and_not_kept(
    open_door: OpenDoor, start: Message, body: list[Message]
) -> None:
    # Guard: `_Relay.relay` stops keeping at a message that it does not know.
    door = open_door({"/p": lambda _: Said(messages=[start, *body])})
    for calls in (1, 2):
        reply = door.get("/p")
        assert (reply.messages, reply.calls) == (types(START, *body), calls)
    assert door.idle()


def test_a_start_is_not_held_back_without_need(open_door: OpenDoor) -> None:
    # A head that says nothing of its length goes out at once: a stream's client waits for it.
    order: list[str] = []

    def pieces() -> Any:
        order.append("made")
        yield b"one"

    door = open_door({"/p": lambda _: Said(body=pieces())})
    reply = door.get("/p", on_piece=lambda _: order.append("sent"))
    assert (order, reply.messages[0]) == (["made", "sent"], "http.response.start")


# -- background tasks ------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_background_task_runs_once_after_the_response(open_door: OpenDoor, streams: bool) -> None:
    order: list[str] = []

    def handler(_: object) -> Said:
        body = iter([b"one", b"two"]) if streams else b"onetwo"
        return Said(body=body, afterwards=lambda: order.append("task"))

    door = open_door({"/p": handler})
    door.get("/p", on_piece=lambda _: order.append("piece"))
    assert order == (["piece", "piece", "task"] if streams else ["piece", "task"])
    assert door.get("/p").hit
    assert order.count("task") == 1


def test_the_answer_is_stored_before_the_background_task_begins(open_door: OpenDoor) -> None:
    entries: list[int] = []
    door = open_door({"/p": numbered(afterwards=lambda: entries.append(len(door.cache.memory)))})
    door.get("/p")
    assert entries == [1]
    assert door.idle()


def test_a_background_task_that_fails_costs_nobody_the_answer(open_door: OpenDoor) -> None:
    def fail() -> None:
        raise RuntimeError("the task failed")

    door = open_door({"/p": numbered(afterwards=fail)}, stale_if_error="10m")
    reply = door.get("/p")
    assert (reply.status, reply.body, reply.complete) == (200, b"answer 1", True)
    assert "the task failed" in str(reply.error)
    assert (door.get("/p").body, door.calls, door.idle()) == (b"answer 1", 1, True)


def test_a_304_runs_the_background_task_too(open_door: OpenDoor) -> None:
    ran: list[int] = []
    door = open_door({"/p": numbered(afterwards=lambda: ran.append(1), headers=[("ETag", '"v1"')])})
    assert door.get("/p", {"If-None-Match": '"v1"'}).status == 304
    assert ran == [1]
