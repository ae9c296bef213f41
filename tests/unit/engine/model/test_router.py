"""Which route a path belongs to: the first listed that matches, found without trying them all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.config import parse_template
from cachemw.engine.model.router import Match, Router

Listed = list[tuple[str, str | None]]


def router(*routes: str | tuple[str, str | None]) -> Router:
    pairs = [(route, None) if isinstance(route, str) else route for route in routes]
    return Router([(parse_template(path), mount) for path, mount in pairs])


UUID = "123e4567-e89b-12d3-a456-426614174000"

MATCHES: list[Any] = [
    pytest.param("/", "/", {}, id="the root"),
    pytest.param("/", "/a", None, id="only the root"),
    pytest.param("/a", "/a", {}, id="a literal"),
    pytest.param("/a", "/A", None, id="case counts"),
    pytest.param("/a", "/a/", None, id="a trailing slash is a segment"),
    pytest.param("/a/", "/a/", {}, id="a trailing slash in the template"),
    pytest.param("/a", "//a", None, id="slashes are not merged"),
    pytest.param("/a", "/b/../a", None, id="dots are not resolved"),
    pytest.param("/a.b", "/axb", None, id="a dot is a dot"),
    pytest.param("/p/{id}", "/p/7", {"id": "7"}, id="a parameter"),
    pytest.param("/p/{id}", "/p/", None, id="a parameter is never empty"),
    pytest.param("/p/{id}", "/p/a/b", None, id="a parameter holds no slash"),
    pytest.param("/p/{id}", "/p/a\nb", {"id": "a\nb"}, id="a newline is text"),
    pytest.param("/p/{id}", "/p/é", {"id": "é"}, id="text of any script"),
    pytest.param("/p/{id}", "/p/\udcff", {"id": "\udcff"}, id="bytes that are no text"),
    pytest.param("/p/{id:int}", "/p/42", {"id": "42"}, id="an int"),
    pytest.param("/p/{id:int}", "/p/-1", None, id="an int has no sign"),
    pytest.param("/p/{id:int}", "/p/٣", None, id="an int has ASCII digits"),
    pytest.param("/p/{id:int}", "/p/1\n", None, id="an int ends where the segment ends"),
    pytest.param("/p/{id:uuid}", f"/p/{UUID}", {"id": UUID}, id="a uuid"),
    pytest.param("/p/{id:uuid}", "/p/123e4567", None, id="no uuid"),
    pytest.param("/p/{a}.{b}", "/p/x.y.z", {"a": "x.y", "b": "z"}, id="two in a segment"),
    pytest.param("/p/v{n:int}-{s}", "/p/v2-x", {"n": "2", "s": "x"}, id="text between"),
    pytest.param("/f/{rest:path}", "/f/a/b/", {"rest": "a/b/"}, id="the rest"),
    pytest.param("/f/{rest:path}", "/f/", {"rest": ""}, id="an empty rest"),
    pytest.param("/f/{rest:path}", "/f", None, id="no rest without its slash"),
    pytest.param("/{rest:path}", "/", {"rest": ""}, id="everything"),
    pytest.param("/{rest:path}", "/a\n/b", {"rest": "a\n/b"}, id="everything, newlines too"),
    pytest.param("/f/x{rest:path}", "/f/xa/b", {"rest": "a/b"}, id="the rest behind text"),
    pytest.param("/a", "a", None, id="a path begins with a slash"),
    pytest.param("/a", "", None, id="an empty path"),
    pytest.param("/{rest:path}", "*", None, id="asterisk form"),
]


@pytest.mark.parametrize(("template", "path", "values"), MATCHES)
def test_a_template_matches(template: str, path: str, values: dict[str, str] | None) -> None:
    assert router(template).match("", path) == (None if values is None else (0, values))


FIRST: list[Any] = [
    pytest.param(["/{x}", "/a"], "/a", 0, id="a pattern listed before a literal"),
    pytest.param(["/a", "/{x}"], "/a", 0, id="a literal listed before a pattern"),
    pytest.param(["/{rest:path}", "/a/b"], "/a/b", 0, id="a rest listed first"),
    pytest.param(["/a/{x}", "/{rest:path}"], "/a/b", 0, id="a rest listed last"),
    pytest.param(["/{x:int}", "/{x}"], "/7", 0, id="an int before a text"),
    pytest.param(["/{x:int}", "/{x}"], "/a", 1, id="a text that is no int"),
    pytest.param(["/{x}/b", "/a/{y}"], "/a/b", 0, id="both match, crosswise"),
    pytest.param(["/a/{x}/c", "/a/b/{y}"], "/a/b/d", 1, id="a dead end is left again"),
]


@pytest.mark.parametrize(("templates", "path", "index"), FIRST)
def test_of_all_that_match_the_first_listed_wins(
    templates: list[str], path: str, index: int
) -> None:
    found = router(*templates).match("", path)
    assert found is not None
    assert found[0] == index


@pytest.mark.parametrize(("mount", "index"), [("/shop", 0), ("", 1), ("/other", 2), ("/shop/", 2)])
def test_a_route_may_be_of_one_mount(mount: str, index: int) -> None:
    found = router(("/a", "/shop"), ("/a", ""), ("/a", None)).match(mount, "/a")
    assert found is not None
    assert found[0] == index


# Against a naive reference: every template a regular expression, tried in order -------------------

CONVERTERS = {"": "[^/]+", ":str": "[^/]+", ":int": "[0-9]+", ":path": ".*"}


def reference(routes: Listed, mount: str, path: str) -> Match | None:
    for index, (template, only) in enumerate(routes):
        pattern = "".join(
            re.escape(piece)
            if not piece.startswith("{")
            else "(?P<{}>{})".format(*_parameter(piece))
            for piece in re.split(r"(\{[^}]*\})", template)
        )
        match = re.fullmatch(pattern, path, re.DOTALL)
        if match and only in (None, mount):
            return index, match.groupdict()
    return None


def _parameter(piece: str) -> tuple[str, str]:
    name, colon, converter = piece[1:-1].partition(":")
    return name, CONVERTERS[colon + converter]


SEGMENTS = ["", "a", "b", "1", "{%s}", "{%s:int}", "a{%s}", "{%s:str}.b", "x-{%s}"]


@st.composite
def templates(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3))
    if draw(st.booleans()):
        segments.append(draw(st.sampled_from(["{%s:path}", "a{%s:path}"])))
    letters = draw(st.sampled_from(["pqrs", "tuvw"]))  # same shape, other names: other patterns
    return "/" + "/".join(s % letters[i] if "%" in s else s for i, s in enumerate(segments))


ROUTES = st.lists(st.tuples(templates(), st.sampled_from([None, "", "/m"])), max_size=8)
PATHS = st.lists(
    st.sampled_from(["", "a", "b", "1", "12", "a1", "a.b", "x-a", "\n", "é"]), max_size=5
).map(lambda segments: "/" + "/".join(segments))


@given(ROUTES, st.sampled_from(["", "/m"]), st.lists(PATHS, min_size=1, max_size=5))
def test_it_finds_what_trying_all_in_order_finds(
    routes: Listed, mount: str, paths: list[str]
) -> None:
    made = router(*routes)
    for path in paths:
        assert made.match(mount, path) == reference(routes, mount, path)


@given(ROUTES, st.text(max_size=10), st.text(max_size=10))
def test_no_path_raises(routes: Listed, mount: str, path: str) -> None:
    made = router(*routes)
    assert made.match(mount, path) == (
        reference(routes, mount, path) if path.startswith("/") else None
    )


# Cost ---------------------------------------------------------------------------------------------


def shop(sections: int) -> list[str]:
    """Templates as applications have them: four for each of many sections."""
    return [
        f"/{section}{tail}"
        for section in [f"section-{number}" for number in range(sections)]
        for tail in ("", "/{id:int}", "/{id:int}/reviews", "/files/{rest:path}")
    ]


@pytest.mark.parametrize("path", ["/section-1/7/reviews", "/section-0/files/a/b", "/none/of/these"])
def test_matching_takes_as_many_steps_among_1000_routes_as_among_8(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    steps = 0
    walk = Router._walk

    def counted(*args: Any) -> None:
        nonlocal steps
        steps += 1
        walk(*args)

    monkeypatch.setattr(Router, "_walk", counted)
    taken = []
    for sections in (2, 250):
        steps = 0
        router(*shop(sections)).match("", path)
        taken.append(steps)
    assert taken[0] == taken[1] <= 4
