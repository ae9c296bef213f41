"""Tags: one spelling for each, wherever it is made, and the tags of a URL to purge."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.tags import (
    MAX_LENGTH,
    fill,
    normalise,
    route_tag,
    url_tags,
    user_tag,
)
from cachemw.engine.request.urls import MAX_MOUNT, tags_of_url
from cachemw.errors import CacheError, TagError
from cachemw.http.messages import Request
from tests.support.engine import Kit, get

SPELLED = [
    pytest.param("product:1", "product:1", id="plain"),
    pytest.param("product:é", "product:%C3%A9", id="no ASCII"),
    pytest.param("a b", "a%20b", id="a space"),
    pytest.param("a,b", "a%2Cb", id="a comma"),
    pytest.param("a%2Cb", "a%2Cb", id="what is encoded stays"),
    pytest.param("a\nb", "a%0Ab", id="a newline"),
    pytest.param("a\udcffb", "a%FFb", id="a byte that is no text"),
    pytest.param("~{}|\"'", "~{}|\"'", id="all that is visible"),
]


@pytest.mark.parametrize(("tag", "spelling"), SPELLED)
def test_a_tag_has_one_spelling(tag: str, spelling: str) -> None:
    assert normalise(tag) == spelling == user_tag(tag)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(TEXT)
def test_every_spelling_is_visible_ascii_and_bounded(tag: str) -> None:
    assert re.fullmatch(rf"[!-+\--~]{{0,{MAX_LENGTH}}}", normalise(tag))


@given(TEXT)
def test_spelling_again_changes_nothing(tag: str) -> None:
    assert normalise(normalise(tag)) == normalise(tag)


PLAIN = st.text(st.characters(codec="ascii", exclude_characters=",%", categories=["L", "N", "P"]))


@given(PLAIN, PLAIN)
def test_plain_tags_that_differ_stay_different(a: str, b: str) -> None:
    assert (normalise(a) == normalise(b)) is (a == b)


def test_long_tags_that_differ_at_the_end_stay_different() -> None:
    a, b = (normalise("x" * 1000 + end) for end in "ab")
    assert a != b
    assert len(a) == len(b) == MAX_LENGTH


@pytest.mark.parametrize(
    "tag",
    ["", "@mine", "@", "\ud800", None, 3, b"product:1"],
    ids=["empty", "reserved", "at", "surrogate", "none", "number", "bytes"],
)
def test_what_is_no_tag_is_refused(tag: object) -> None:
    with pytest.raises(TagError) as error:
        user_tag(tag)  # type: ignore[arg-type]
    assert isinstance(error.value, CacheError)
    assert isinstance(error.value, ValueError)


@given(st.text())
def test_a_users_tag_is_spelled_or_refused(tag: str) -> None:
    with contextlib.suppress(TagError):
        assert not user_tag(tag).startswith("@")


FILLED = [
    pytest.param("product:{id}", {"id": "7"}, "product:7", id="a parameter"),
    pytest.param("{a}:{b}", {"a": "1", "b": "2"}, "1:2", id="two"),
    pytest.param("{a}", {"a": "{b}", "b": "no"}, "{b}", id="a value is never a template"),
    pytest.param("{c}", {"a": "1"}, "{c}", id="unknown"),
    pytest.param("plain", {}, "plain", id="none"),
    pytest.param("{a}", {"a": r"\1"}, r"\1", id="a value is no replacement pattern"),
]


@pytest.mark.parametrize(("template", "values", "tag"), FILLED)
def test_a_template_is_filled_in_one_pass(template: str, values: dict[str, str], tag: str) -> None:
    assert fill(template, values) == tag


def test_own_tags_cannot_be_a_users() -> None:
    for tag in (route_tag("products"), *url_tags("shop.example", "/products/1", b"")):
        with pytest.raises(TagError):
            user_tag(tag)


def test_a_url_has_a_tag_on_its_host_and_one_on_any() -> None:
    assert url_tags("shop.example", "/p/1", b"a=1") == ("@/p/1?a=1", "@shop.example/p/1?a=1")
    assert url_tags("shop.example", "/p/é", b"") == ("@/p/%C3%A9", "@shop.example/p/%C3%A9")


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_path_and_no_query_raises(path: bytes, query: bytes) -> None:
    url_tags("host", path.decode("utf-8", "surrogateescape"), query)


SAME_PATHS = [
    pytest.param(["/p/\udcff", "/p/\udcfe", "/p/\ufffd", "/p/%FF", "/p/%fe"], id="no UTF-8"),
    pytest.param(["/café/p", "/caf%C3%A9/p", "/caf%c3%a9/p"], id="a mount that came encoded"),
    pytest.param(["/a/b", "//a/b", "/a//b", "/a///b"], id="slashes"),
    pytest.param(["/a/b", "/a/./b", "/a/c/../b", "/../a/b", "/x/y/../../a/b"], id="dots"),
    pytest.param(["/a/", "/a//", "/a/.", "/a/b/.."], id="a slash at the end"),
    pytest.param(["/", "//", "/.", "/..", "/a/.."], id="the root"),
]


@pytest.mark.parametrize("paths", SAME_PATHS)
def test_what_some_server_takes_for_one_path_has_one_tag(paths: list[str]) -> None:
    # Guard: `_folded_path`.
    assert len({url_tags("a", path, b"") for path in paths}) == 1


@pytest.mark.parametrize(
    "paths", [["/a", "/a/", "/A", "/a;b", "/a+b", "/a b", "/a.b", "/.a", "/..a", "/a..", "/a/..b"]]
)
def test_other_paths_have_other_tags(paths: list[str]) -> None:
    assert len({url_tags("a", path, b"") for path in paths}) == len(paths)


def test_all_spellings_of_a_query_have_one_tag() -> None:
    # Guard: `_folded_query`.
    queries = [b"q=caf\xc3\xa9+a", b"q=caf%C3%A9%20a", b"%71=%63af%c3%a9+%61"]
    assert len({url_tags("a", "/p", query) for query in queries}) == 1


# Purging by URL -----------------------------------------------------------------------------------

KIT = Kit(
    {"path": "/p/{id}", "ttl": "1m", "query": ["page"], "mount": ""},
    {"path": "/f/{rest:path}", "ttl": "1m", "ignore_query": ["utm_*"]},
    {"path": "/p/{id}", "ttl": "1m", "mount": "/shop"},
    {"path": "/", "ttl": "1m", "query": ["a"]},
)

PURGED = [
    pytest.param("/p/1", get("/p/1"), True, id="a path"),
    pytest.param("/p/1", get("/p/1", host=b"other"), True, id="on every host"),
    pytest.param("/p/1", get("/p/2"), False, id="another path"),
    pytest.param("/f/1", get("/f/1/"), False, id="a trailing slash"),
    pytest.param("/p/1", get("/p/%31"), True, id="another spelling of it"),
    pytest.param("/p/%31", get("/p/1"), True, id="another spelling of the purge"),
    pytest.param("/p/é", get("/p/%C3%A9"), True, id="as people write it"),
    pytest.param("/p/1", get("/p/1", query=b"page=2"), False, id="another query"),
    pytest.param("/p/1?page=2", get("/p/1", query=b"page=2"), True, id="its query"),
    pytest.param("/p/1?page=2&x=1", get("/p/1", query=b"page=2"), True, id="what is not read"),
    pytest.param("/p/1?page=2", get("/p/1", query=b"x=1&page=2"), True, id="nor by the request"),
    pytest.param("/f/a?utm_x=1", get("/f/a"), True, id="what is ignored"),
    pytest.param("/f/a?b=1&utm_x=1", get("/f/a", query=b"b=1"), True, id="and keeps the rest"),
    pytest.param("/f/a#part", get("/f/a"), True, id="a fragment is none of it"),
    pytest.param("http://a/p/1", get("/p/1", host=b"a"), True, id="on one host"),
    pytest.param("http://a/p/1", get("/p/1", host=b"b"), False, id="not on others"),
    pytest.param("http://A:80/p/1", get("/p/1", host=b"a"), True, id="its default port"),
    pytest.param("https://a/p/1", get("/p/1", host=b"a"), True, id="whatever the scheme"),
    pytest.param("http://me@a/p/1", get("/p/1", host=b"a"), True, id="user information"),
    pytest.param("http://a:8000/p/1", get("/p/1", host=b"a:8000"), True, id="a port"),
    pytest.param("/p/1?page=é", get("/p/1", query=b"page=%c3%A9"), True, id="a query, typed"),
    pytest.param("http://bücher/p/1", get("/p/1", host=b"xn--bcher-kva"), True, id="a host, typed"),
    pytest.param("/shop/p/1", get("/p/1", mount="/shop"), True, id="below a mount"),
    pytest.param("/shop?a=1&b=2", get("/", query=b"a=1", mount="/shop"), True, id="a mount's root"),
    pytest.param(
        "/shop/?a=1&b=2", get("/", query=b"a=1", mount="/shop"), True, id="with its slash"
    ),
    pytest.param("/shop/p/1", get("/p/1"), False, id="a mount is not dropped"),
    pytest.param("/shop/f/a?utm_x=1", get("/f/a", mount="/shop"), True, id="read below a mount"),
    pytest.param(
        "/a" * MAX_MOUNT + "/f/a?utm_x=1",
        get("/f/a", mount="/a" * MAX_MOUNT),
        True,
        id="read below the deepest mount",
    ),
]


@pytest.mark.parametrize(("url", "request_", "gone"), PURGED)
def test_a_url_names_the_entries_made_for_it(url: str, request_: Request, gone: bool) -> None:
    tags = tags_of_url(KIT.engine, url)
    assert (not set(tags).isdisjoint(KIT.asked(request_).plan.tags)) is gone


@pytest.mark.parametrize(
    "url",
    [
        "",
        "p/1",
        "http://a",
        "ftp://a/p",
        "mailto:a@b",
        "*",
        "http://[/p",
        "/p/\ud800",
        "//\ud800/p",
        "http://é..b/p",
    ],
)
def test_what_is_no_url_of_ours_is_refused(url: str) -> None:
    with pytest.raises(TagError):
        tags_of_url(KIT.engine, url)


def test_a_path_of_slashes_is_not_slow() -> None:
    """A client may POST to any path. Guard: MAX_MOUNT, without which this takes half a minute."""
    began = time.thread_time()  # others that use the processor meanwhile do not count
    assert tags_of_url(KIT.engine, "http://a" + "/" * 64_000)
    assert time.thread_time() - began < 2


@given(st.text(max_size=30) | st.text(max_size=30).map(lambda path: f"/{path}"))
def test_a_url_gives_tags_or_is_refused(url: str) -> None:
    with contextlib.suppress(TagError):
        assert all(tag.startswith("@") for tag in tags_of_url(KIT.engine, url))
