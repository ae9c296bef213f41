"""Recording of what a response is made from, while the application makes it.

What is recorded: tags. The pipeline opens a `Recording` around every call of the application whose
response may be stored. Code that runs meanwhile, however deep, adds tags to it: by `tag`, by
`depends_on`, by `@tagged`, or by a recorder of database queries. Where nothing is being recorded these
calls do nothing. When the response is complete the recording is closed, and the stored entry carries its
tags together with the position in the invalidation log from before the application was called.

So a change purges every response that was made from the old data (I5): the writer purges the tags of
what it changed, and any entry that carries one of them, and whose making began before, is invalid. That
holds only if no read is missed. Two guards serve this:

- The recording travels in a context variable. Tasks, `asyncio.to_thread`, AnyIO's threads and
  `sync_to_async` copy the context by themselves; `thread_context` makes plain threads do so.
- Too many tags become coarser tags, and never fewer (`Recording.add_parts`).

An application may answer from another answer of the same process: it calls itself, or an application that it
has mounted. Then the outer response depends on everything that the inner one does. A recording therefore
passes on what it notes to the recording around it, whether or not the inner response is stored, and a stored
response that answers the inner request brings its tags (`reused`).

An application may also answer from a value that another request has left in a cache of the application's own.
A recorder that knows what that value was made from adds it (`Recording.add_value`).
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, TypeVar

from cachemw.engine.model.entry import Position
from cachemw.engine.model.tags import fill, normalise, user_tag, with_families

__all__ = [
    "UNRECORDED",
    "MadeEarlier",
    "Position",
    "Recording",
    "Unrecorded",
    "current",
    "depends_on",
    "describers",
    "open_recording",
    "reused",
    "tag",
    "tagged",
    "unrecorded",
    "value_caches",
    "with_families",
]

_MAX_PARTS = 64
"""Most rows of one table that a response is tagged by (I4). A response that read more of them depends on
the whole table."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

Described = tuple[str, tuple[str, ...]]
"""The tag of a whole (a table), and the tags of the parts of it that are meant (rows). No parts: all of
it. All are normalised."""

describers: list[Callable[[object], Described | None]] = []
"""Functions of recorders that return the tags of an object given to `depends_on`, or None for one that
they do not know. They are asked in order."""

value_caches: set[str] = set()
"""Caches of the application's own in which recorders have seen a value. Where there is one, calls are
recorded too whose response is not stored: what they set there may be shown by one that is."""


class MadeEarlier(NamedTuple):
    """The tags and the age of a value that an earlier request has left in the application's cache."""

    tags: tuple[str, ...] = ()
    position: Position | None = None
    """The position of the log that its rows are from; None: nobody knows, or not all of its tags."""


class Recording:
    """The tags of what one response was made from. Several threads may add to it at the same time.

    `with recording:` surrounds what the application does for the response: its call, and later each
    piece of a streamed body.
    """

    __slots__ = (
        "_closed",
        "_noted",
        "_outer",
        "_snapshots",
        "_token",
        "_values",
        "began",
        "has_stale_part",
        "is_kept",
        "route",
    )

    def __init__(
        self,
        outer: Recording | None = None,
        route: str = "-",
        began: Position | None = None,
        *,
        is_kept: bool = True,
    ) -> None:
        """Record for a response; `outer` is the recording of the response that asked for this one.

        `route` is the template of its route, for log lines. `began` is the position of the log from before
        the application was called. `is_kept` tells whether the response may be stored. If not, the recording
        is for the values that the application sets in a cache of its own meanwhile.
        """
        self._outer = outer
        self.route = route
        self.began = began
        self.is_kept = is_kept
        self.has_stale_part = False
        """Whether the response was made from a stored one that was stale."""
        self._noted: dict[str, set[str] | None] = {}
        """The recorded parts of each whole; None: all of it, or a tag that has no parts."""
        self._snapshots: set[Position] = set()
        self._values: set[MadeEarlier] = set()
        self._closed = False
        self._token: Token[Recording | None] | None = None

    def __enter__(self) -> None:
        self._token = current.set(self)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                current.reset(token)
            except ValueError:  # an asynchronous generator may be closed in another context
                return

    def add(self, tags: Iterable[str]) -> None:
        """Add normalised tags."""
        noted = dict.fromkeys(tags)
        if not self._closed:
            self._noted.update(noted)
        if self._outer is not None:
            self._outer.add(noted)

    def add_stored(self, tags: tuple[str, ...], *, stale: bool) -> None:
        """Add the tags of a stored response that this one is made from."""
        self.add(tags)
        recording: Recording | None = self if stale else None
        while recording is not None:
            recording.has_stale_part = True
            recording = recording._outer

    def add_parts(self, whole: str, parts: Iterable[str]) -> None:
        """Add the tags of parts of a whole; more than 64 of them become the tag of the whole.

        That is safe because whoever changes a part purges the tag of the whole too (I5).
        """
        parts = tuple(parts)
        if self._outer is not None:
            self._outer.add_parts(whole, parts)
        if self._closed:
            return
        noted = self._noted.setdefault(whole, set())
        if noted is not None:
            noted.update(parts)
            if len(noted) > _MAX_PARTS:
                self._noted[whole] = None

    @property
    def closed(self) -> bool:
        """Whether the response is complete."""
        return self._closed

    def read_at(self, position: Position) -> None:
        """Note that rows were read as they were at this position of the log, or later.

        The response is then as old as these rows, however late the recording began.
        """
        self._snapshots.add(position)
        if self._outer is not None:
            self._outer.read_at(position)

    def add_value(self, value: MadeEarlier) -> None:
        """Note that the response is made from a value of a cache of the application's own."""
        if not self._closed:
            self._values.add(value)
        if self._outer is not None:
            self._outer.add_value(value)

    @property
    def has_unknown_value(self) -> bool:
        """Whether it is made from a value of which nobody knows what that was made from."""
        return any(value.position is None for value in tuple(self._values))

    def oldest(self, began: Position) -> Position:
        """Return the position that the rows are from; `began` is that of the recording.

        One of another life of the log comes first: nobody can tell what was purged since (I5).
        """
        values = (each.position for each in tuple(self._values) if each.position)
        for each in (*self._snapshots, *values):
            if each.epoch != began.epoch:
                return each
            began = min(began, each, key=_number)
        return began

    def include(self, earlier: Recording | None) -> None:
        """Close an earlier recording, and add all that it holds."""
        if earlier is not None:
            self.add(earlier.close())
            for position in earlier._snapshots:
                self.read_at(position)
            for value in earlier._values:
                self.add_value(value)

    def close(self) -> tuple[str, ...]:
        """Return the recorded tags, sorted; what is added later is ignored: the response is complete."""
        self._closed = True
        return self.so_far()

    def so_far(self) -> tuple[str, ...]:
        """Return the tags that are recorded by now, sorted."""
        if not self._noted and not self._values:
            return ()
        tags: set[str] = set()
        for value in tuple(self._values):
            tags.update(value.tags)
        for whole, parts in tuple(self._noted.items()):
            tags.update((whole,) if parts is None else parts)
        return tuple(sorted(tags))


def _number(position: Position) -> int:
    return position.id


current: ContextVar[Recording | None] = ContextVar("cachemw_recording", default=None)
"""The recording of the response that is being made in this context; None where none is."""


def open_recording() -> Recording | None:
    """Return the recording around the running code, if its response is not complete yet."""
    recording = current.get()
    return None if recording is None or recording._closed else recording


def reused(tags: tuple[str, ...], *, stale: bool = False) -> None:
    """Note that a stored response answers a request of the application itself, if it is one.

    A response that is made from a stale one is not kept: it would be fresh for its whole lifetime.
    """
    recording = current.get()
    if recording is not None:
        recording.add_stored(tags, stale=stale)


class Unrecorded:
    """The stand-in for a recording where the response will not be stored."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def include(self, earlier: Recording | None) -> None:
        """Do nothing."""


UNRECORDED = Unrecorded()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record none of the reads inside: a change of what they read will purge nothing.

    This is for data that may be as old as the lifetime of the response, such as figures. It also
    decorates functions, though not coroutine functions: `@unrecorded()`. Writes inside purge as usual.
    """
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)


def tag(*tags: str) -> None:
    """Add tags to the response that is being made, to purge it by. Raises TagError for a bad tag."""
    normalised = [user_tag(each) for each in tags]
    recording = current.get()
    if recording is not None:
        recording.add(normalised)


def depends_on(*things: object) -> None:
    """Record what the response that is being made depends on; a change of it purges the response.

    Each thing is a tag, or an object that a recorder knows: a Django or SQLAlchemy model (its table),
    or an instance of one (its row). Raises TypeError for anything else, and TagError for a bad tag.
    """
    described = [_describe(thing) for thing in things]
    recording = current.get()
    if recording is None:
        return
    for whole, parts in described:
        if parts:
            recording.add_parts(whole, parts)
        else:
            recording.add((whole,))


def _describe(thing: object) -> Described:
    if isinstance(thing, str):
        return user_tag(thing), ()
    for describe in describers:
        described = describe(thing)
        if described is not None:
            return described
    raise TypeError(
        f"a response can depend on a tag, a model or an instance of one, not on {thing!r};"
        " is the recorder of its database installed?"
    )


# -- views -----------------------------------------------------------------------------------------

_PARAMETER = re.compile(r"\{(\w+)\}")


def tagged(*templates: str) -> Callable[[_Function], _Function]:
    """Tag every response that a view makes: `@tagged("product:{id}")`.

    Names in braces are parameters of the view. Works for functions, methods and coroutine functions.
    When the view is defined, raises TagError for a bad tag, and ValueError for a parameter that the
    view does not have.
    """
    for template in templates:
        user_tag(template)

    def decorate(view: _Function) -> _Function:
        signature = inspect.signature(view)
        _check_parameters(templates, view, signature)

        def add_tags(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            recording = current.get()
            if recording is not None:
                values = _values(signature, args, kwargs)
                recording.add([normalise(fill(template, values)) for template in templates])

        if inspect.iscoroutinefunction(view):

            async def acall(*args: Any, **kwargs: Any) -> Any:
                add_tags(args, kwargs)
                return await view(*args, **kwargs)

            return functools.wraps(view)(acall)  # type: ignore[return-value]

        def call(*args: Any, **kwargs: Any) -> Any:
            add_tags(args, kwargs)
            return view(*args, **kwargs)

        return functools.wraps(view)(call)  # type: ignore[return-value]

    return decorate


def _check_parameters(
    templates: Iterable[str], view: Callable[..., Any], signature: inspect.Signature
) -> None:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return  # `**kwargs` takes any name
    for template in templates:
        for name in _PARAMETER.findall(template):
            if name not in signature.parameters:
                raise ValueError(
                    f"tag {template!r}: {view.__qualname__} has no parameter {name!r};"
                    f" it has {', '.join(signature.parameters) or 'none'}"
                )


def _values(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, str]:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return {}  # the call of the view raises it again
    bound.apply_defaults()
    values = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values.update(values.pop(name, {}))
    return {name: str(value) for name, value in values.items()}
