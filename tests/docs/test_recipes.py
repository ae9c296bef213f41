"""The recipes of CONTRIBUTING.md: each step is true of the recipe's example, and none is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
RECIPES = ("route option", "event", "gauge", "front door", "guardrail", "command")


@dataclass(frozen=True)
class Recipe:
    """One recipe."""

    example: str
    steps: tuple[tuple[str, str], ...]
    """The file of each step, and the step's text."""


def recipe(name: str) -> Recipe:
    """Return the recipe under the heading `Add a NAME`."""
    found = re.search(rf"^### Add an? {name}\n(.*?)(?=^##)", TEXT, re.M | re.S)
    assert found is not None, f"CONTRIBUTING.md has no recipe for a {name}"
    example = re.search(r"^Example: `(\w+)`", found[1], re.M)
    assert example is not None
    steps = re.findall(r"^\d+\. `([\w/.]+)`: (.*?)(?=^\d+\. |\Z)", found[1], re.M | re.S)
    return Recipe(example[1], tuple(steps))


@pytest.mark.parametrize("name", RECIPES)
def test_each_step_is_true_of_the_example(name: str) -> None:
    found = recipe(name)
    assert len(found.steps) >= 4
    for path, _ in found.steps:
        content = (ROOT / path).read_text("utf-8")
        exported = found.example.replace("_", ".", 1)  # OpenTelemetry's way to write it
        names = rf"\b({found.example}|{re.escape(exported)})\b"
        assert found.example in path or re.search(names, content), path


@pytest.mark.parametrize("name", RECIPES)
def test_the_names_that_steps_mention_exist(name: str) -> None:
    source = "\n".join(
        path.read_text("utf-8")
        for folder in ("cachemw", "tests", "docs", "bench")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".md")
    )
    for path, text in recipe(name).steps:
        for mentioned in re.findall(r"`([^`]+)`", text):
            if "/" in mentioned and " " not in mentioned:
                assert (ROOT / mentioned).exists(), f"{path}: {mentioned}"
                continue
            for word in re.findall(r"[A-Za-z_]\w+", mentioned):
                assert re.search(rf"\b{word}\b", source), f"{path}: {mentioned}"


@pytest.mark.parametrize("name", ["route option", "event", "gauge"])
def test_a_recipe_forgets_no_file(name: str) -> None:
    """Whoever follows it has then done everything that the example needed."""
    found = recipe(name)
    using = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "cachemw").rglob("*.py")
        if re.search(rf"\b{found.example}\b", path.read_text("utf-8"))
    }
    assert using == {path for path, _ in found.steps if path.startswith("cachemw/")}


def test_where_it_is_decided() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(cachemw/[\w/]+\.py)`: `(\w+)` \|$", TEXT, re.M)
    assert len(rows) >= 9
    for path, name in rows:
        content = (ROOT / path).read_text("utf-8")
        assert re.search(rf"^ *(class|def) {name}\b", content, re.M), f"{path} has no {name}"
