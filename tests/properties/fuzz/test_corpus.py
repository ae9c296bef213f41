"""The fuzzing targets hold for every input that is kept, and leave no parser out.

Needs no fuzzer: `python -m tests.properties.fuzz`, in an environment with atheris, looks for other inputs.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType

import pytest

import cachemw.http
from cachemw.engine.keeping import changes
from cachemw.engine.model import keys, query, router, tags
from cachemw.engine.privacy import bypass
from cachemw.engine.request import tag_values, urls
from cachemw.stores.redis import codec

from .targets import CORPUS, TARGETS, kept_inputs

LARGEST = 1000
"""Bytes of one kept input: it is there to be read."""
INPUTS = [path for name in TARGETS for path in kept_inputs(name)]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_kept_input_is_read_as_it_should_be(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_at_all_are_an_input_too(name: str) -> None:
    TARGETS[name](b"")


def test_every_target_has_inputs_and_they_are_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert [path.name for path in INPUTS if path.stat().st_size > LARGEST] == []


# No parser is left out ----------------------------------------------------------------------------

OF_HTTP = [
    importlib.import_module(f"cachemw.http.{module.name}")
    for module in pkgutil.iter_modules(cachemw.http.__path__)
]
FOR_CONFIGURATION = {
    "cachemw.engine.model.query.query_reader",
    "cachemw.engine.model.tags.static_families",
    "cachemw.engine.privacy.bypass.watched",
}
"""What is called once, with words of the application's own."""
PARSERS = [*OF_HTTP, changes, codec, keys, query, router, bypass, tags, tag_values, urls]


def public(module: ModuleType) -> dict[str, CodeType]:
    """Give what a module exports and defines itself: its functions, and its classes' public methods."""
    found = {}
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, FunctionType):
            found[f"{module.__name__}.{name}"] = value.__code__
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            found |= {
                f"{module.__name__}.{name}.{attribute}": method.__code__
                for attribute, method in vars(value).items()
                if isinstance(method, FunctionType) and not attribute.startswith("_")
            }
    return found


def called_by_the_inputs() -> set[CodeType]:
    called = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for path in INPUTS:
            TARGETS[path.parent.name](path.read_bytes())
    finally:
        sys.setprofile(before)
    return called


def test_every_parser_is_called_by_some_input() -> None:
    called = called_by_the_inputs()
    wanted = {name: code for module in PARSERS for name, code in public(module).items()}
    assert len(wanted) > 50
    assert {name for name, code in wanted.items() if code not in called} == FOR_CONFIGURATION
