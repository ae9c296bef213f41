"""What depends on what: purging one thing purges all that was built from it, and no less."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.config.syntax.dependencies import ANY, Pattern, find_cycle
from cachemw.engine.model.tags import with_families
from cachemw.invalidation.graph import Graph

SHOP = {
    "catalog": ["product:*"],
    "recommendations:{customer}": ["catalog", "orders:{customer}"],
    "home": ["recommendations:*", "db:shop_banner:{id}"],
    "stock:{product}:{place}": ["delivery:{place}"],
}


@pytest.mark.parametrize(
    ("purged", "also"),
    [
        ("product:5", ["catalog", "recommendations:*", "home"]),
        ("product:5:en", ["catalog", "recommendations:*", "home"]),
        ("product:*", ["catalog", "recommendations:*", "home"]),
        ("product", []),
        ("orders:7", ["recommendations:7", "home"]),
        ("orders:*", ["recommendations:*", "home"]),
        ("orders:7:2", []),
        ("recommendations:7", ["home"]),
        ("db:*", ["home"]),
        ("db:shop_banner:*", ["home"]),
        ("db:shop_banner", []),
        ("delivery:north", ["stock:*"]),
        ("catalogue", []),
    ],
)
def test_what_goes_with_a_purge(purged: str, also: list[str]) -> None:
    assert Graph(SHOP).expand([purged]) == (purged, *also)


def test_a_graph_without_edges_adds_nothing() -> None:
    assert Graph({}).expand(["a", "b", "a"]) == ("a", "b")


def test_the_arrows_of_a_drawing_join_the_two_spellings_of_a_node() -> None:
    """As a source it is `recommendations:*`, as a dependent `recommendations:{customer}`."""
    assert Graph(SHOP).arrows() == (
        ("product:*", "catalog"),
        ("catalog", "recommendations:{customer}"),
        ("orders:{customer}", "recommendations:{customer}"),
        ("recommendations:{customer}", "home"),
        ("db:shop_banner:{id}", "home"),
        ("delivery:{place}", "stock:{product}:{place}"),
    )


def test_an_arrow_is_drawn_once_and_to_every_node_that_its_source_may_be() -> None:
    graph = Graph({"page:a": ["x", "x"], "page:b": ["x"], "home": ["page:*"]})
    assert graph.arrows() == (
        ("x", "page:a"),
        ("x", "page:b"),
        ("page:a", "home"),
        ("page:b", "home"),
    )
    assert Graph({}).arrows() == ()


@pytest.mark.parametrize(
    ("dependencies", "cycle"),
    [
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
        ({"page:{id}": ["page:{parent}"]}, ["page:{id}", "page:{id}"]),
        ({"a:1": ["b:*"], "b:{x}": ["a:{x}"]}, ["a:1", "b:{x}", "a:1"]),
        ({"a:1": ["b"], "b": ["a:2"]}, []),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["e"]}, []),
    ],
)
def test_circles_are_found(dependencies: dict[str, list[str]], cycle: list[str]) -> None:
    assert find_cycle(dependencies) == cycle


WORDS = st.sampled_from("abc")
PARTS = st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), max_size=3)


@st.composite
def patterns(draw: Any) -> str:
    star = draw(st.sampled_from([[], [ANY]]))
    return ":".join([draw(WORDS), *draw(PARTS), *star])


def instances(pattern: str) -> set[str]:
    """Give some tags that a pattern stands for."""
    found = {""}
    for part in pattern.split(":"):
        values = (
            ["a", "b", "z"] if part.startswith("{") else ["a", "a:b"] if part == ANY else [part]
        )
        found = {f"{before}:{value}" for before in found for value in values}
    return {tag[1:] for tag in found if Pattern(pattern).match(tag[1:]) is not None}


def bound(pattern: str, tag: str) -> dict[str, str]:
    return Pattern(pattern).match(tag) or {}


@given(source=patterns(), dependent=patterns())
def test_no_entry_outlives_a_purge_of_what_it_depends_on(source: str, dependent: str) -> None:
    # Whatever tags are taken from the patterns: an entry of the dependent goes when its own source
    # is purged, or a family that its source is of. Without families, parameters or stars it fails.
    graph = Graph({dependent: [source]})
    for tag in instances(source):
        told = bound(source, tag)
        built = {
            entry
            for entry in instances(dependent)
            if all(
                told.get(name, value) == value for name, value in bound(dependent, entry).items()
            )
        }
        for way in with_families([tag]):
            gone = set(graph.expand([way]))
            for entry in built:
                assert gone & set(with_families([entry])), (way, entry)
