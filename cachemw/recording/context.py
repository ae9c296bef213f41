"""What an answer is built from, noted while the application makes it.

A front door opens a `Recording` around every call of the application whose answer may be kept. Code
that runs meanwhile, however deep, adds to it by `tag`, `depends_on` or a recorder of queries, and
the entry carries what was noted. Where nothing is being recorded these calls do nothing.

The recording travels in a context variable. Tasks, `asyncio.to_thread`, thread pools of AnyIO and
`sync_to_async` take it along by themselves; `carry_into_threads` teaches plain threads to.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from cachemw.engine.model.tags import fill, normalise, user_tag

__all__ = [
    "UNRECORDED",
    "Recording",
    "Unrecorded",
    "carry_into_threads",
    "current",
    "depends_on",
    "describers",
    "tag",
    "tagged",
    "unrecorded",
]

_MAX_PARTS = 64
"""Rows of one table: an answer that read more of them depends on the table as a whole."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

Described = tuple[str, tuple[str, ...]]
"""A whole, and the parts of it that are meant; no parts: all of it. Both as normalised tags."""

describers: list[Callable[[object], Described | None]] = []
"""What integrations know of objects that `depends_on` is given; the first that knows one says it."""


class Recording:
    """What one answer depends on. Threads may add to it at the same time.

    `with recording:` surrounds what the application does for the answer: its call, and later each
    piece of a body that it makes on the way.
    """

    __slots__ = ("_closed", "_noted", "_token")

    def __init__(self) -> None:
        self._noted: dict[str, set[str] | None] = {}
        """Wholes, with the parts that were noted of each; None: all of it, or there are no parts."""
        self._closed = False
        self._token: Token[Recording | None] | None = None

    def __enter__(self) -> None:
        self._token = current.set(self)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                current.reset(token)
            except ValueError:  # an asynchronous generator may be closed by another task
                return

    def add(self, tags: Iterable[str]) -> None:
        """Note tags, in their one spelling."""
        if not self._closed:
            self._noted.update(dict.fromkeys(tags))

    def add_parts(self, whole: str, parts: Iterable[str]) -> None:
        """Note parts of a whole; many of them become the whole.

        Whoever changes a part purges the whole too, so that the whole stands for all its parts.
        """
        if self._closed:
            return
        noted = self._noted.setdefault(whole, set())
        if noted is not None:
            noted.update(parts)
            if len(noted) > _MAX_PARTS:
                self._noted[whole] = None

    def close(self) -> tuple[str, ...]:
        """Give what was noted, in order of spelling; what comes later is of no answer any more."""
        self._closed = True
        if not self._noted:
            return ()
        tags: set[str] = set()
        for whole, parts in tuple(self._noted.items()):
            tags.update((whole,) if parts is None else parts)
        return tuple(sorted(tags))


current: ContextVar[Recording | None] = ContextVar("cachemw_recording", default=None)
"""The recording of the answer that is being made here, if one is."""


class Unrecorded:
    """Surrounds what the application does for an answer that nobody keeps."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


UNRECORDED = Unrecorded()


@contextmanager
def unrecorded() -> Iterator[None]:
    """Surround reads whose changes are to purge nothing: figures as old as the lifetime allows.

    Decorates functions too, though not coroutine functions: `@unrecorded()`. What is written inside
    purges as everywhere.
    """
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)


def tag(*tags: str) -> None:
    """Give the answer that is being made tags to be purged by; raises TagError for what is none."""
    spelt = [user_tag(each) for each in tags]
    recording = current.get()
    if recording is not None:
        recording.add(spelt)


def depends_on(*things: object) -> None:
    """Say what the answer that is being made was built from: a change of it purges the answer.

    Things are tags, or what a recorder knows: a Django or SQLAlchemy model (its table), or an
    instance of one (its row). Raises TypeError for anything else, and TagError for a bad tag.
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
        f"an answer can depend on a tag, a model or an instance of one, not on {thing!r};"
        " is the recorder of its database installed?"
    )


# -- views -----------------------------------------------------------------------------------------

_PARAMETER = re.compile(r"\{(\w+)\}")


def tagged(*templates: str) -> Callable[[_Function], _Function]:
    """Tag every answer that a view makes: `@tagged("product:{id}")`, with the view's own arguments.

    Works for functions, methods and coroutine functions. Raises TagError for a bad tag, and
    ValueError for a parameter that the view does not have, both where the view is defined.
    """
    for template in templates:
        user_tag(template)

    def decorate(view: _Function) -> _Function:
        signature = inspect.signature(view)
        _check_parameters(templates, view, signature)

        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            recording = current.get()
            if recording is not None:
                values = _values(signature, args, kwargs)
                recording.add([normalise(fill(template, values)) for template in templates])

        if inspect.iscoroutinefunction(view):

            async def acall(*args: Any, **kwargs: Any) -> Any:
                note(args, kwargs)
                return await view(*args, **kwargs)

            return functools.wraps(view)(acall)  # type: ignore[return-value]

        def call(*args: Any, **kwargs: Any) -> Any:
            note(args, kwargs)
            return view(*args, **kwargs)

        return functools.wraps(view)(call)  # type: ignore[return-value]

    return decorate


def _check_parameters(
    templates: Iterable[str], view: Callable[..., Any], signature: inspect.Signature
) -> None:
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return  # it takes any
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
        return {}  # the view's own complaint follows
    bound.apply_defaults()
    values = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            values.update(values.pop(name, {}))
    return {name: str(value) for name, value in values.items()}


# -- threads ---------------------------------------------------------------------------------------

_carrying = threading.Lock()
_carried = False


def carry_into_threads() -> None:
    """Let plain threads and thread pools go on with the recording of whoever starts them.

    Wraps `Thread.start` and `ThreadPoolExecutor.submit`, once per process. A thread without the
    recording would read what nobody notes, and its answer would outlive a purge.
    """
    global _carried
    with _carrying:
        if _carried:
            return
        _carried = True
    _carry(threading.Thread, "start", _started)
    _carry(ThreadPoolExecutor, "submit", _submitted)


def _carry(owner: type, name: str, hand_over: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def carrying(*args: Any, **kwargs: Any) -> Any:
        recording = current.get()
        if recording is not None:
            args = hand_over(recording, *args)
        return original(*args, **kwargs)

    setattr(owner, name, carrying)


def _started(recording: Recording, thread: Any) -> tuple[Any, ...]:
    thread.run = _with(recording, thread.run)
    return (thread,)


def _submitted(
    recording: Recording, pool: object, function: Callable[..., Any], *args: Any
) -> tuple[Any, ...]:
    return pool, _with(recording, function), *args


def _with(recording: Recording, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        token = current.set(recording)
        try:
            return function(*args, **kwargs)
        finally:
            current.reset(token)

    return run
