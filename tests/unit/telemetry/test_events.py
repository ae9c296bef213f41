"""Every event and gauge that the code counts has one row in `telemetry.events` and one in the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

import cachemw
from cachemw.engine.model.outcomes import EventName
from cachemw.learning.kinds import LearnedKind
from cachemw.telemetry.events import EVENTS, GAUGES, LEARNED
from cachemw.telemetry.stats import Gauges

PACKAGE = Path(cachemw.__file__).parent
ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `cachemw\.([a-z_.]+)` \|(.*)\|$", DOCS, flags=re.MULTILINE))


def counted() -> Iterator[tuple[str, str]]:
    """Yield the place and the name of every event that is counted by a literal."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name = node.func.attr
            # `str.count` has one argument, and the counting of an event two.
            counts = name in ("count", "_count") and len(node.args) == 2
            first = node.args[0] if node.args else None
            if (counts or name == "event") and isinstance(first, ast.Constant):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", str(first.value)


def test_every_counted_event_has_a_row() -> None:
    found = list(counted())
    assert len(found) > 20
    assert [each for each in found if each[1] not in EVENTS] == []


def test_every_event_is_counted_somewhere() -> None:
    assert {name for _, name in counted()} == set(EVENTS)


def test_the_table_has_every_name_in_the_same_order() -> None:
    assert list(EVENTS) == list(get_args(EventName))
    assert list(GAUGES) == [field.name for field in fields(Gauges)]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_documented(name: EventName) -> None:
    event = EVENTS[name]
    row = ROWS[event.metric]
    assert f"counter, {event.unit}" in row
    assert (f"`{event.attribute}`" in row) is bool(event.label)
    assert f"`{name}`" in DOCS


@pytest.mark.parametrize("name", GAUGES)
def test_every_gauge_is_documented(name: str) -> None:
    gauge = GAUGES[name]
    kind = f"up-down counter, {gauge.unit}" if gauge.merge == "sum" else "gauge"
    assert kind in ROWS[gauge.metric]


def test_no_documented_instrument_is_unknown() -> None:
    known = {row.metric for row in (*EVENTS.values(), *GAUGES.values(), *LEARNED.values())}
    others = {"lookup", "origin", "store"}  # spans
    assert {name for name in ROWS if not name.startswith("request")} - others == known


@pytest.mark.parametrize("name", LEARNED)
def test_every_learned_figure_is_documented_and_there(name: str) -> None:
    assert "gauge" in ROWS[LEARNED[name].metric]
    kind = LearnedKind(rounds=1, calls=1, initial_calls=1, covered=1, announced=1)
    assert name in kind.figures()
