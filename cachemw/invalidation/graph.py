"""What depends on what: a purge of one thing is a purge of all that was built from it.

Nodes are tags, with parameters between their colons: where `reviews:{id}` depends on `product:{id}`,
a purge of `product:5` purges `reviews:5` too, and whatever depends on that. A parameter that nothing
has said stands for all of its family, and so does a purge of a family: that purges more than it may
have to, never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachemw.config.syntax.dependencies import ANY, Pattern
from cachemw.engine.model.tags import MAX_DEPTH, normalise

__all__ = ["Edge", "Graph"]


@dataclass(frozen=True, slots=True)
class Edge:
    """`dependent` was built from `source`."""

    source: Pattern
    dependent: Pattern


class Graph:
    """The dependencies of one configuration; free of cycles, as the configuration has seen to."""

    def __init__(self, dependencies: Mapping[str, Sequence[str]]) -> None:
        self.edges = tuple(
            Edge(Pattern(source), Pattern(dependent))
            for dependent, sources in dependencies.items()
            for source in sources
        )
        self._by_kind: dict[str, list[Edge]] = {}
        for edge in self.edges:
            self._by_kind.setdefault(edge.source.parts[0], []).append(edge)

    def expand(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Give tags and all that depends on them, each once, nearest first."""
        found = dict.fromkeys(tags)
        if self._by_kind:
            waiting = list(found)
            for tag in waiting:
                for dependent in self._dependents(tag):
                    if dependent not in found:
                        found[dependent] = None
                        waiting.append(dependent)
        return tuple(found)

    def arrows(self) -> tuple[tuple[str, str], ...]:
        """Give what to draw: pairs of a node and one that is built from it, as they were written.

        A source stands for itself only where it is no dependent, under whatever spelling.
        """
        dependents = {edge.dependent.text: edge.dependent for edge in self.edges}
        drawn: dict[tuple[str, str], None] = {}
        for edge in self.edges:
            same = [text for text, node in dependents.items() if edge.source.overlaps(node)]
            for text in same or [edge.source.text]:
                drawn[text, edge.dependent.text] = None
        return tuple(drawn)

    def _dependents(self, tag: str) -> Iterable[str]:
        for edge in self._by_kind.get(tag.partition(":")[0], ()):
            bound = edge.source.match(tag)
            if bound is not None:
                yield _tag(edge.dependent.fill(bound))


def _tag(parts: tuple[str, ...]) -> str:
    """Join the parts of a tag; a star ends it, as a family."""
    if ANY in parts:
        return ":".join((*parts[: min(parts.index(ANY), MAX_DEPTH)], ANY))
    return normalise(":".join(parts))
