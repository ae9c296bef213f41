"""Outer middleware that knows who is asking (I1): requests bypass, unless the route says otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections import UserDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.utils.decorators import sync_and_async_middleware
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware as StarletteSessions

from cachemw import Cache
from cachemw.asgi import CacheMiddleware
from cachemw.django import get_cache
from tests.support.calls import call_asgi

from . import apps_asgi, apps_django, identities
from .doors import Door
from .language import Handler, Origin, numbered
from .outside import ENVIRON_DOORS, SCOPE_DOORS, opened_behind
from .server_asgi import AsgiServer
from .server_wsgi import WsgiServer

IDENTITY = f"{identities.__name__}:principal"


def opened(
    kind: str, found: str, config: dict[str, Any], handlers: dict[str, Handler] | None = None
) -> AbstractContextManager[Door]:
    """Open a door behind middleware that hands on, under a name, whom the header `X-As` names."""

    def put(request: dict[str, Any], who: str | None) -> None:
        if kind in ENVIRON_DOORS:
            place, name = request, found
        else:
            request["state"] = {"lifespan": 1}
            where, _, name = found.rpartition(".")
            place = request[where] if where else request
        if who is not None:
            place[name] = {"user": who}

    return opened_behind(put, kind, handlers or {"/p": numbered()}, config)


def of(**options: Any) -> dict[str, Any]:
    return {"routes": [{"path": "/p", "ttl": "60s", "cookies": [], **options}]}


PLACES = [
    *((kind, name) for kind in SCOPE_DOORS for name in ("session", "user", "auth", "state.user")),
    *(
        (kind, name)
        for kind in ENVIRON_DOORS
        for name in ("beaker.session", "repoze.who.identity", "werkzeug.session", "user")
    ),
]
ONE_PLACE = [
    *((kind, "user") for kind in SCOPE_DOORS),
    *((kind, "beaker.session") for kind in ENVIRON_DOORS),
]


@pytest.mark.parametrize(("kind", "found"), PLACES)
def test_who_is_known_outside_bypasses_and_others_do_not(kind: str, found: str) -> None:
    # Guard: `_misplaced` in cachemw.engine.request.keying.
    with opened(kind, found, of()) as door:
        ann = [door.get("/p", {"X-As": "ann"}) for _ in range(2)]
        assert [reply.calls for reply in ann] == [1, 2]
        assert [reply.detail for reply in ann] == ["outer-identity"] * 2
        assert [door.get("/p").calls for _ in range(2)] == [3, 3]
        # Nor do they get what memory has for nobody.
        assert door.get("/p", {"X-As": "ann"}).calls == 4
        assert door.get("/p").hit


@pytest.mark.parametrize(("kind", "found"), ONE_PLACE)
def test_a_route_may_say_that_all_users_get_the_same(kind: str, found: str) -> None:
    with opened(kind, found, of(same_for_all_users=True)) as door:
        sent = [{"X-As": "ann"}, {"X-As": "bob"}, {}, {"X-As": "ann"}]
        assert [door.get("/p", headers).calls for headers in sent] == [1, 1, 1, 1]
        # What a client says itself still counts.
        assert door.get("/p", {"X-As": "ann", "X-API-Key": "1"}).calls == 2


@pytest.mark.parametrize(("kind", "found"), ONE_PLACE)
def test_a_route_with_an_identity_knows_who_is_asking(kind: str, found: str) -> None:
    with opened(kind, found, of(identity=IDENTITY)) as door:
        users = ("ann", "bob", "ann")
        assert [door.get("/p", {"X-As": u, "X-User": u}).calls for u in users] == [1, 2, 2]


@pytest.mark.parametrize(("kind", "found"), ONE_PLACE)
def test_each_bypass_is_counted_and_one_is_warned_of(
    kind: str, found: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cachemw.faults"), opened(kind, found, of()) as door:
        for _ in range(3):
            door.get("/p", {"X-As": "ann"})
        door.get("/elsewhere", {"X-As": "ann"})
        events = door.cache.stats().events["outer_identity"]
    assert sum(events.values()) == 3
    (warning,) = [r for r in caplog.records if "event=outer_identity" in r.getMessage()]
    assert found in warning.cachemw["found"]  # type: ignore[attr-defined]
    assert "outermost" in warning.getMessage()


@pytest.mark.parametrize(("kind", "found"), ONE_PLACE)
@pytest.mark.parametrize("settings", [{"flags": {"high": "shadow"}}, {"holdout": 0.2}])
def test_it_is_a_bypass_in_shadow_and_in_the_holdout(
    kind: str, found: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachemw.frontdoor.pipeline.draw", lambda: 0.0)
    with opened(kind, found, {**of(), **settings}) as door:
        assert door.get("/p", {"X-As": "ann"}).detail == "outer-identity"


class State(dict[str, Any]):
    """A state that is no plain dict."""


@pytest.mark.parametrize("form", [State, UserDict, MappingProxyType])
def test_a_state_of_any_form_is_looked_into(form: Callable[[dict[str, Any]], Any]) -> None:
    # Guard: `type(state) is not dict` in cachemw.asgi, on the way of a memory hit.
    async def main() -> list[str]:
        app = CacheMiddleware(apps_asgi.with_starlette(Origin({"/p": numbered()})), cache=cache)
        states = [{}, form({"pool": 1}), form({"user": "ann"}), {}]
        return [(await call_asgi(app, "/p", state=state)).cache_status for state in states]

    cache = Cache.from_dict(of())
    statuses = asyncio.run(main())
    assert ["hit" in status for status in statuses] == [False, True, False, True]
    assert statuses[2].endswith("detail=outer-identity")


def test_a_scope_without_extensions_may_say_so() -> None:
    async def main() -> list[str]:
        app = CacheMiddleware(apps_asgi.with_starlette(Origin({"/p": numbered()})), cache=cache)
        return [(await call_asgi(app, "/p", extensions=None)).cache_status for _ in range(2)]

    cache = Cache.from_dict(of())
    assert "hit" in asyncio.run(main())[1]


# -- real middleware -------------------------------------------------------------------------------


def test_an_empty_session_of_starlette_counts() -> None:
    origin = Origin({"/p": numbered()})
    app: Starlette = apps_asgi.with_starlette(origin)
    cached = CacheMiddleware(app, cache=Cache.from_dict(of()))
    server = AsgiServer(StarletteSessions(cached, secret_key="x" * 20))
    door = Door("asgi", server, origin, cached.cache)
    try:
        assert [door.get("/p").detail for _ in range(2)] == ["outer-identity"] * 2
    finally:
        server.close()


@sync_and_async_middleware
def names_a_user(get_response: Any) -> Any:
    """Set `request.user` lazily, as Django's own authentication does: reading it is an error."""
    from asgiref.sync import iscoroutinefunction
    from django.utils.functional import SimpleLazyObject

    def evaluated() -> Any:
        raise AssertionError("nobody may read it")

    if iscoroutinefunction(get_response):

        async def answer_async(request: Any) -> Any:
            request.user = SimpleLazyObject(evaluated)
            return await get_response(request)

        return answer_async

    def answer(request: Any) -> Any:
        request.user = SimpleLazyObject(evaluated)
        return get_response(request)

    return answer


@sync_and_async_middleware
def names_a_user_for_loops(get_response: Any) -> Any:
    """Set `request.auser` alone, as middleware for asynchronous views may."""
    from asgiref.sync import iscoroutinefunction

    async def user() -> str:
        return "ann"

    if iscoroutinefunction(get_response):

        async def answer_async(request: Any) -> Any:
            request.auser = user
            return await get_response(request)

        return answer_async

    def answer(request: Any) -> Any:
        request.auser = user
        return get_response(request)

    return answer


MIDDLEWARE = {
    "session": f"{SessionMiddleware.__module__}.SessionMiddleware",
    "user": f"{__name__}.names_a_user",
    "auser": f"{__name__}.names_a_user_for_loops",
}


@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("found", MIDDLEWARE)
def test_a_session_or_a_user_of_django_counts(found: str, loops: bool) -> None:
    # Guard: `outer_of_request` in cachemw.django.translate.
    def run(config: dict[str, Any], check: Callable[[Door], None]) -> None:
        origin = Origin({"/p": numbered()})
        apps_django.configure()
        settings = apps_django.settings_for(origin, config, loops=loops)
        settings["MIDDLEWARE"] = [MIDDLEWARE[found], *settings["MIDDLEWARE"]]
        settings["SESSION_ENGINE"] = "django.contrib.sessions.backends.signed_cookies"
        with override_settings(**settings):
            handler: Any = apps_django.LoopHandler() if loops else WSGIHandler()
            server = AsgiServer(handler, any_case=True) if loops else WsgiServer(handler)
            try:
                check(Door("django", server, origin, get_cache()))
            finally:
                server.close()
                get_cache().close()
                if loops:
                    handler.close()

    def bypasses(door: Door) -> None:
        assert [door.get("/p").detail for _ in range(2)] == ["outer-identity"] * 2

    def hits(door: Door) -> None:
        assert [door.get("/p").hit for _ in range(2)] == [False, True]

    run(of(), bypasses)
    run(of(same_for_all_users=True), hits)
