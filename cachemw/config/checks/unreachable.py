"""Routes that can never match, because an earlier route matches each of their requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cachemw.config.syntax.template import Segment, Template

__all__ = ["RouteTree"]

Form = tuple[object, ...]
"""A segment without the names of its parameters: `{id}` and `{slug}` are equal."""

_ANY_SEGMENT: Form = (("str",),)
_ANY_REST: Form = (("path",),)


@dataclass(slots=True)
class _Node:
    children: dict[Form, _Node] = field(default_factory=dict)
    ends: list[tuple[int, str | None]] = field(default_factory=list)


class RouteTree:
    """The templates of the routes so far, as a tree of segments.

    The tree keeps the check of a thousand routes fast. A route is reported only if it is certainly
    hidden: `{id}` covers `new` and `{n:int}`. A segment that mixes text and parameters covers
    only an equal one.
    """

    def __init__(self) -> None:
        self._root = _Node()

    def cover(self, template: Template, mount: str | None) -> int | None:
        """Return the index of the first route that matches every path of this template, or None."""
        forms = [_form(segment) for segment in template.segments]
        covering = [
            index
            for index, earlier in _covering(self._root, forms, 0)
            if earlier is None or earlier == mount
        ]
        return min(covering, default=None)

    def add(self, index: int, template: Template, mount: str | None) -> None:
        """Add a route."""
        node = self._root
        for segment in template.segments:
            node = node.children.setdefault(_form(segment), _Node())
        node.ends.append((index, mount))


def _covering(node: _Node, forms: list[Form], depth: int) -> Iterator[tuple[int, str | None]]:
    """Yield index and mount of each route below `node` that covers the segments from `depth` on."""
    if depth == len(forms):
        yield from node.ends
        return
    form = forms[depth]
    if _ANY_REST in node.children:
        yield from node.children[_ANY_REST].ends
    if form in node.children and form != _ANY_REST:
        yield from _covering(node.children[form], forms, depth + 1)
    if _ANY_SEGMENT in node.children and form != _ANY_SEGMENT and _is_one_segment(form):
        yield from _covering(node.children[_ANY_SEGMENT], forms, depth + 1)


def _form(segment: Segment) -> Form:
    parts = segment.parts or (segment.literal,)
    return tuple(part[1:] if isinstance(part, tuple) else part for part in parts)


def _is_one_segment(form: Form) -> bool:
    return form != ("",) and form[-1] != ("path",)
