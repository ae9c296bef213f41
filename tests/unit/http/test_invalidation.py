"""What an unsafe request makes of what is stored (RFC 9111 §4.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.http.fields import Fields, Pair
from cachemw.http.invalidation import invalidates, is_unsafe, targets

BASE = "https://shop.example/a/b?c=d"


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"]
)
def test_a_safe_method_invalidates_nothing(method: str) -> None:
    """RFC 9110 §9.2.1."""
    assert not is_unsafe(method)
    assert not invalidates(method, 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get", "X", ""])
def test_any_other_method_may_change_something(method: str) -> None:
    """RFC 9111 §4.4: unknown ones too."""
    assert is_unsafe(method)
    assert invalidates(method, 200)


@pytest.mark.parametrize(
    ("status", "invalid"),
    [
        (199, False),
        (200, True),
        (299, True),
        (300, False),
        (303, False),
        (400, False),
        (500, False),
    ],
)
def test_an_error_or_a_redirect_changed_nothing(status: int, invalid: bool) -> None:
    assert invalidates("POST", status) is invalid


@pytest.mark.parametrize(
    ("status", "invalid"),
    [(199, False), (200, True), (300, True), (303, True), (399, True), (400, False), (500, False)],
)
def test_a_redirect_did_where_it_means_success(status: int, invalid: bool) -> None:
    assert invalidates("POST", status, redirects=True) is invalid
    assert not invalidates("GET", status, redirects=True)


def at(value: bytes) -> Pair:
    return b"location", value


NAMED = [
    pytest.param([], [], id="9111 4.4 nothing named"),
    pytest.param([at(b"/x?y")], ["https://shop.example/x?y"], id="9111 4.4 Location"),
    pytest.param(
        [(b"content-location", b"/x")], ["https://shop.example/x"], id="9111 4.4 Content-Location"
    ),
    pytest.param([at(b"x")], ["https://shop.example/a/x"], id="3986 5.2 beside the base"),
    pytest.param([at(b"../x")], ["https://shop.example/x"], id="3986 5.2.4 above the base"),
    pytest.param([at(b"?x")], ["https://shop.example/a/b?x"], id="3986 5.2 another query"),
    pytest.param([at(b"//shop.example/x")], ["https://shop.example/x"], id="3986 4.2 no scheme"),
    pytest.param(
        [at(b"HTTPS://SHOP.example:443/X#f")],
        ["https://shop.example/X"],
        id="9110 4.3.1 the same origin, written otherwise; no fragment",
    ),
    pytest.param([at(b"https://shop.example")], ["https://shop.example/"], id="9110 4.2.3 no path"),
    pytest.param([at(b" /x\t")], ["https://shop.example/x"], id="9110 5.5 space around it"),
    pytest.param([at(b"/%2F%00")], ["https://shop.example/%2F%00"], id="9110 4.2.3 as it is"),
    pytest.param(
        [at(b"/x"), (b"content-location", b"/y"), at(b"/x#1"), at(b"/z")],
        [f"https://shop.example/{path}" for path in "xzy"],
        id="9111 4.4 all of them, each once",
    ),
    pytest.param([at(b"http://shop.example/x")], [], id="9110 4.3.1 another scheme"),
    pytest.param([at(b"https://shop.example:8443/x")], [], id="9110 4.3.1 another port"),
    pytest.param([at(b"https://other.example/x")], [], id="9110 4.3.1 another host"),
    pytest.param([at(b"//other.example/x")], [], id="9110 4.3.1 another host, no scheme"),
    pytest.param([at(b"https://shop.example@other.example/")], [], id="3986 3.2.1 user info"),
    pytest.param([at(b"mailto:a@shop.example")], [], id="9110 4.3.1 no origin"),
    pytest.param([at(b"https://shop.example:x/")], [], id="3986 3.2.3 a port that is none"),
    pytest.param([at(b"https://shop.example:99999/")], [], id="3986 3.2.3 a port too large"),
    pytest.param([at(b"https://[/")], [], id="3986 3.2.2 an address that is none"),
    pytest.param([at(b"")], [], id="3986 4.1 empty"),
    pytest.param([at(b"/a b")], [], id="3986 2 a space"),
    pytest.param([at(b"/a\r\nb")], [], id="9110 5.5 a line break"),
    pytest.param([at(b"/\xc3\xa9")], [], id="3986 2 ASCII only"),
]


@pytest.mark.parametrize(("pairs", "uris"), NAMED)
def test_the_uris_of_the_same_origin_that_are_named(pairs: list[Pair], uris: list[str]) -> None:
    assert targets(Fields(pairs), BASE) == uris


@pytest.mark.parametrize("base", ["", "//", "https://[", "https://h:x/", "a"])
def test_a_base_that_is_no_uri_names_nothing_of_another_origin(base: str) -> None:
    assert targets(Fields([at(b"https://other.example/x")]), base) == []


PARTS = st.lists(
    st.sampled_from([b"https:", b"//", b"shop.example", b"[", b"]", b":", b"@", b"/", b"..", b"?"])
    | st.sampled_from([b"#", b"443", b"\\", b";", b"%", b"a"])
).map(b"".join)


@given(st.lists(st.binary(max_size=20) | PARTS, max_size=3), st.text(max_size=10) | st.just(BASE))
def test_no_input_raises_and_no_other_origin_is_named(values: list[bytes], base: str) -> None:
    found = targets(Fields([at(value) for value in values]), base)
    if base == BASE:
        assert all(uri.startswith("https://shop.example/") for uri in found)
    assert not any("#" in uri for uri in found)
