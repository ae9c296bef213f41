"""PEP 3333 from the other side: to the application the cache is a server, and keeps the same rules."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from cachemw import Cache
from cachemw.testing import FakeClock
from cachemw.wsgi import CacheMiddleware

from .apps_wsgi import bare
from .doors import Door
from .language import Call, Handler, Origin, numbered, streamed
from .server_wsgi import WsgiServer

ROUTE = {"path": "/p", "ttl": "60s", "stale_while_revalidate": "30s", "stale_if_error": "10m"}
App = Callable[..., Iterable[bytes]]


def behind(app: App, clock: FakeClock, origin: Origin) -> Door:
    """Put an application behind the cache as it is."""
    cache = Cache.from_dict({"routes": [ROUTE]}, clock=clock)
    return Door("wsgi", WsgiServer(CacheMiddleware(app, cache=cache)), origin, cache)


@pytest.mark.parametrize(
    "handler",
    [
        numbered(headers=[("ETag", '"v1"')]),
        streamed(b"one", b"two", headers=[("ETag", '"v1"')]),
        numbered(status=500),
        numbered(headers=[("Set-Cookie", "a=1")]),
    ],
    ids=["whole", "streamed", "error", "refused"],
)
def test_the_application_is_called_as_the_specification_says(
    handler: Handler, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = Origin({"/p": handler})
    door = behind(validator(bare(origin)), clock, origin)
    door.get("/p", {"If-None-Match": '"v1"'})
    door.get("/p", hang_up_after=1)
    for asked in ({}, {"method": "HEAD"}, {"headers": {"Range": "bytes=0-1"}}, {"body": b"x"}):
        assert door.get("/p?a=1", **asked).status in (200, 206, 500)
    clock.advance(61)
    door.get("/p?a=1")
    door.until(door.idle)
    door.cache.close()
    gc.collect()  # the validator complains of what was not closed when it is collected
    assert capsys.readouterr().err == ""


def test_the_legacy_write_goes_straight_through_and_is_not_kept(clock: FakeClock) -> None:
    calls: list[int] = []
    sent_by_then: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        calls.append(1)
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one ")
        write(b"two ")
        assert sent_by_then[-2:] == [b"one ", b"two "]
        return [b"three"]

    door = behind(app, clock, Origin({}))
    for count in (1, 2):
        assert door.get("/p", on_piece=sent_by_then.append).body == b"one two three"
        assert len(calls) == count
    assert door.idle()


def test_a_second_start_with_exc_info_replaces_a_head_that_is_not_out(clock: FakeClock) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-First", "1")])
        try:
            raise RuntimeError("too late")
        except RuntimeError as error:
            info = (type(error), error, error.__traceback__)
            start_response("500 Sorry", [("Content-Type", "text/plain")], info)
        return [b"sorry"]

    door = behind(app, clock, Origin({}))
    for _ in range(2):
        reply = door.get("/p")
        assert (reply.status, reply.body, reply.field("x-first")) == (500, b"sorry", None)
        assert not reply.hit


def test_a_head_may_come_with_the_first_piece(clock: FakeClock) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"late"

    door = behind(app, clock, Origin({}))
    assert [door.get("/p").hit for _ in range(2)] == [False, True]
    assert door.get("/p").body == b"late"


def test_what_is_not_kept_is_handed_to_the_server_as_it_is(clock: FakeClock) -> None:
    # So that a server finds its own wsgi.file_wrapper and can send the file without reading it.
    class File:
        """The server's own wrapper."""

        def __iter__(self) -> Iterator[bytes]:
            yield b"contents"

    file = File()
    taken: list[Iterable[bytes]] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return file

    door = behind(app, clock, Origin({}))

    def server(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.file_wrapper"] = File
        taken.append(CacheMiddleware(app, cache=door.cache)(environ, start_response))
        return taken[-1]

    WsgiServer(server).ask(Call(target="/unlisted"))
    assert taken == [file]
