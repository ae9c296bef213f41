"""Reads of Django's own cache while a response is recorded.

A value in Django's cache was made in another request. The queries behind it do not run again, so the recorder
does not see them: the response gets no tags for their rows, and a write of those rows does not purge it. That
holds for `cache.get`, `cache_page`, `{% cache %}` and libraries such as cachalot alike.

What happens here: a hit of Django's cache, while a response is recorded, is counted (`second_cache_hit`) and
warned of once for each cache and route. Not counted are misses, reads inside `unrecorded()`, and values that
no response is made from: sessions, the lists of headers by which `cache_page` finds its pages, counters and
tests for a key.

How: the methods in `_READS` are replaced, once in each class of the backends that `django.core.cache.caches`
makes, by functions with the same signature that call the original. So results, exceptions and what a backend
overrides stay as they are. Functions on each backend would make cycles: under ASGI each request makes its
backends anew, and their connections would stay until garbage is collected. A backend calls its own methods
(`get_many` calls `get`, `aget` calls `get` in a thread): only the outermost call counts.

`_note` is where all hits arrive, with the keys that were read.
"""

from __future__ import annotations

import functools
import logging
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from inspect import getfullargspec, isfunction
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.cache import CacheHandler, caches
from django.core.exceptions import ImproperlyConfigured

from cachemw.recording.context import current, open_recording

if TYPE_CHECKING:
    from cachemw.cache import Cache

__all__ = ["install"]

_FAULTS = logging.getLogger("cachemw.faults")
_OF_DJANGO = ("django.contrib.sessions.cache", "views.decorators.cache.cache_header.")
"""Beginnings of the keys of sessions, which are never recorded, and of `cache_page`'s lists of headers."""

_recording = current.get
_watched: weakref.WeakSet[type] = weakref.WeakSet()
"""The classes whose methods are watched."""
_get_cache: Callable[[], Cache]
_is_being_made_here: Callable[[], bool]
_within: ContextVar[bool] = ContextVar("cachemw_within_second_cache", default=False)
"""Whether the running code is a backend's own, called by a method that is watched."""


def install(get_cache: Callable[[], Cache], is_being_made_here: Callable[[], bool]) -> None:
    """Watch the caches of Django in this process, those to come and those of this thread.

    `get_cache` returns the cache whose recordings are watched. `is_being_made_here` tells whether this
    thread is making it: then `get_cache` would wait for itself.
    """
    global _get_cache, _is_being_made_here
    _get_cache, _is_being_made_here = get_cache, is_being_made_here
    handler: Any = CacheHandler
    if not hasattr(handler.create_connection, "_cachemw"):
        handler.create_connection = _watching(handler.create_connection)
    with suppress(ImproperlyConfigured):  # a wrong CACHES is for whoever uses a cache
        _watch_those_made(caches)


def _watching(create: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    @functools.wraps(create)
    def create_connection(handler: Any, alias: str) -> Any:
        return _watch(create(handler, alias), alias)

    create_connection._cachemw = True  # type: ignore[attr-defined]
    return create_connection


def _watch_those_made(handler: Any) -> None:
    for alias in handler:
        if hasattr(handler._connections, alias):
            _watch(handler[alias], alias)


def _watch(backend: Any, alias: str) -> Any:
    """Watch a backend; return it."""
    with suppress(AttributeError):  # of a class with slots: its hits are counted without the alias
        backend._cachemw_alias = alias
    for owner in type(backend).__mro__[:-1]:
        if owner not in _watched:
            _watched.add(owner)
            _watch_methods(owner)
    return backend


def _watch_methods(owner: type) -> None:
    """Replace the methods that a class defines itself."""
    try:
        for name, read in _READS.items():
            for each in (name, f"a{name}"):
                method = owner.__dict__.get(each)
                if isfunction(method):
                    setattr(owner, each, _watching_method(each, method, read))
    except Exception:  # it works as it did, and its hits are not noticed (I3)
        name = f"{owner.__module__}.{owner.__qualname__}"
        _FAULTS.warning(f"event=second_cache_unwatched backend={name}", exc_info=True)


def _watching_method(
    name: str, method: Callable[..., Any], read: type[_Read]
) -> Callable[..., Any]:
    """Return a method that calls the given one, and notes what that has found."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _recording() is None or _within.get():
            return method(self, *args, **kwargs)
        with read(self, args, kwargs) as noted:
            noted.result = method(self, *noted.args, **noted.kwargs)
        return noted.result

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _recording() is None or _within.get():
            return await method(self, *args, **kwargs)
        with read(self, args, kwargs) as noted:
            noted.result = await method(self, *noted.args, **noted.kwargs)
        return noted.result

    if name.startswith("a") or iscoroutinefunction(method):
        return acall
    return _quick_get(method, call) if name == "get" and _is_usual_get(method) else call


def _quick_get(method: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` for the method that is called most: outside of a recording it packs no arguments."""

    @functools.wraps(method)
    def get(self: Any, key: Any, default: Any = None, version: Any = None) -> Any:
        if _recording() is None:
            return method(self, key, default, version)
        return call(self, key, default, version)

    return get


def _is_usual_get(method: Callable[..., Any]) -> bool:
    """Tell whether a method takes the arguments of `BaseCache.get`, and no others."""
    spec = getfullargspec(method)
    more = spec.varargs or spec.varkw or spec.kwonlyargs
    return (
        spec.args[1:] == ["key", "default", "version"]
        and spec.defaults == (None, None)
        and not more
    )


# -- what a call has found ---------------------------------------------------------------------------


class _Read:
    """A call of a method that reads no value for a response. `with` surrounds the call."""

    __slots__ = ("_backend", "_token", "args", "kwargs", "result")

    def __init__(self, backend: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._backend, self.args, self.kwargs = backend, args, kwargs
        self.result: Any = None

    def __enter__(self) -> Self:
        self._token = _within.set(True)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        _within.reset(self._token)
        if kind is None:
            _note(getattr(self._backend, "_cachemw_alias", "-"), self)

    def found(self) -> Sequence[object]:
        """Return the keys that were hits."""
        return ()


class _Get(_Read):
    """A call of `get`. A value that is the default is no hit: the application cannot tell them apart."""

    __slots__ = ()

    def found(self) -> Sequence[object]:
        default = self.args[1] if len(self.args) > 1 else self.kwargs.get("default")
        if self.result is default:
            return ()
        return self.args[:1] or (self.kwargs.get("key"),)


class _GetMany(_Read):
    """A call of `get_many`."""

    __slots__ = ()

    def found(self) -> Sequence[object]:
        return tuple(self.result) if isinstance(self.result, Mapping) else ()


class _GetOrSet(_Read):
    """A call of `get_or_set`. It is a miss if the backend asks for the default."""

    __slots__ = ("_asked", "_has_default")

    def __init__(self, backend: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._asked: list[bool] = []
        self._has_default = len(args) > 1 or "default" in kwargs
        if len(args) > 1:
            args = (args[0], _default(args[1], self._asked), *args[2:])
        elif self._has_default:
            kwargs = {**kwargs, "default": _default(kwargs["default"], self._asked)}
        super().__init__(backend, args, kwargs)

    def found(self) -> Sequence[object]:
        if self._asked or not self._has_default:
            return ()
        return self.args[:1] or (self.kwargs.get("key"),)


def _default(given: Any, asked: list[bool]) -> Callable[[], Any]:
    """Return a default of `get_or_set`, a value or a function, as a function that notes its call."""

    def make() -> Any:
        asked.append(True)
        with _application():
            return given() if callable(given) else given

    async def amake() -> Any:
        asked.append(True)
        with _application():
            return await given()

    return amake if iscoroutinefunction(given) else make


@contextmanager
def _application() -> Iterator[None]:
    """Run code of the application, which a backend has called: what it reads counts."""
    token = _within.set(False)
    try:
        yield
    finally:
        _within.reset(token)


_READS: dict[str, type[_Read]] = {
    "get": _Get,
    "get_many": _GetMany,
    "get_or_set": _GetOrSet,
    "has_key": _Read,
    "incr": _Read,
    "incr_version": _Read,
}
"""The methods that read, each with `a` before its name too. Those that read no value for a response are
here because `BaseCache` writes them with `get`."""


def _note(alias: str, read: _Read) -> None:
    """Report which keys of a cache the response that is being recorded was made from."""
    try:
        recording = open_recording()
        if recording is None or not _is_on():
            return
        hits = sum(not _is_of_django(key) for key in read.found())
        if hits:
            _get_cache()._core.reporter.second_cache_hit(alias, recording.route, hits)
    except Exception:
        with suppress(Exception):  # there may be no cache, because the configuration is wrong
            _get_cache()._core.reporter.logs.failed("recorder_failed")


def _is_on() -> bool:
    """Tell whether there is a cache whose configuration asks for recording."""
    if not hasattr(settings, "CACHEMW") or _is_being_made_here():
        return False
    return _get_cache().config.recording.database


def _is_of_django(key: object) -> bool:
    """Tell whether a key is one of those that no response is made from."""
    if not isinstance(key, str):
        return False
    return key.startswith(_OF_DJANGO) or key.startswith(_session_prefix())


def _session_prefix() -> str | tuple[str, ...]:
    """Return how the keys of the project's own session engine begin, if it is one of a cache."""
    engine = sys.modules.get(settings.SESSION_ENGINE)  # if it is not loaded, it reads no sessions
    prefix = getattr(getattr(engine, "SessionStore", None), "cache_key_prefix", None)
    return prefix if isinstance(prefix, str) and prefix else ()
