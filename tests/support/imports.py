"""The modules of the package and what they import, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cachemw

PACKAGE = Path(cachemw.__file__).parent


@dataclass(frozen=True)
class Import:
    """One import of a module."""

    name: str
    lazy: bool
    """Whether it is inside a function, or for type checkers alone."""


def _modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "examples"):  # an application that a wheel brings along
            continue
        parts = ("cachemw", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


MODULES = _modules()
PACKAGES = {
    ".".join(("cachemw", *path.parent.relative_to(PACKAGE).parts))
    for path in PACKAGE.rglob("__init__.py")
} & set(MODULES)


def walk(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield all nodes below one, and whether each runs only later, or for type checkers alone."""
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            inside = True
        yield child, inside
        yield from walk(child, inside)


def imports(module: str) -> list[Import]:
    """Return every import of a module, lazy ones and those for type checkers included."""
    found = []
    for node, lazy in walk(MODULES[module]):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            inner = [name for name in submodules if name in MODULES]
            found += [Import(name, lazy) for name in inner]
            if len(inner) < len(submodules):
                found.append(Import(base, lazy))
    return [each for each in found if each.name != "__future__"]


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + (module in PACKAGES)]
    return ".".join([*parts, node.module] if node.module else parts)


def own(module: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    return {each.name for each in imports(module) if each.name in MODULES} - {module}


def foreign(module: str) -> set[str]:
    """Return the modules outside the package that a module imports."""
    return {each.name for each in imports(module) if each.name.partition(".")[0] != "cachemw"}


def place(module: str) -> str:
    """Return the folder of a module below `cachemw`; a module of the root is a place of its own."""
    inner = module.removeprefix("cachemw").removeprefix(".")
    return inner if module in PACKAGES or "." not in inner else inner.rpartition(".")[0]


def modules_in(*places: str) -> list[str]:
    """Return the modules in folders, and below them."""
    return [
        module
        for module in MODULES
        if any(place(module) == each or place(module).startswith(each + ".") for each in places)
    ]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other."""
    reach = {node: _reached(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reach[node] if node in reach.get(other, set()))
        for node in graph
        if node in reach[node]
    }
    return sorted(sorted(group) for group in groups)


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        node = ahead.pop()
        if node not in found:
            found.add(node)
            ahead += graph.get(node, ())
    return found
