"""Every import that the README, the documentation and the examples show works."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
LINE = re.compile(
    r"^\s*(from cachemw[\w.]* import (?:\([^)]*\)|[\w, ]+)|import cachemw[\w.]*)", re.M
)


def shown() -> list[tuple[str, str]]:
    """Return each module and name that is imported anywhere; the name is empty for a whole module."""
    found = set()
    for path in [*PAGES, *EXAMPLES]:
        for line in LINE.findall(path.read_text("utf-8")):
            (node,) = ast.parse(line.strip()).body
            if isinstance(node, ast.ImportFrom):
                found |= {(node.module or "", alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {(alias.name, "") for alias in node.names}
    return sorted(found)


@pytest.mark.parametrize(("module", "name"), shown())
def test_an_import_that_is_shown_works(module: str, name: str) -> None:
    pytest.importorskip("django")
    imported = importlib.import_module(module)
    assert not name or hasattr(imported, name)


def test_the_imports_are_found() -> None:
    assert {("cachemw", "Cache"), ("cachemw.starlette", "CacheMiddleware")} <= set(shown())
