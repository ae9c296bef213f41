"""A refresh is a request of Django's own: its signals once, its threads and connections, its prefix."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse

from cachemw.testing import FakeClock

from . import conftest
from .django_site import CACHE, DOORS, Site, open_site

PROJECT = "tests.unit.django.test_refreshes"

pytestmark = pytest.mark.usefixtures("own_clock")


@contextmanager
def opened(views: dict[str, Any], door: tuple[str, list[str]], **further: Any) -> Iterator[Site]:
    interface, middleware = door
    options: dict[str, Any] = {"cookies": [], "stale_while_revalidate": "1h", **further}
    with open_site(views, interface=interface, middleware=middleware, **options) as site:
        yield site


def refresh(site: Site, clock: FakeClock, target: str = "/p", **further: Any) -> None:
    """Let the answer go stale, ask for it, and wait for the refresh that this sets off."""
    clock.advance(61)
    reply = site.get(target, **further)
    assert reply.hit, reply
    site.server.until(site.idle)


class Signals:
    """What Django's signals say, each with the thread in which it was sent."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int]] = []

    def note(self, name: str) -> Callable[..., None]:
        return lambda **_: self.all.append((name, threading.get_ident()))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]


@pytest.fixture
def signals() -> Iterator[Signals]:
    found = Signals()
    started, finished = found.note("started"), found.note("finished")
    request_started.connect(started, weak=False)
    request_finished.connect(finished, weak=False)
    try:
        yield found
    finally:
        request_started.disconnect(started)
        request_finished.disconnect(finished)


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


AFTERWARDS: dict[str, Callable[[HttpRequest], Any]] = {
    "a page": lambda request: HttpResponse("new"),
    "a stream": lambda request: StreamingHttpResponse(iter([b"n", b"ew"])),
    "an error": fail,
    "a status": lambda request: HttpResponse("busy", status=503),
}


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("raising", [False, True], ids=["handled", "raised"])
def test_a_refresh_sends_each_signal_once(
    door: Any, afterwards: str, raising: bool, signals: Signals, clock: FakeClock
) -> None:
    # Guards: `_arefresh_of` sends `request_started`; `stood_in` moves the clean-up of what it replaces.
    threads: list[int] = []
    answers = [AFTERWARDS["a page"], AFTERWARDS[afterwards]]

    def view(request: HttpRequest) -> Any:
        threads.append(threading.get_ident())
        return answers.pop(0)(request)

    settings = {"DEBUG_PROPAGATE_EXCEPTIONS": raising}
    with opened({"/p": view}, door, stale_if_error="2h", settings=settings) as site:
        site.get("/p")
        clock.advance(61)
        signals.all.clear()
        site.get("/p")
        site.server.until(lambda: site.idle() and len(signals.all) == 4)
    assert len(threads) == 2
    assert sorted(signals.names) == ["finished", "finished", "started", "started"]
    of_refresh = [name for name, thread in signals.all if thread == threads[1]]
    assert of_refresh == ["started", "finished"]


@pytest.mark.parametrize("stale", [False, True], ids=["error first", "stale answer instead"])
def test_a_request_sends_each_signal_once(
    door: Any, stale: bool, signals: Signals, clock: FakeClock
) -> None:
    # Guard: `stood_in` moves the clean-up. Closing both responses would say it twice.
    statuses = [200, 503] if stale else [503, 200]
    with opened(
        {"/p": lambda request: HttpResponse("page", status=statuses.pop(0))},
        door,
        stale_while_revalidate="0s",
        stale_if_error="1h",
    ) as site:
        for _ in range(2):
            site.get("/p")
            clock.advance(61)
            assert signals.names == ["started", "finished"]
            signals.all.clear()


def test_the_connections_of_a_refresh_are_closed_when_it_ends(
    door: Any, goods: None, clock: FakeClock
) -> None:
    # Guard: both signals are sent in the thread in which the view runs.
    model = conftest.models().Product
    found: list[Any] = []
    threads: list[int] = []

    def note(connection: Any, **_: Any) -> None:
        found.append(connection)

    def view(request: HttpRequest) -> HttpResponse:
        threads.append(threading.get_ident())
        return HttpResponse(model.objects.get(pk=1).name)

    connection_created.connect(note)
    try:
        with opened({"/p": view}, door) as site:
            site.get("/p")
            for _ in range(3):
                refresh(site, clock)
                site.server.until(lambda: all(each.connection is None for each in found))
    finally:
        connection_created.disconnect(note)
    assert len(threads) == 4
    assert found


def test_a_refresh_has_the_mount_of_its_request(door: Any, clock: FakeClock) -> None:
    # Guard: `set_script_prefix` in cachemw.django.refreshes.
    said: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        said.append(reverse(view) + " " + request.path)
        return HttpResponse(said[-1])

    with opened({"/p": view}, door) as site:
        site.get("/p", mount="/shop")
        refresh(site, clock, mount="/shop")
        site.get("/p")
        refresh(site, clock)
    assert said == ["/shop/p /shop/p"] * 2 + ["/p /p"] * 2


@pytest.mark.parametrize("name", ["caf%C3%A9", "%E2%82%AC", "a%20b", "%41"])
def test_a_refresh_asks_for_the_same_path(door: Any, name: str, clock: FakeClock) -> None:
    # Guard: `copy_request` encodes again what META has decoded.
    said: list[str] = []

    def view(request: HttpRequest, name: str) -> HttpResponse:
        said.append(f"{name} {request.path} {request.get_full_path()}")
        return HttpResponse(said[-1])

    with opened({"/<name>": view}, door) as site:
        site.get(f"/{name}?q=%C3%A9")
        refresh(site, clock, f"/{name}?q=%C3%A9")
    assert len(said) == 2
    assert said[0] == said[1]


def adding(get_response: Any) -> Any:
    """Put into a request what a middleware outside puts there."""

    def answer(request: Any) -> Any:
        request.visitor = "ann"
        request.urlconf = OTHER
        return get_response(request)

    return answer


def visited(request: Any) -> HttpResponse:
    return HttpResponse(f"for {getattr(request, 'visitor', 'nobody')}")


OTHER = ModuleType("other_urls")
OTHER.__dict__["urlpatterns"] = [path("p", visited)]


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_a_refresh_does_not_see_what_was_put_into_the_request(
    interface: str, clock: FakeClock
) -> None:
    # Guard: `copy_request` makes a new request, which has only the URLconf of the old one.
    with opened({}, (interface, [f"{PROJECT}.adding", CACHE])) as site:
        assert site.get("/p").body == b"for ann"
        refresh(site, clock)
        assert site.get("/p").body == b"for nobody"


def test_a_refresh_does_not_see_what_was_put_into_the_scope(clock: FakeClock) -> None:
    # Guard: `_OF_SERVER` in cachemw.django.translate.
    seen: list[Any] = []

    def view(request: Any) -> HttpResponse:
        seen.append({name for name in ("state", "user", "session") if name in request.scope})
        return HttpResponse("page")

    scope = {"state": {"user": "ann"}, "user": "ann", "session": {"id": 1}}
    options: dict[str, Any] = {"scope": scope, "same_for_all_users": True}
    with opened({"/p": view}, DOORS["asgi"], **options) as site:
        site.get("/p")
        refresh(site, clock)
    assert seen == [{"state", "user", "session"}, set()]


@pytest.mark.parametrize("door", ["asgi", "asgi, synchronous middleware inside"], indirect=True)
def test_under_asgi_a_refresh_runs_in_the_servers_event_loop(door: Any, clock: FakeClock) -> None:
    # What an asynchronous view holds (a pool of connections) belongs to that loop.
    import asyncio

    loops: list[Any] = []

    async def view(request: HttpRequest) -> HttpResponse:
        loops.append(asyncio.get_running_loop())
        return HttpResponse("page")

    with opened({"/p": view}, door) as site:
        site.get("/p")
        refresh(site, clock)
    assert len(loops) == 2
    assert loops[0] is loops[1]


def test_under_asgi_a_refresh_has_a_thread_of_its_own_and_closes_its_request(
    clock: FakeClock,
) -> None:
    # Guards: `ThreadSensitiveContext`, so that no refresh waits for another's queries; `_finish`.
    threads: list[threading.Thread] = []
    requests: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        threads.append(threading.current_thread())
        requests.append(request)
        return HttpResponse("page")

    with opened({"/p": view}, DOORS["asgi"]) as site:
        site.get("/p")
        for _ in range(2):
            refresh(site, clock)
            site.server.until(lambda: requests[-1]._stream.closed)
    assert len(set(threads)) == 3
    assert all(each.daemon for each in threads[1:])  # one that hangs keeps no process from ending
