"""The dependency graph as text, Graphviz and Mermaid.

All three functions take the arrows of a graph, each from a tag that changes to a tag that is built
from it, and a note for each node: here, the routes whose responses carry the tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["DRAWERS", "as_dot", "as_mermaid", "as_text"]

Arrows = Sequence[tuple[str, str]]
Notes = Mapping[str, str]


def as_text(arrows: Arrows, notes: Notes) -> str:
    """Return a tree for each root; a node whose children were drawn before ends in "…"."""
    children_of = _children(arrows)
    built = {dependent for _, dependent in arrows}
    seen: set[str] = set()
    lines = [
        line
        for root in children_of
        if root not in built
        for line in _tree(root, children_of, notes, seen)
    ]
    return "\n".join(lines)


def _tree(
    node: str, children_of: Mapping[str, list[str]], notes: Notes, seen: set[str]
) -> Iterator[str]:
    note = f"   ({notes[node]})" if notes.get(node) else ""
    children = children_of.get(node, [])
    if node in seen and children:
        yield f"{node}{note} …"
        return
    seen.add(node)
    yield f"{node}{note}"
    for child in children:
        first, rest = ("└─ ", "   ") if child == children[-1] else ("├─ ", "│  ")
        for index, line in enumerate(_tree(child, children_of, notes, seen)):
            yield (rest if index else first) + line


def as_dot(arrows: Arrows, notes: Notes) -> str:
    """Return a digraph in Graphviz's language."""
    nodes = [
        f"  {_quoted(node)} [label={_quoted(node, notes.get(node, ''))}];"
        for node in _nodes(arrows)
    ]
    edges = [f"  {_quoted(source)} -> {_quoted(dependent)};" for source, dependent in arrows]
    return "\n".join(
        ["digraph dependencies {", "  rankdir=LR;", "  node [shape=box];", *nodes, *edges, "}"]
    )


def as_mermaid(arrows: Arrows, notes: Notes) -> str:
    """Return a flowchart in Mermaid's language, where quotes and braces must be entities."""
    names = {node: f"n{index}" for index, node in enumerate(_nodes(arrows))}
    nodes = [f'  {name}["{_escaped(node, notes.get(node, ""))}"]' for node, name in names.items()]
    edges = [f"  {names[source]} --> {names[dependent]}" for source, dependent in arrows]
    return "\n".join(["flowchart LR", *nodes, *edges])


DRAWERS = {"text": as_text, "dot": as_dot, "mermaid": as_mermaid}
"""The function for each format that `--graph` takes."""


def _children(arrows: Arrows) -> dict[str, list[str]]:
    children_of: dict[str, list[str]] = {}
    for source, dependent in arrows:
        children_of.setdefault(source, []).append(dependent)
    return children_of


def _nodes(arrows: Arrows) -> list[str]:
    return list(dict.fromkeys(node for arrow in arrows for node in arrow))


def _quoted(*lines: str) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(escaped) + '"'


_ENTITIES = {ord(char): f"#{ord(char)};" for char in '"#{}[]<>'}


def _escaped(*lines: str) -> str:
    return "<br>".join(line.translate(_ENTITIES) for line in lines if line)
