"""Checks of what a front door is given, made where the application is put together.

Without them the first request would fail, with an error that names neither the mistake nor its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from cachemw.wiring.core import Core

__all__ = ["check_asgi", "check_wsgi"]


def check_wsgi(app: object, cache: object) -> None:
    """Raise TypeError if the application is none of WSGI, or the cache is none."""
    _check_cache(cache)
    if _is_coroutine_function(app) or not _takes(app, 2):
        raise TypeError(
            "this front door is for WSGI, and the application is not: for FastAPI and Starlette write"
            " `from cachemw.starlette import CacheMiddleware`, for other ASGI applications"
            " `from cachemw.asgi import CacheMiddleware`"
        )


def check_asgi(app: object, cache: object) -> None:
    """Raise TypeError if the application is none of ASGI 3, or the cache is none."""
    _check_cache(cache)
    if not _takes(app, 3):
        raise TypeError(
            "this front door is for ASGI 3, and the application is not: for Flask and other WSGI"
            " applications write `from cachemw.wsgi import CacheMiddleware`"
        )


def _check_cache(cache: object) -> None:
    if isinstance(getattr(cache, "_core", None), Core):
        return
    if isinstance(cache, (str, bytes)) or hasattr(cache, "__fspath__"):
        raise TypeError(
            "cache is a path: write cache=Cache.from_file(PATH), with `from cachemw import Cache`"
        )
    raise TypeError(
        f"cache is no Cache but of the type {type(cache).__name__}: write"
        " cache=Cache.from_dict(MAPPING) or cache=Cache.from_file(PATH)"
    )


def _is_coroutine_function(app: Any) -> bool:
    call = inspect.getattr_static(type(app), "__call__", None)
    return any(map(inspect.iscoroutinefunction, (app, call)))


def _takes(app: Any, count: int) -> bool:
    """Tell whether an application can be called with so many arguments, as far as that is known."""
    if not isinstance(app, Callable):  # type: ignore[arg-type]
        return False
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):  # such as one that is written in C
        return True
    try:
        signature.bind(*range(count))
    except TypeError:
        return False
    return True
