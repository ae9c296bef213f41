"""Path templates. What is wrong with one is in the table of mistakes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.config import Segment, parse_template
from cachemw.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "segments", "parameters"),
    [
        ("/", (Segment(literal=""),), ()),
        ("/a/", (Segment(literal="a"), Segment(literal="")), ()),
        (
            "/products/{id}",
            (Segment(literal="products"), Segment(parts=(("id", "str"),))),
            ("id",),
        ),
        (
            "/v{n:int}/{name}.{ext}",
            (
                Segment(parts=("v", ("n", "int"))),
                Segment(parts=(("name", "str"), ".", ("ext", "str"))),
            ),
            ("n", "name", "ext"),
        ),
        (
            "/f/{rest:path}",
            (Segment(literal="f"), Segment(parts=(("rest", "path"),), catch_all=True)),
            ("rest",),
        ),
        (
            "/x-{rest:path}",
            (Segment(parts=("x-", ("rest", "path")), catch_all=True),),
            ("rest",),
        ),
        ("/é/{u:uuid}", (Segment(literal="é"), Segment(parts=(("u", "uuid"),))), ("u",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_template_is_cut_at_its_slashes(
    path: str, segments: tuple[Segment, ...], parameters: tuple[str, ...]
) -> None:
    template = parse_template(path)
    assert (template.path, template.segments, template.parameters) == (path, segments, parameters)


def written(segment: Segment) -> str:
    if segment.literal is not None:
        return segment.literal
    return "".join(p if isinstance(p, str) else f"{{{p[0]}:{p[1]}}}" for p in segment.parts)


@given(st.text(alphabet="/{}:abint.strpath", max_size=30))
def test_a_parsed_template_written_out_parses_to_the_same(text: str) -> None:
    try:
        template = parse_template(f"/{text}")
    except ConfigError:
        return
    again = parse_template("/" + "/".join(written(segment) for segment in template.segments))
    assert (again.segments, again.parameters) == (template.segments, template.parameters)
