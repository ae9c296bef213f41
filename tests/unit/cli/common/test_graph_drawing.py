"""Drawing what depends on what."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from cachemw.cli.common.graph_drawing import DRAWERS, as_dot, as_mermaid, as_text
from tests.unit.cli.running import Run

Write = Callable[[str], str]

SHOP = """
[[routes]]
name = "catalog"
path = "/catalog"
ttl = "5s"
tags = ["catalog"]

[[routes]]
name = "product"
path = "/products/{id}"
ttl = "5s"
tags = ["product:{id}"]

[dependencies]
"catalog" = ["product:*"]
"home" = ["recommendations:*", "catalog"]
"recommendations:{customer}" = ["catalog", "orders:{customer}"]
"""


def test_as_text_below_what_changes_stands_what_is_built_from_it(run: Run, write: Write) -> None:
    write(SHOP)
    assert run("tags", "--graph", "text").stdout == (
        "product:*   (route product)\n"
        "└─ catalog   (route catalog)\n"
        "   ├─ home\n"
        "   └─ recommendations:{customer}\n"
        "      └─ home\n"
        "orders:{customer}\n"
        "└─ recommendations:{customer} …\n"
    )


def test_for_graphviz(run: Run, write: Write) -> None:
    write(SHOP)
    drawn = run("tags", "--graph", "dot").stdout
    assert r'"catalog" [label="catalog\nroute catalog"];' in drawn
    assert '"recommendations:{customer}" -> "home";' in drawn


def test_for_mermaid(run: Run, write: Write) -> None:
    write(SHOP)
    drawn = run("tags", "--graph", "mermaid").stdout
    assert drawn.startswith("flowchart LR\n")
    assert '["catalog<br>route catalog"]' in drawn
    assert '["orders:#123;customer#125;"]' in drawn


def test_in_json(run: Run, write: Write) -> None:
    write(SHOP)
    found = json.loads(run("tags", "--json", "--top", "0").stdout)
    assert {"source": "product:*", "dependent": "catalog"} in found["dependencies"]


def test_without_dependencies_it_says_so(run: Run, write: Write) -> None:
    write('[[routes]]\npath = "/a"\nttl = "5s"\n')
    assert "has no [dependencies]" in run("tags", "--graph", "text", code=1).stderr


def test_a_circle_is_told_as_a_mistake_of_the_configuration(run: Run, write: Write) -> None:
    write('[dependencies]\na = ["b"]\nb = ["a"]\n')
    assert (
        'dependencies.a: depends on itself, so remove one of these: "a" <- "b" <- "a"'
        in run("tags", code=1).stderr
    )


STRANGE = [('say "a"', "b\\c"), ("b\\c", "<script>#{}[]")]


@pytest.mark.parametrize("draw", DRAWERS.values(), ids=list(DRAWERS))
def test_no_name_breaks_out_of_a_drawing(draw: Callable[..., str]) -> None:
    drawn = draw(STRANGE, {"b\\c": 'the "route"'})
    if draw is as_mermaid:
        assert "<script>" not in drawn
        assert drawn.count('"') == 6
    elif draw is as_dot:
        assert r'"say \"a\"" -> "b\\c";' in drawn
        assert r'[label="b\\c\nthe \"route\""];' in drawn
    else:
        assert draw is as_text


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it() -> None:
    subprocess.run(["dot", "-Tsvg"], input=as_dot(STRANGE, {}).encode(), check=True, timeout=30)
