"""Drawing what depends on what: as text, for Graphviz and for Mermaid.

All three take the arrows of a graph, from what changes to what is built from it, and what is told of
a node beside its name: here, the routes whose answers carry it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DRAWN", "as_dot", "as_mermaid", "as_text"]

Arrows = Sequence[tuple[str, str]]
Notes = Mapping[str, str]


def as_text(arrows: Arrows, notes: Notes) -> str:
    """Draw a tree below each node that is built from no other; what was drawn already ends in "…"."""
    below = _below(arrows)
    built = {dependent for _, dependent in arrows}
    seen: set[str] = set()
    lines = [
        line for root in below if root not in built for line in _tree(root, below, notes, seen)
    ]
    return "\n".join(lines)


def _tree(node: str, below: Mapping[str, list[str]], notes: Notes, seen: set[str]) -> Iterator[str]:
    note = f"   ({notes[node]})" if notes.get(node) else ""
    children = below.get(node, [])
    if node in seen and children:
        yield f"{node}{note} …"
        return
    seen.add(node)
    yield f"{node}{note}"
    for child in children:
        first, rest = ("└─ ", "   ") if child == children[-1] else ("├─ ", "│  ")
        for index, line in enumerate(_tree(child, below, notes, seen)):
            yield (rest if index else first) + line


def as_dot(arrows: Arrows, notes: Notes) -> str:
    """Write a digraph in Graphviz's language."""
    nodes = [
        f"  {_quoted(node)} [label={_quoted(node, notes.get(node, ''))}];"
        for node in _nodes(arrows)
    ]
    edges = [f"  {_quoted(source)} -> {_quoted(dependent)};" for source, dependent in arrows]
    return "\n".join(
        ["digraph dependencies {", "  rankdir=LR;", "  node [shape=box];", *nodes, *edges, "}"]
    )


def as_mermaid(arrows: Arrows, notes: Notes) -> str:
    """Write a flowchart in Mermaid's language, in which quotes and braces are written as entities."""
    names = {node: f"n{index}" for index, node in enumerate(_nodes(arrows))}
    nodes = [f'  {name}["{_escaped(node, notes.get(node, ""))}"]' for node, name in names.items()]
    edges = [f"  {names[source]} --> {names[dependent]}" for source, dependent in arrows]
    return "\n".join(["flowchart LR", *nodes, *edges])


DRAWN = {"text": as_text, "dot": as_dot, "mermaid": as_mermaid}
"""Format -> what draws it."""


def _below(arrows: Arrows) -> dict[str, list[str]]:
    below: dict[str, list[str]] = {}
    for source, dependent in arrows:
        below.setdefault(source, []).append(dependent)
    return below


def _nodes(arrows: Arrows) -> list[str]:
    return list(dict.fromkeys(node for arrow in arrows for node in arrow))


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(escaped) + '"'


_ENTITIES = {ord(char): f"#{ord(char)};" for char in '"#{}[]<>'}


def _escaped(*lines: str) -> str:
    return "<br>".join(line.translate(_ENTITIES) for line in lines if line)
