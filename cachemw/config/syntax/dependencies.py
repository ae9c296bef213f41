"""Dependencies between tags, as an operator writes them.

    "catalog" = ["product:*"]
    "reviews:{id}" = ["product:{id}"]

A purge of a tag on the right also purges the tag on the left. A tag is split at its colons. A part is
literal text or one parameter; the last part may be a star, which stands for any further parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cachemw.config.syntax.messages import show

__all__ = ["ANY", "Pattern", "find_cycle", "parse_node"]

ANY = "*"
_LENGTH = 200
_ALLOWED = re.compile(r"[!-+\--~]+")
_PARAMETER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


def parse_node(value: object) -> str:
    """Check one tag of the graph, and return it. Raises ValueError."""
    if not isinstance(value, str) or not _ALLOWED.fullmatch(value) or len(value) > _LENGTH:
        raise ValueError(
            f"expected a tag of at most {_LENGTH} visible ASCII characters without spaces and commas,"
            f" got {show(value)}"
        )
    first, *others = value.split(":")
    if value.startswith("@"):
        raise ValueError(
            f"{show(value)}: tags that begin with '@' are reserved for cachemw: write another name"
        )
    if not first or not _is_literal(first):
        raise ValueError(
            f"{show(value)}: write plain text before the first colon, such as product:{{id}}"
        )
    for part in others[:-1]:
        if part == ANY:
            raise ValueError(
                f"{show(value)}: a star may only be the last part: leave out what follows it"
            )
    for part in others:
        if part != ANY and not _PARAMETER.fullmatch(part) and not _is_literal(part):
            raise ValueError(
                f"{show(value)}: expected plain text, one parameter such as {{id}} or a star"
                f" at the end, got {show(part)}"
            )
    return value


def _is_literal(part: str) -> bool:
    return not re.search(r"[{}*]", part)


class Pattern:
    """A tag with parameters, or with a star as its last part."""

    __slots__ = ("parameters", "parts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.parts = tuple(text.split(":"))
        self.parameters = tuple(part[1:-1] for part in self.parts if _is_parameter(part))

    def match(self, tag: str) -> dict[str, str] | None:
        """Return the values of the parameters for a purged tag or family; None if it does not match.

        A parameter that a purged family leaves open has the value `*`.
        """
        bound: dict[str, str] = {}
        parts = tag.split(":")
        for index, own in enumerate(self.parts):
            if own == ANY:
                return bound if index < len(parts) else None
            if index == len(parts):
                return None
            part = parts[index]
            if part == ANY and index == len(parts) - 1:  # a family leaves the other parts open
                return bound | dict.fromkeys(map(_name, self.parts[index:]), ANY)
            if _is_parameter(own):
                if bound.setdefault(_name(own), part) != part:
                    return None
            elif own != part:
                return None
        return bound if len(parts) == len(self.parts) else None

    def fill(self, bound: Mapping[str, str]) -> tuple[str, ...]:
        """Return the parts of the tag with these values; a star for a parameter without one."""
        return tuple(
            bound.get(_name(own), ANY) if _is_parameter(own) else own for own in self.parts
        )

    def overlaps(self, other: Pattern) -> bool:
        """Tell whether some tag matches both patterns."""
        for own, its in zip(self.parts, other.parts, strict=False):
            if ANY in (own, its):
                return True
            if own != its and not _is_parameter(own) and not _is_parameter(its):
                return False
        return len(self.parts) == len(other.parts)


def _is_parameter(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _name(part: str) -> str:
    return part[1:-1] if _is_parameter(part) else ""


def find_cycle(dependencies: Mapping[str, Sequence[str]]) -> list[str]:
    """Return tags that depend on each other in a circle, the first one again at the end; empty: none.

    A search in depth without recursion: a configuration may be deeper than Python's stack.
    """
    below = _nodes_below(dependencies)
    done: set[str] = set()
    for start in below:
        path: list[str] = []
        stack = [iter((start,))]
        while stack:
            name = next(stack[-1], None)
            if name is None:
                stack.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                stack.append(iter(below[name]))
    return []


def _nodes_below(dependencies: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return, for each tag on the left, the tags on the left that it depends on."""
    by_first_part: dict[str, list[Pattern]] = {}
    for name in dependencies:
        node = Pattern(name)
        by_first_part.setdefault(node.parts[0], []).append(node)
    return {
        name: [
            node.text
            for source in map(Pattern, sources)
            for node in by_first_part.get(source.parts[0], ())
            if source.overlaps(node)
        ]
        for name, sources in dependencies.items()
    }
