"""Which routes can never match, because an earlier one takes every request they could have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cachemw.config.syntax.template import Segment, Template

__all__ = ["RouteTree"]

Form = tuple[object, ...]
"""A segment without the names of its parameters."""

_ANY_SEGMENT: Form = (("str",),)
_ANY_REST: Form = (("path",),)


@dataclass(slots=True)
class _Node:
    children: dict[Form, _Node] = field(default_factory=dict)
    ends: list[tuple[int, str | None]] = field(default_factory=list)


class RouteTree:
    """The templates so far, as a tree by segment, so that a thousand routes are checked at once.

    Only what is certain counts as covered: `{id}` covers `new` and `{n:int}`, but nothing is said
    of segments that mix text and parameters, unless they are the same.
    """

    def __init__(self) -> None:
        self._root = _Node()

    def cover(self, template: Template, mount: str | None) -> int | None:
        """Give the first route that takes every path of this template, or None."""
        forms = [_form(segment) for segment in template.segments]
        found = [
            index
            for index, earlier in _covering(self._root, forms, 0)
            if earlier is None or earlier == mount
        ]
        return min(found, default=None)

    def add(self, index: int, template: Template, mount: str | None) -> None:
        """List a route."""
        node = self._root
        for segment in template.segments:
            node = node.children.setdefault(_form(segment), _Node())
        node.ends.append((index, mount))


def _covering(node: _Node, forms: list[Form], depth: int) -> Iterator[tuple[int, str | None]]:
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
