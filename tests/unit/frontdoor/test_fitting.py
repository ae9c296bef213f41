from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import flask
import pytest
from fastapi import FastAPI

from cachemw import Cache
from cachemw.asgi import CacheMiddleware as Asgi
from cachemw.wsgi import CacheMiddleware as Wsgi


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    pass


@pytest.fixture
def cache() -> Cache:
    return Cache.from_dict({"routes": []})


@pytest.mark.parametrize("app", [asgi_app, FastAPI(), functools.partial(asgi_app), None])
def test_the_wsgi_door_names_the_door_for_fastapi(app: Any, cache: Cache) -> None:
    with pytest.raises(TypeError, match=r"from cachemw\.starlette import CacheMiddleware"):
        Wsgi(app, cache)


def test_the_wsgi_door_in_fastapi_is_named_at_its_start(cache: Cache) -> None:
    app = FastAPI()
    app.add_middleware(Wsgi, cache=cache)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cachemw\.starlette"):
        app.build_middleware_stack()


@pytest.mark.parametrize("app", [wsgi_app, flask.Flask("x"), None])
def test_the_asgi_door_names_the_door_for_flask(app: Any, cache: Cache) -> None:
    with pytest.raises(TypeError, match=r"from cachemw\.wsgi import CacheMiddleware"):
        Asgi(app, cache)


@pytest.mark.parametrize("door", [Wsgi, Asgi])
@pytest.mark.parametrize("path", ["cachemw.toml", Path("cachemw.toml")])
def test_a_path_in_place_of_a_cache_is_named(door: Any, path: Any) -> None:
    with pytest.raises(TypeError, match=r"cache=Cache\.from_file"):
        door(wsgi_app if door is Wsgi else asgi_app, cache=path)


@pytest.mark.parametrize("wrong", [None, {"routes": []}])
def test_what_is_no_cache_is_named(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"type {type(wrong).__name__}"):
        Wsgi(wsgi_app, cache=wrong)


@pytest.mark.parametrize("app", [lambda *given: [], print, functools.partial(wsgi_app)])
def test_what_can_be_called_is_accepted(app: Any, cache: Cache) -> None:
    Wsgi(app, cache)
    if app is not print and not isinstance(app, functools.partial):
        Asgi(app, cache)
