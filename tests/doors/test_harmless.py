"""A fault of the cache's own costs an answer its place in the cache, never the client its answer (I3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachemw.testing import FakeClock

from .conftest import OpenDoor
from .doors import Door
from .language import Said, numbered, streamed

Break = Callable[[Door, pytest.MonkeyPatch], None]


class Fault(Exception):
    """What the broken part raises."""


def fail(*args: Any, **further: Any) -> Any:
    raise Fault


def on(path: str) -> Break:
    """Break a part of the cache, named by its path from there."""
    *owners, name = path.split(".")

    def break_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        owner: Any = door.cache._core
        for each in owners:
            owner = getattr(owner, each)
        monkeypatch.setattr(owner, name, fail)

    return break_it


def of(path: str) -> Break:
    """Break a function where it is used."""
    return lambda door, monkeypatch: monkeypatch.setattr(path, fail)


PARTS: dict[str, Break] = {
    "matching": on("engine.router.match"),
    "keys": on("engine.keys.make"),
    "variants": on("engine.variants.values"),
    "memory get": on("engine.memory.get"),
    "memory put": on("engine.memory.put"),
    "floors position": on("engine.floors.current_position"),
    "floors judge": on("engine.floors.judge"),
    "flights": on("engine.flights.join_or_lead"),
    "uncacheable": on("engine.is_uncacheable"),
    "refusals": on("engine.refused"),
    "interning": on("engine.intern"),
    "following the log": on("log.start"),
    "plans": on("engine.memo.known"),
    "asking": of("cachemw.engine.flows.on_request.classify"),
    "screening": of("cachemw.engine.request.keying.bypass_reason"),
    "judging": of("cachemw.engine.keeping.storing.judge"),
    "Cache-Control": of("cachemw.engine.core.engine.effective_control"),
    "entity tags": of("cachemw.engine.keeping.storing.entity_tag"),
    "conditions": of("cachemw.engine.flows.on_response.not_modified"),
    "entries": of("cachemw.engine.keeping.storing.Entry"),
    "ages": of("cachemw.engine.lookup.rendering._age"),
    "counters": on("reporter.counters.record"),
    "spans": of("cachemw.telemetry.reporter.mark_server_span"),
    "request log": on("reporter.logs.request"),
}


@pytest.fixture(params=PARTS)
def broken(request: pytest.FixtureRequest) -> Break:
    return PARTS[request.param]


SENT: list[dict[str, str]] = [
    {},
    {"If-None-Match": '"no"'},
    {"Accept": "text/html"},
    {"Cookie": "u=1"},
    {"Range": "bytes=0-"},
]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_no_broken_part_breaks_a_request(
    open_door: OpenDoor, broken: Break, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = [("Vary", "Accept"), ("X-One", "1")]
    handler = (
        streamed(b"one", b"two", headers=fields)
        if streams
        else numbered(body=b"onetwo", headers=fields)
    )
    door = open_door({"/p/{n}": handler}, stale_while_revalidate="30s", stale_if_error="10m")
    door.get("/p/1")  # what is in memory before the fault
    broken(door, monkeypatch)
    for headers in SENT:
        for target in ("/p/1", "/p/1", "/p/2", "/p/2"):
            reply = door.get(target, headers)
            part = 206 if "Range" in headers and reply.status == 206 else 200
            assert (reply.status, reply.body, reply.error) == (part, b"onetwo", None)
            assert (reply.complete, reply.field("x-one")) == (True, "1")
    assert door.idle()


def test_no_broken_part_breaks_a_stale_answer(
    open_door: OpenDoor, broken: Break, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door({"/p": numbered(body=b"well")}, stale_while_revalidate="30s")
    door.get("/p")
    clock.advance(61)
    broken(door, monkeypatch)
    for _ in range(3):
        reply = door.get("/p")
        assert (reply.status, reply.body, reply.error) == (200, b"well", None)
        door.until(door.idle)


def test_no_broken_part_hides_the_applications_own_error(
    open_door: OpenDoor, broken: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(_: object) -> Said:
        raise RuntimeError("the application's own")

    door = open_door({"/p": handler}, stale_if_error="10m")
    broken(door, monkeypatch)
    for _ in range(2):
        reply = door.get("/p")
        assert reply.failed
        assert not isinstance(reply.error, Fault)
    assert door.calls == 2


def test_a_fault_is_told_of(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = open_door({"/p": numbered()})
    on("engine.router.match")(door, monkeypatch)
    assert door.get("/p").body == b"answer 1"
    assert "event=request_failed" in caplog.text


def test_a_key_whose_answer_could_not_be_kept_is_free(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door({"/p": numbered()})
    with monkeypatch.context() as patched:
        patched.setattr(door.cache._core.engine.memory, "put", fail)
        assert door.get("/p").body == b"answer 1"
        assert door.idle()
    assert [door.get("/p").body for _ in range(2)] == [b"answer 2"] * 2
