"""Dependencies between tags: a purge of one tag also purges all tags that depend on it.

Nodes are tags whose parts may be parameters. Where `reviews:{id}` depends on `product:{id}`, a purge of
`product:5` also purges `reviews:5`, and all tags that depend on that. If the purged tag gives a
parameter no value, the whole family is purged (`reviews:*`); a purge of a family does the same. This
may purge more than necessary, but never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cachemw.config.syntax.dependencies import ANY, Pattern
from cachemw.engine.model.tags import MAX_DEPTH, normalise

__all__ = ["Edge", "Graph"]


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency: a purge of `source` also purges `dependent`."""

    source: Pattern
    dependent: Pattern


class Graph:
    """The dependencies of one configuration. The configuration has checked that they have no cycle."""

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
        """Return the tags and all their dependents, each once, the nearest first."""
        own = tuple(dict.fromkeys(tags))
        return own + self.dependents(own)

    def dependents(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return all that depends on the tags, each once, the nearest first, without the tags."""
        found = dict.fromkeys(tags)
        own = len(found)
        if self._by_kind:
            waiting = list(found)
            for tag in waiting:
                for dependent in self._dependents(tag):
                    if dependent not in found:
                        found[dependent] = None
                        waiting.append(dependent)
        return tuple(found)[own:]

    def arrows(self) -> tuple[tuple[str, str], ...]:
        """Return the arrows of a drawing: pairs of a source and its dependent, as configured.

        The same node may be spelt in two ways, as a source and as a dependent. Then the spelling of
        the dependent is used for both.
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
    """Join the parts of a tag. The first star ends it: the tag is then a family."""
    if ANY in parts:
        return ":".join((*parts[: min(parts.index(ANY), MAX_DEPTH)], ANY))
    return normalise(":".join(parts))
