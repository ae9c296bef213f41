"""Django's own cache, while a response is recorded.

A value in Django's cache was made in another request. The queries behind it do not run again, so the recorder
of queries does not see them. That holds for `cache.get`, `cache_page`, `{% cache %}` and libraries such as
cachalot alike.

What happens here, while a response is recorded:

- A value that is set gets a companion, which says what it was made from (`companions`).
- A value that is read brings what its companion says: the tags and the age of its rows.
- A value without a companion of its own is unknown: it was set outside of a recorded response, or by a
  process without this recorder. Then `recording.unknown_cached` says what becomes of the response.

A response that passes may be the first to show a value that others show later. So passing requests of a route
are recorded too, once a value has been seen in one of Django's caches (`value_caches`).

Hits are counted (`second_cache_hit`), and so are unknown ones (`second_cache_unknown`), which are warned of
once for each cache and route. Misses mean nothing, nor do reads inside `unrecorded()`, nor the keys that no
response is made from (`is_ignored`).

How: the methods in `CALLS` are replaced, once in each class of the backends that `django.core.cache.caches`
makes, by functions with the same signature that call the original. So results, exceptions and what a backend
overrides stay as they are. Functions on each backend would make cycles: under ASGI each request makes its
backends anew, and their connections would stay until garbage is collected.

What follows a call is written once, for threads and for event loops, as a generator of further calls of the
backend. A fault in it costs no read and no write of the application (I3): it is counted
(`second_cache_error`), and what was read is unknown.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from inspect import getfullargspec, isawaitable, isfunction
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.cache import CacheHandler, caches
from django.core.exceptions import ImproperlyConfigured

from cachemw.cache import Cache
from cachemw.django.recording.cache_calls import CALLS, CacheCall, Found, inside, within
from cachemw.django.recording.companions import (
    LOCAL,
    UNKNOWN,
    as_read_now,
    companions_of,
    made_from,
    name_of,
    place_of,
)
from cachemw.django.recording.early_reads import early_recording
from cachemw.django.recording.known_keys import is_dropped, is_ignored, is_remade
from cachemw.recording.context import (
    MadeEarlier,
    Recording,
    current,
    open_recording,
    value_caches,
)

__all__ = ["install"]

_FAULTS = logging.getLogger("cachemw.faults")
_recording = current.get
_early = early_recording
_watched: weakref.WeakSet[type] = weakref.WeakSet()
"""The classes whose methods are watched."""
_get_cache: Callable[[], Cache]
_is_being_made_here: Callable[[], bool]
_Step = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A further call of the backend: its method and its arguments."""
_Steps = Generator[_Step, Any, None]
"""Further calls, of which each gets its result."""


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
        for name, kind in CALLS.items():
            for each, prefix in ((name, ""), (f"a{name}", "a")):
                method = owner.__dict__.get(each)
                if isfunction(method):
                    setattr(owner, each, _watching_method(method, kind, prefix))
    except Exception:  # it works as it did, and what it reads is not noticed (I3)
        name = f"{owner.__module__}.{owner.__qualname__}"
        _FAULTS.warning(f"event=second_cache_unwatched backend={name}", exc_info=True)


def _watching_method(
    method: Callable[..., Any], kind: type[CacheCall], prefix: str
) -> Callable[..., Any]:
    """Return a method that calls the given one, and then does what follows from that call."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (_recording() is None and _early() is None) or within.get():
            return method(self, *args, **kwargs)
        with inside(True):
            for drops in (True, False):
                made = kind(args, kwargs)
                made.result = method(self, *made.args, **made.kwargs)
                _follow(self, made, drops)
                if not made.again:
                    break
        return made.result

    @functools.wraps(method)
    async def acall(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (_recording() is None and _early() is None) or within.get():
            return await method(self, *args, **kwargs)
        with inside(True):
            for drops in (True, False):
                made = kind(args, kwargs)
                made.result = await method(self, *made.args, **made.kwargs)
                await _afollow(self, made, drops, prefix)
                if not made.again:
                    break
        return made.result

    if prefix or iscoroutinefunction(method):
        return acall
    return _quick_get(method, call) if method.__name__ == "get" and _is_usual_get(method) else call


def _quick_get(method: Callable[..., Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` for the method that is called most: outside of a recording it packs no arguments."""

    @functools.wraps(method)
    def get(self: Any, key: Any, default: Any = None, version: Any = None) -> Any:
        if _recording() is None and _early() is None:
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


# -- what follows a call -----------------------------------------------------------------------------


def _follow(backend: Any, call: CacheCall, drops: bool) -> None:
    """Do what follows a call, in a thread. `drops`: it may remove values that are too old."""
    recording = open_recording() or early_recording()
    if recording is None:
        return
    try:
        steps = _steps(recording, backend, call, drops)
        step = _next(steps)
        while step is not None:
            name, args, kwargs = step
            step = _next(steps, getattr(backend, name)(*args, **kwargs))
    except Exception:
        _note_fault(recording, backend, call)


async def _afollow(backend: Any, call: CacheCall, drops: bool, prefix: str) -> None:
    """Do what follows a call, in an event loop."""
    recording = open_recording() or early_recording()
    if recording is None:
        return
    try:
        steps = _steps(recording, backend, call, drops)
        step = _next(steps)
        while step is not None:
            name, args, kwargs = step
            result = getattr(backend, prefix + name)(*args, **kwargs)
            step = _next(steps, await result if isawaitable(result) else result)
    except Exception:
        _note_fault(recording, backend, call)


def _next(steps: _Steps, result: object = None) -> _Step | None:
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _alias(backend: Any) -> str:
    return getattr(backend, "_cachemw_alias", "-")


def _note_fault(recording: Recording, backend: Any, call: CacheCall) -> None:
    """Count a fault after a call. What the call has read is unknown."""
    if not call.noted:
        recording.add_value(UNKNOWN)
    with suppress(Exception):  # there may be no cache, because the configuration is wrong
        _get_cache()._core.reporter.second_cache_error(_alias(backend))


def _is_on() -> bool:
    """Tell whether there is a cache whose configuration asks for recording."""
    if not hasattr(settings, "CACHEMW") or _is_being_made_here():
        return False
    return _get_cache().config.recording.database


def _steps(recording: Recording, backend: Any, call: CacheCall, drops: bool) -> _Steps:
    """Note what a call has read, and what the values were made from that it has set."""
    if not _is_on():
        return
    cache = _get_cache()
    config = cache.config.recording
    ignored = config.ignore_cached
    found = [each for each in call.found() if not is_ignored(each.key, ignored)]
    if found:
        drops = drops and recording.is_kept
        yield from _read(cache, recording, backend, call, found, drops)
        if call.again:
            return
    call.noted = True
    values = {key: each for key, each in call.was_set().items() if not is_ignored(key, ignored)}
    if values:
        yield from _write(cache, recording, backend, call, values)
    if call.was_touched() and place_of(backend, call.argument("key"), None) is None:
        more = call.given("version")
        name = name_of(backend, call.argument("key"), more.get("version"))
        yield "touch", (name,), call.given("timeout", "version")


def _read(
    cache: Cache,
    recording: Recording,
    backend: Any,
    call: CacheCall,
    found: Sequence[Found],
    drops: bool,
) -> _Steps:
    """Add what the values were made from that a call has found; remove those that are too old instead."""
    companions = yield from _companions(backend, call, [each.key for each in found])
    hits = unknown = 0
    for each, companion in zip(found, companions, strict=True):
        value = made_from(cache, recording, companion, each.value)
        current = as_read_now(cache, value)
        if drops and current is None and _is_removed(cache, each, value):
            yield "delete", (each.key,), call.given("version")
            call.again = True
        elif each.certain or value is not UNKNOWN:
            recording.add_value(current or value)
            hits += 1
            unknown += value.position is None
    if hits:
        value_caches.add(_alias(backend))
    if hits and (recording.is_kept or recording is early_recording()):
        cache._core.reporter.second_cache_hit(_alias(backend), recording.route, hits, unknown)


def _is_removed(cache: Cache, found: Found, value: MadeEarlier) -> bool:
    """Tell whether a value that is old, or whose rows nobody knows, is removed so that it is made anew."""
    if value.position is None:
        # A request may have set it before its process knew of Django's caches, and for hours.
        return found.certain and is_remade(found.key)
    return is_dropped(found.key, cache.config.recording.drop_cached)


def _companions(
    backend: Any, call: CacheCall, keys: Sequence[object]
) -> Generator[_Step, Any, list[object]]:
    """Return what is stored as the companions of the values of these keys."""
    more = call.given("version")
    version = more.get("version")
    places = [place_of(backend, key, version) for key in keys]
    if places[0] is not None:
        return [LOCAL.get(place) for place in places if place is not None]
    names = [name_of(backend, key, version) for key in keys]
    if len(names) == 1:
        stored = yield "get", (names[0], None), more
        return [stored]
    found = yield "get_many", (names,), more
    return [found.get(name) for name in names]


def _write(
    cache: Cache, recording: Recording, backend: Any, call: CacheCall, values: Mapping[Any, object]
) -> _Steps:
    """Store the companions of the values that a call has set."""
    more = call.given("timeout", "version")
    version = more.get("version")
    texts: dict[str, str] = {}
    for key, companion in companions_of(cache, recording, values).items():
        place = place_of(backend, key, version)
        if companion is None:
            yield "delete", (key,), call.given("version")
        elif place is None:
            texts[name_of(backend, key, version)] = companion.text()
        else:
            LOCAL.put(place, companion)
    if len(texts) == 1:
        yield "set", next(iter(texts.items())), more
    elif texts:
        yield "set_many", (texts,), more
    value_caches.add(_alias(backend))
