"""Tags from a request: the values that a route's templates take from its query and headers."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachemw.engine.model.plan import weigh_other
from cachemw.engine.model.tags import MAX_LENGTH, user_tag
from cachemw.engine.request.keying import Bypass
from cachemw.engine.request.tag_values import MAX_TAGS, request_tags
from cachemw.http.fields import Fields
from cachemw.http.messages import Request
from tests.support.engine import Field, Kit, get
from tests.support.examples import examples

COMMENTS = {
    "name": "comments",
    "path": "/c",
    "ttl": "60s",
    "vary": ["Accept-Language"],
    "tags": ["comments:{query.uri}"],
}


def made(template: str, query: bytes, *headers: Field) -> list[str] | None:
    return request_tags([template], {"id": "7"}, query, Fields(headers))


def asked(kit: Kit, query: bytes, *headers: Field) -> Request:
    return get("/c", *headers, query=query)


def own(kit: Kit, query: bytes, *headers: Field) -> set[str]:
    """Return the tags of a request without those of its URL and its route."""
    tags = kit.asked(asked(kit, query, *headers)).plan.tags
    return {tag for tag in tags if not tag.startswith("@")}


VALUES = [
    pytest.param("c:{query.u}", b"u=a", ["c:a"], id="one"),
    pytest.param("c:{query.u}", b"x=1&u=a+b", ["c:a%20b"], id="a plus is a space"),
    pytest.param("c:{query.u}", b"%75=a%2Cb", ["c:a%2Cb"], id="an encoded name, a comma"),
    pytest.param("c:{query.u}", b"u=%C3%A9", ["c:%C3%A9"], id="UTF-8"),
    pytest.param("c:{query.u}", "u=é".encode(), ["c:%C3%A9"], id="UTF-8 that is not encoded"),
    pytest.param("c:{query.u}", b"u=%FF", ["c:%EF%BF%BD", "c:%FF"], id="no UTF-8"),
    pytest.param("c:{query.u}", b"u=a&u=b&u=a", ["c:a", "c:b"], id="several"),
    pytest.param("c:{query.u}", b"u=", ["c:"], id="empty"),
    pytest.param("c:{query.u}", b"u", ["c:"], id="without a value"),
    pytest.param("c:{query.u}", b"&&x=u", [], id="missing"),
    pytest.param("c:{query.u?}", b"", ["c:"], id="missing, and empty then"),
    pytest.param("c:{query.u?}", b"u=1", ["c:1"], id="not missing"),
    pytest.param("{query.u?}", b"", [], id="a tag is never empty"),
    pytest.param("c:{query.u}", b"u=%00%0d%0a*{id}", ["c:%00%0D%0A%2A{id}"], id="hostile"),
    pytest.param("{query.u}", b"u=%40route:comments", ["%40route:comments"], id="no tag of ours"),
    pytest.param("{id}:{query.u}:{query.v}", b"u=1&v=2", ["7:1:2"], id="several places"),
    pytest.param("{query.u}{query.u}", b"u=1&u=2", ["11", "22"], id="the same place twice"),
    pytest.param("{query.a[b]}", b"a%5Bb%5D=1", ["1"], id="a name with brackets"),
]


@pytest.mark.parametrize(("template", "query", "tags"), VALUES)
def test_the_values_of_a_query(template: str, query: bytes, tags: list[str]) -> None:
    assert made(template, query) == tags


def test_the_lines_of_a_header_are_one_value() -> None:
    lines = [(b"x-a", b" de"), (b"x-b", b"1"), (b"x-a", b"\xe9 ")]
    assert made("l:{header.X-A}", b"", *lines) == ["l:de%2C%20%C3%A9"]
    assert made("l:{header.x-a}", b"") == []
    assert made("l:{header.x-a?}", b"") == ["l:"]


def test_too_many_values_make_no_tags() -> None:
    query = b"&".join(b"u=%d" % number for number in range(MAX_TAGS + 1))
    assert made("{query.u}", query) is None
    assert len(made("{query.u}", query.partition(b"&")[2]) or ()) == MAX_TAGS
    both = b"&".join(b"u=%d&v=%d" % (number, number) for number in range(9))
    assert made("{query.u}:{query.v}", both) is None


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@settings(max_examples=examples(200))
@given(TEXTS, st.randoms(use_true_random=False))
def test_however_a_value_is_written_its_tag_is_that_of_the_application(
    value: str, random: object
) -> None:
    """Guard: `_decoded`, and the same spelling as in `user_tag`."""
    every = "".join(f"%{byte:02x}" for byte in value.encode())
    spellings = [quote(value, safe=""), quote(value, safe="/:").replace("%20", "+"), every]
    tags = [made("c:{query.u}", f"u={each}".encode()) for each in spellings]
    assert tags == [[user_tag(f"c:{value}")]] * 3
    assert len(tags[0][0]) <= MAX_LENGTH  # type: ignore[index]


@settings(max_examples=examples(200))
@given(TEXTS, TEXTS)
def test_values_that_differ_share_no_tag(a: str, b: str) -> None:
    """One exception, which `purge` makes: a text and its percent-encoded spelling are one tag."""
    first, second = (set(made("c:{query.u}", f"u={quote(each)}".encode()) or ()) for each in (a, b))
    if unquote(a) != unquote(b):
        assert first.isdisjoint(second)
    assert (first == second) or a != b


@settings(max_examples=examples(200))
@given(st.binary(max_size=60))
def test_no_query_raises(query: bytes) -> None:
    tags = made("{query.u?}:{query.v}", b"v=1&u=" + query)
    assert all(tag.isascii() and not set(" ,*") & set(tag) for tag in tags or ())


def test_an_entry_carries_its_tags_and_their_families() -> None:
    kit = Kit(COMMENTS)
    entry = kit.fill(asked(kit, b"uri=https://a.example/x"))
    assert "comments:https://a.example/x" in entry.tags
    assert {"comments:*", "comments:https:*"} <= set(entry.tags)


def test_without_its_value_an_entry_still_belongs_to_the_family() -> None:
    """Guard: `static_families`. A list of all comments is purged with `comments:*`."""
    assert own(Kit(COMMENTS), b"") == {"comments:*"}
    deep = {**COMMENTS, "tags": ["a:b{query.uri}:c"]}
    assert own(Kit(deep), b"") == {"a:*"}


def test_a_request_with_too_many_values_bypasses_the_cache() -> None:
    kit = Kit(COMMENTS)
    query = b"&".join(b"uri=%d" % number for number in range(MAX_TAGS + 1))
    passed = kit.classify(asked(kit, query))
    assert isinstance(passed, Bypass)
    assert passed.reason == "tag-values"


def test_a_header_is_in_the_tags_of_the_requests_that_have_it() -> None:
    """Guard: plans with headers get tags of their own, also where the target's plan is remembered."""
    kit = Kit({**COMMENTS, "tags": ["l:{header.accept-language?}", "c:{query.uri}"]})
    for _ in range(2):
        assert own(kit, b"uri=1") == {"l:", "l:*", "c:1", "c:*"}
        for language in (b"de", b"fr, en"):
            field = (b"accept-language", language)
            spelt = user_tag(f"l:{language.decode()}")
            assert own(kit, b"uri=1", field) == {spelt, "l:*", "c:1", "c:*"}


def test_the_path_and_a_header_may_be_in_one_tag() -> None:
    """I5: a purge names both. The first request finds no plan, the second one that is remembered."""
    route = {"path": "/c/{id}", "vary": ["Accept-Language"]}
    kit = Kit({**COMMENTS, **route, "tags": ["c:{id}:{header.accept-language}"]})
    for _ in range(2):
        tags = kit.asked(get("/c/7", (b"accept-language", b"de"))).plan.tags
        assert {"c:7:de", "c:7:*", "c:*"} <= set(tags)


def test_what_the_query_of_the_key_has_not_is_in_no_tag() -> None:
    kit = Kit({**COMMENTS, "query": ["uri"]})
    assert own(kit, b"uri=1&x=2") == {"comments:1", "comments:*"}


@pytest.mark.parametrize("header", ["X-Api-Key", "X-Own"])
def test_a_header_that_says_who_is_asking_is_in_no_tag(header: str) -> None:
    """Guard: `check_tag_headers` (I1)."""
    route = {**COMMENTS, "vary": [header], "tags": [f"k:{{header.{header}}}"]}
    with pytest.raises(ValueError, match=r"routes\[0\]\.tags\[0\]: \{header\.X-.*\} says who is"):
        Kit(route, identity_headers=["X-Own"])


def test_a_host_is_one_value_however_it_is_written() -> None:
    kit = Kit({**COMMENTS, "tags": ["t:{header.host}", "l:{header.accept-language}"]})
    for host in (b"shop.example", b"SHOP.example:80"):
        for more in ((), ((b"accept-language", b"de"),)):
            tags = kit.asked(get("/c", *more, host=host)).plan.tags
            assert "t:shop.example" in tags
            assert ("l:de" in tags) is bool(more)


def test_the_tags_of_a_plan_with_headers_count_in_the_memo() -> None:
    """Guard: `weigh_other` (I4)."""
    field = (b"accept-language", b"de")
    plans = [
        Kit({**COMMENTS, "tags": [tag]}).asked(get("/c", field)).plan
        for tag in ("l:{header.accept-language}", "l:de")
    ]
    heavy, light = (weigh_other([field], plan) for plan in plans)
    assert heavy > light + 3 * 256
