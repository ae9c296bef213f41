"""Bodies that come in pieces: never held up, kept only when whole, and always closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from .conftest import OpenDoor
from .language import Asked, Call, Handler, Piece, Said, numbered, streamed

CLOSING = ("wsgi", "flask", "django-sync", "django-async")
"""Where a response has a `close`."""
ALWAYS_CLOSING = ("wsgi", "flask", "django-sync")
"""Where it is called in any case: Django's ASGI handler leaves it out when sending failed."""


def noting(produced: list[bytes], *pieces: bytes) -> Iterator[bytes]:
    """Yield pieces, each noted as it is made."""
    for piece in pieces:
        produced.append(piece)
        yield piece


def breaking(*pieces: Piece) -> Iterator[Piece]:
    """Yield pieces and then break."""
    yield from pieces
    raise RuntimeError("the stream broke")


@pytest.mark.parametrize("fields", [[], [("Content-Length", "11")]], ids=["chunked", "length"])
def test_a_piece_reaches_the_client_before_the_next_is_made(
    open_door: OpenDoor, fields: list[tuple[str, str]]
) -> None:
    produced: list[bytes] = []
    made_by_then: list[int] = []

    def handler(asked: Asked) -> Said:
        return Said(body=noting(produced, b"one", b"two", b"three"), headers=fields)

    door = open_door({"/p": handler})
    door.get("/p", on_piece=lambda piece: made_by_then.append(len(produced)))
    assert made_by_then == [1, 2, 3]
    assert (door.get("/p").body, door.calls) == (b"onetwothree", 1)


def test_an_entry_is_there_when_the_client_has_the_last_byte(open_door: OpenDoor) -> None:
    # Guard: the memory tier is written before the last piece goes out.
    entries: list[int] = []
    fields = [("Content-Length", "6")]
    door = open_door({"/p": lambda _: Said(body=iter([b"one", b"two"]), headers=fields)})
    door.get("/p", on_piece=lambda piece: entries.append(len(door.cache.memory)))
    assert entries[0] == 0
    assert (door.get("/p").hit, door.calls) == (True, 1)


@pytest.mark.parametrize(
    "handler",
    [
        numbered(body=b"x" * 1001),
        streamed(b"x" * 600, b"x" * 401),
        streamed(b"x" * 600, b"x" * 401, headers=[("Content-Length", "1001")]),
    ],
    ids=["whole", "streamed", "with its length"],
)
def test_a_body_over_the_cap_is_relayed_whole_and_not_kept(
    open_door: OpenDoor, handler: Handler
) -> None:
    door = open_door({"/p": handler}, max_size=1000)
    reply = door.get("/p")
    assert (len(reply.body), reply.complete) == (1001, True)
    assert len(door.cache.memory) == 0
    assert door.idle()


def test_a_body_of_exactly_the_cap_is_kept(open_door: OpenDoor) -> None:
    door = open_door({"/p": lambda _: Said(body=iter([b"x" * 600, b"x" * 400]))}, max_size=1000)
    assert [len(door.get("/p").body) for _ in range(2)] == [1000, 1000]
    assert door.calls == 1


@pytest.mark.parametrize("stated", ["5", "500", "nine", "", "99999999999999999999999999"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_a_content_length_that_lies_is_not_stored(
    open_door: OpenDoor, stated: str, pieces: int
) -> None:
    body = [b"123456789"] if pieces == 1 else [b"123", b"456", b"789"]
    door = open_door({"/p": lambda _: Said(body=iter(body), headers=[("Content-Length", stated)])})
    replies = [door.get("/p") for _ in range(2)]
    assert [reply.body for reply in replies] == [b"123456789"] * 2
    assert (door.calls, len(door.cache.memory), door.idle()) == (2, 0, True)


@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_stream_that_breaks_is_not_stored_and_frees_its_key(
    open_door: OpenDoor, sent: int
) -> None:
    bodies = [breaking(*[b"piece"] * sent), iter([b"well"])]
    door = open_door({"/p": lambda _: Said(body=bodies.pop(0))})
    broken = door.get("/p")
    assert broken.failed or not broken.complete
    assert (len(door.cache.memory), door.idle()) == (0, True)
    assert [door.get("/p").body for _ in range(2)] == [b"well", b"well"]
    assert door.calls == 2


def test_those_who_wait_for_a_stream_that_breaks_are_answered(open_door: OpenDoor) -> None:
    gate = threading.Event()
    bodies: list[Iterator[Piece]] = [breaking(b"one", gate)]

    def handler(asked: Asked) -> Said:
        return Said(body=bodies.pop(0) if bodies else iter([b"well"]))

    door = open_door({"/p": handler})
    calls = [Call(target="/p") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    assert sorted(reply.body for reply in replies) == [b"one", b"well", b"well", b"well"]
    assert door.idle()


def test_a_client_that_goes_away_stores_nothing_and_frees_its_key(open_door: OpenDoor) -> None:
    made: list[bytes] = []
    door = open_door({"/p/{n}": lambda _: Said(body=noting(made, b"one", b"two", b"three"))})
    for how in door.hang_ups:
        made.clear()
        door.get(f"/p/{how}", hang_up_after=1, hang_up=how)
        door.until(door.idle)
        # An application that did not notice has said everything, and then all of it may be kept.
        unnoticed = how in ("receive", "cancel") and len(made) == 3
        calls = door.calls
        assert door.get(f"/p/{how}").body == b"onetwothree"
        assert door.calls == calls + 1 or unnoticed


def test_those_who_wait_for_a_client_that_goes_away_are_answered(open_door: OpenDoor) -> None:
    gate = threading.Event()
    door = open_door({"/p/{n}": lambda _: Said(body=iter([gate, b"one", b"two"]))})
    for how in door.hang_ups:
        gate.clear()
        leaver = Call(target=f"/p/{how}", hang_up_after=1, hang_up=how)
        calls = [leaver, *[Call(target=f"/p/{how}") for _ in range(3)]]
        before = door.calls
        replies = door.together(calls, when=door.waiting(3), then=gate.set)
        assert all(reply.body == b"onetwo" for reply in replies if reply.complete)
        assert sum(reply.complete for reply in replies) >= 3
        assert door.calls <= before + 2
        assert door.idle()


# -- close -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLOSING, indirect=True)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "HEAD"},
        {"method": "POST"},
        {"headers": {"If-None-Match": "*"}},
        {"headers": {"Cookie": "u=1"}},
        {"headers": {"Range": "bytes=0-1"}},
    ],
    ids=["kept", "HEAD", "POST", "304", "cookie", "passed"],
)
def test_a_response_is_closed_exactly_once(
    open_door: OpenDoor, streams: bool, asked: dict[str, object]
) -> None:
    closed: list[int] = []

    def handler(_: Asked) -> Said:
        body = iter([b"one", b"two"]) if streams else b"onetwo"
        return Said(body=body, closed=lambda: closed.append(1), headers=[("ETag", '"v1"')])

    door = open_door({"/p": handler})
    door.get("/p", **asked)
    door.get("/p")
    assert len(closed) == door.calls


@pytest.mark.parametrize("kind", ALWAYS_CLOSING, indirect=True)
@pytest.mark.parametrize("left", [True, False], ids=["client gone", "broken"])
def test_a_response_that_is_not_sent_whole_is_closed_exactly_once(
    open_door: OpenDoor, left: bool
) -> None:
    closed: list[int] = []
    pieces = iter([b"one", b"two"]) if left else breaking(b"one")
    door = open_door({"/p": lambda _: Said(body=pieces, closed=lambda: closed.append(1))})
    reply = door.get("/p", hang_up_after=1 if left else None, hang_up="close")
    assert (reply.complete, closed) == (False, [1])


def test_a_stream_that_broke_says_nothing_of_the_next_answer(open_door: OpenDoor) -> None:
    # Guard: `fail` in `Exchange.fail`. After a `refuse` nobody would wait for anybody for a while.
    gate = threading.Event()

    def handler(asked: Asked) -> Said:
        return Said(body=breaking(b"one") if door.calls == 1 else b"whole", wait=gate)

    door = open_door({"/p": handler})
    gate.set()
    assert not door.get("/p").complete
    gate.clear()
    calls = [Call(target="/p") for _ in range(4)]
    replies = door.together(calls, when=door.waiting(3), then=gate.set)
    assert ([reply.body for reply in replies], door.calls) == ([b"whole"] * 4, 2)
