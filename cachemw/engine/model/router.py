"""The router: it finds the route of a path, in the same way for every middleware.

Paths are matched as the application sees them: percent-decoded, below the mount. If anything else were
matched, a route could get the response of another view. The templates form a tree, one level for each
segment, literal children before patterns. So the cost does not grow with the number of routes. If several
routes match, the one that is listed first wins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cachemw.config.syntax.template import Segment, Template

__all__ = ["Match", "Router"]

_CONVERTERS = {
    "str": r"[^/]+",
    "int": r"[0-9]+",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "path": r".*",
}

Match = tuple[int, dict[str, str]]
"""The route's index and its parameters, decoded."""


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    patterns: list[tuple[str, re.Pattern[str], _Node]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Indexes of the routes whose template ends here."""
    rests: list[tuple[int, re.Pattern[str]]] = field(default_factory=list)
    """Routes whose last segment matches the rest of the path."""


class Router:
    """The tree of all route templates."""

    def __init__(self, routes: Sequence[tuple[Template, str | None]]) -> None:
        self._mounts = [mount for _, mount in routes]
        self._root = _Node()
        for index, (template, _) in enumerate(routes):
            self._add(index, template.segments)

    def _add(self, index: int, segments: Sequence[Segment]) -> None:
        node = self._root
        for segment in segments:
            if segment.catch_all:
                node.rests.append((index, _pattern(segment)))
                return
            node = _child(node, segment)
        node.ends.append(index)

    def match(self, mount: str, path: str) -> Match | None:
        """Return the first listed route that matches a path below a mount, or None."""
        if not path.startswith("/"):
            return None
        segments = path[1:].split("/")
        found: list[Match] = []
        self._walk(self._root, segments, 0, {}, mount, found)
        if len(found) < 2:
            return found[0] if found else None
        return min(found, key=lambda match: match[0])

    def _walk(
        self,
        node: _Node,
        segments: list[str],
        depth: int,
        values: dict[str, str],
        mount: str,
        found: list[Match],
    ) -> None:
        if depth == len(segments):
            self._collect(node.ends, values, mount, found)
            return
        segment = segments[depth]
        literal = node.literals.get(segment)
        if literal is not None:
            self._walk(literal, segments, depth + 1, values, mount, found)
        for _, pattern, child in node.patterns:
            if match := pattern.fullmatch(segment):
                bound = {**values, **match.groupdict()}
                self._walk(child, segments, depth + 1, bound, mount, found)
        for index, pattern in node.rests:
            if match := pattern.fullmatch("/".join(segments[depth:])):
                self._collect([index], {**values, **match.groupdict()}, mount, found)

    def _collect(
        self, indexes: list[int], values: dict[str, str], mount: str, found: list[Match]
    ) -> None:
        for index in indexes:
            if self._mounts[index] is None or self._mounts[index] == mount:
                found.append((index, values))
                return


def _child(node: _Node, segment: Segment) -> _Node:
    if segment.literal is not None:
        return node.literals.setdefault(segment.literal, _Node())
    pattern = _pattern(segment)
    for text, _, child in node.patterns:
        if text == pattern.pattern:
            return child
    child = _Node()
    node.patterns.append((pattern.pattern, pattern, child))
    return child


def _pattern(segment: Segment) -> re.Pattern[str]:
    parts = [
        re.escape(part) if isinstance(part, str) else f"(?P<{part[0]}>{_CONVERTERS[part[1]]})"
        for part in segment.parts
    ]
    return re.compile("".join(parts), re.DOTALL)
