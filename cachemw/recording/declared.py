"""Functions by which an application declares what a response is made from: `tag`, `tagged`, `depends_on`.

Where nothing is being recorded these functions do nothing.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cachemw.engine.model.tags import fill, normalise, user_tag
from cachemw.recording.context import current

__all__ = ["Described", "depends_on", "describers", "tag", "tagged"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

Described = tuple[str, tuple[str, ...]]
"""The tag of a whole (a table), and the tags of the parts of it that are meant (rows). No parts: all of
it. All are normalised."""

describers: list[Callable[[object], Described | None]] = []
"""Functions of recorders that return the tags of an object given to `depends_on`, or None for one that
they do not know. They are asked in order."""


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
