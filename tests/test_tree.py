"""The tree of the tests: a listed set of folders, and `tests/unit` mirrors the package."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

import cachemw

PACKAGE = Path(cachemw.__file__).parent
TESTS = Path(__file__).parent
UNIT = TESTS / "unit"

FOLDERS = {
    "docs": "what the documentation shows, and the examples",
    "doors": "one suite over all front doors",
    "processes": "real servers, and applications of several processes",
    "properties": "a model of the promises, random queries and writes, fuzzed parsers",
    "redis": "what needs a real Redis",
    "support": "what several folders use",
    "system": "suites with environments of their own in tox.ini",
    "unit": "one module each; mirrors the package",
}


def test_the_folders_are_listed() -> None:
    found = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert found == set(FOLDERS)


@pytest.mark.parametrize(
    "path", sorted(UNIT.rglob("test_*.py")), ids=lambda path: str(path.relative_to(UNIT))
)
def test_a_unit_test_has_a_module(path: Path) -> None:
    """`unit/X/test_Y.py` tests `cachemw/X/Y.py`; `test_Y_topic.py` tests a part of it."""
    folder = PACKAGE / path.parent.relative_to(UNIT)
    name = path.stem.removeprefix("test_")
    modules = [module.stem for module in folder.glob("*.py")]
    assert any(name == each or name.startswith(f"{each}_") for each in modules), (
        f"no module of {folder} is tested by {path.name}"
    )


def test_every_folder_is_a_package() -> None:
    """Else two test modules of one name are one module to pytest."""
    folders = {path.parent for path in TESTS.rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    "folder", sorted(path.parent.name for path in (TESTS / "system").glob("*/__init__.py"))
)
def test_a_suite_of_the_system_has_an_environment_that_is_documented_and_run(folder: str) -> None:
    """The default run leaves these out, so nobody would notice one that nothing runs."""
    root = TESTS.parent
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(root / "tox.ini", "utf-8")
    [section] = [
        name for name in tox if f"tests/system/{folder}" in tox[name].get("commands", fallback="")
    ]
    environment = section.removeprefix("testenv:")
    assert environment in re.split(r"[,\s]+", tox["tox"]["env_list"])
    for path in ("CONTRIBUTING.md", ".ci/run"):
        text = (root / path).read_text("utf-8")
        assert re.search(rf"-e [\w,]*\b{environment}\b", text), f"{path}: -e {environment}"
