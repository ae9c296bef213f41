"""The written reference: its tables are made from the options, and its examples load."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cachemw.config import Config, config_from
from cachemw.config.reference import embed, markdown
from cachemw.config.sources import VARIABLES
from cachemw.config.syntax.decode import options_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_tables_are_those_of_the_options() -> None:
    assert embed(TEXT) == TEXT, "run python -m cachemw.config.reference docs/configuration.md"


def test_every_option_is_in_the_tables() -> None:
    tables = markdown()
    for name in options_of(Config):
        assert f"| `{name}` |" in tables


def test_a_document_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the markers"):
        embed("# Configuration\n")


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_loads(example: str) -> None:
    assert isinstance(config_from(tomllib.loads(example), environ={}), Config)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


def test_every_variable_is_described() -> None:
    for name in VARIABLES:
        assert f"| `{name}` |" in TEXT
