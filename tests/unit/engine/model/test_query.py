"""The query as a route reads it: what is keyed is what the application sees."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.query import query_reader

LISTED = [
    pytest.param(b"", b"", id="nothing"),
    pytest.param(b"page=2", b"page=2", id="a listed one"),
    pytest.param(b"utm=1&page=2&x", b"page=2", id="others are removed"),
    pytest.param(b"sort=a&page=2", b"page=2&sort=a", id="order does not count"),
    pytest.param(b"page=2&sort=a", b"page=2&sort=a", id="order does not count, the other way"),
    pytest.param(b"page=2&page=1", b"page=2&page=1", id="repeated ones keep theirs"),
    pytest.param(b"page", b"page", id="no value is not an empty one"),
    pytest.param(b"page=", b"page=", id="an empty value"),
    pytest.param(b"page=%32", b"page=%32", id="values stay as sent"),
    pytest.param(b"p%61ge=2", b"p%61ge=2", id="names are compared decoded, kept as sent"),
    pytest.param(b"PAGE=2", b"", id="case counts"),
    pytest.param(b"page[]=2", b"", id="brackets are of the name"),
    pytest.param(b"page=2;sort=a", b"page=2;sort=a", id="a semicolon separates nothing"),
    pytest.param(b"x;page=2", b"", id="nor does it begin a name"),
    pytest.param(b"&&page=2&", b"page=2", id="empty pieces are removed"),
    pytest.param(b"=2&page=1", b"page=1", id="no name"),
    pytest.param(b"a+b=1", b"a+b=1", id="a plus is a space in a name"),
    pytest.param(b"a%20b=1", b"a%20b=1", id="so is %20"),
    pytest.param(b"page=a=b", b"page=a=b", id="only the first = divides"),
]


@pytest.mark.parametrize(("query", "read"), LISTED)
def test_a_route_reads_the_parameters_it_lists(query: bytes, read: bytes) -> None:
    assert query_reader(("page", "sort", "a b"), ())(query) == read


def test_a_route_that_reads_none_sees_none() -> None:
    assert query_reader((), ())(b"a=1&b=2") == b""


IGNORED = [
    pytest.param(b"utm_source=x&page=2", b"page=2", id="by prefix"),
    pytest.param(b"page=2&gclid=1&sort=a", b"page=2&sort=a", id="by name"),
    pytest.param(b"sort=a&page=2", b"sort=a&page=2", id="order of the rest is kept"),
    pytest.param(b"gclidx=1", b"gclidx=1", id="a name is not a prefix"),
    pytest.param(b"%75tm_x=1&%67clid=2&p", b"p", id="however they are spelled"),
    pytest.param(b"UTM_x=1", b"UTM_x=1", id="case counts"),
    pytest.param(b"a&a=", b"a&a=", id="the rest stays as sent"),
]


@pytest.mark.parametrize(("query", "read"), IGNORED)
def test_a_route_ignores_what_it_names(query: bytes, read: bytes) -> None:
    assert query_reader(None, ("utm_*", "gclid"))(query) == read


def test_a_star_alone_ignores_all() -> None:
    assert query_reader(None, ("*",))(b"a=1&b") == b""


@given(st.binary(max_size=40))
def test_by_default_all_of_it_is_read_as_sent(query: bytes) -> None:
    assert query_reader(None, ())(query) == query


QUERIES = st.lists(
    st.sampled_from(["a", "b", "c", "=", "&", "%61", "%6", "%FF", "+", "1", ";", "a=1"]),
    max_size=12,
).map("".join)
READERS = st.sampled_from(
    [query_reader(("a", "b"), ()), query_reader(None, ("a*",)), query_reader(None, ("b", "c"))]
)


@given(READERS, QUERIES)
def test_reading_again_changes_nothing(reader, query: str) -> None:  # type: ignore[no-untyped-def]
    once = reader(query.encode())
    assert reader(once) == once


@given(QUERIES)
def test_the_application_sees_the_listed_parameters_as_they_were(query: str) -> None:
    """What a framework's own parser makes of the reduced query is what it made of the whole."""

    def seen(text: str) -> list[tuple[str, str]]:
        pairs = parse_qsl(text, keep_blank_values=True, errors="replace")
        return [pair for pair in pairs if pair[0] in ("a", "b")]

    reduced = query_reader(("a", "b"), ())(query.encode()).decode()
    assert sorted(seen(reduced), key=lambda pair: pair[0]) == seen(reduced)
    for name in ("a", "b"):
        assert [v for n, v in seen(reduced) if n == name] == [
            v for n, v in seen(query) if n == name
        ]


@given(st.binary(max_size=40))
def test_no_query_raises(query: bytes) -> None:
    query_reader(("a",), ())(query)
    query_reader(None, ("a*",))(query)
