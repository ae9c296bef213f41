"""Calls of Django's caches: which values a call has read, and which it has set.

The methods of a backend call each other (`get_many` calls `get`, `aget` calls `get` in a thread), and
`within` tells that this is happening: only the outermost call counts. A function that an application gives as
a default is called in between; what it reads and sets counts too.

A value that is the default which was asked for is not taken for a hit: the application treats it like a miss.
It may have been set all the same (a stored 0, and `get(key, 0)`), so its companion is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple

from asgiref.sync import iscoroutinefunction

from cachemw.django.recording.companions import digest

__all__ = ["CALLS", "CacheCall", "Found", "inside", "within"]

within: ContextVar[bool] = ContextVar("cachemw_within_second_cache", default=False)
"""Whether the running code is a backend's own, called by a method that is watched."""
_ABSENT: Any = object()


class Found(NamedTuple):
    """A value that a call has read."""

    key: object
    value: object
    certain: bool = True
    """Whether it was in the cache: it is not the default."""


class CacheCall:
    """A call of a method that reads no value for a response, and sets none."""

    __slots__ = ("again", "args", "kwargs", "noted", "result")

    parameters: ClassVar[tuple[str, ...]] = ("key", "version")
    reads: ClassVar[bool] = False
    """Whether it is a call that may read a value."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs
        self.result: Any = None
        self.again = False
        """Whether to make it again: a value that it has found was removed."""
        self.noted = not self.reads
        """Whether all is noted that it has read."""

    def argument(self, name: str) -> Any:
        """Return an argument, however it was given."""
        at = self.parameters.index(name)
        return self.args[at] if at < len(self.args) else self.kwargs.get(name, _ABSENT)

    def given(self, *names: str) -> dict[str, Any]:
        """Return those of these arguments that were given."""
        arguments = {name: self.argument(name) for name in names}
        return {name: value for name, value in arguments.items() if value is not _ABSENT}

    def found(self) -> list[Found]:
        """Return the values that it has read."""
        return []

    def was_set(self) -> Mapping[Any, object]:
        """Return the values that it has set, by their keys."""
        return {}

    def was_touched(self) -> bool:
        """Tell whether it has changed the timeout of its key."""
        return False


class _Get(CacheCall):
    __slots__ = ()
    parameters = ("key", "default", "version")
    reads = True

    def found(self) -> list[Found]:
        default = self.argument("default")
        is_default = self.result is (None if default is _ABSENT else default)
        if is_default and not isinstance(self.result, str | bytes | int | float | tuple):
            return []
        return [Found(self.argument("key"), self.result, not is_default)]


class _GetMany(CacheCall):
    __slots__ = ()
    parameters = ("keys", "version")
    reads = True

    def found(self) -> list[Found]:
        found = self.result if isinstance(self.result, Mapping) else {}
        return [Found(key, value) for key, value in found.items()]


class _GetOrSet(CacheCall):
    """A call of `get_or_set`. The backend has missed if it asks for the default."""

    __slots__ = ("_is_own", "_made")
    parameters = ("key", "default", "timeout", "version")
    reads = True

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._made: list[Any] = []
        self._is_own: bool | None = None
        if len(args) > 1:
            args = (args[0], _default(args[1], self._made), *args[2:])
        elif "default" in kwargs:
            kwargs = {**kwargs, "default": _default(kwargs["default"], self._made)}
        super().__init__(args, kwargs)

    def found(self) -> list[Found]:
        return [] if self._has_set() else [Found(self.argument("key"), self.result)]

    def was_set(self) -> Mapping[Any, object]:
        return {self.argument("key"): self._made[-1]} if self._has_set() else {}

    def _has_set(self) -> bool:
        """Tell whether the result is the default; it is another value if somebody else was faster."""
        if self._is_own is None:
            self._is_own = bool(self._made) and _is_same(self._made[-1], self.result)
        return self._is_own


class _Set(CacheCall):
    __slots__ = ()
    parameters = ("key", "value", "timeout", "version")

    def was_set(self) -> Mapping[Any, object]:
        # False: the value was not stored. `add` returns that, and `set` of some backends (with `nx`).
        return {} if self.result is False else {self.argument("key"): self.argument("value")}


class _SetMany(CacheCall):
    __slots__ = ()
    parameters = ("data", "timeout", "version")

    def was_set(self) -> Mapping[Any, object]:
        failed = self.result if isinstance(self.result, list) else ()
        return {key: value for key, value in self.argument("data").items() if key not in failed}


class _Touch(CacheCall):
    __slots__ = ()
    parameters = ("key", "timeout", "version")

    def was_touched(self) -> bool:
        return bool(self.result)


def _is_same(made: object, result: object) -> bool:
    return result is made or digest(result, stored=True) == digest(made, stored=False)


def _default(given: Any, made: list[Any]) -> Callable[[], Any]:
    """Return a default of `get_or_set`, a value or a function, as a function that notes what it returns."""

    def make() -> Any:
        with inside(False):
            made.append(given() if callable(given) else given)
        return made[-1]

    async def amake() -> Any:
        with inside(False):
            made.append(await given())
        return made[-1]

    return amake if iscoroutinefunction(given) else make


@contextmanager
def inside(whether: bool) -> Iterator[None]:
    """Run code of a backend, or of the application which a backend has called."""
    token = within.set(whether)
    try:
        yield
    finally:
        within.reset(token)


CALLS: dict[str, type[CacheCall]] = {
    "get": _Get,
    "get_many": _GetMany,
    "get_or_set": _GetOrSet,
    "set": _Set,
    "add": _Set,
    "set_many": _SetMany,
    "touch": _Touch,
    "has_key": CacheCall,
    "incr": CacheCall,
    "incr_version": CacheCall,
}
"""The methods that are watched, each with `a` before its name too. Those that are a plain `CacheCall` are
here because `BaseCache` writes them with `get` and `set`."""
