"""What an unsafe request that succeeded makes invalid (RFC 9111 §4.4, RFC 9875)."""

from __future__ import annotations

import pytest

from cachemw.config.syntax.flag import OFF
from cachemw.engine.flows.on_response import Relayed
from tests.support.engine import ROUTE, Field, Kit, get

OTHER = {"name": "lists", "path": "/lists/{id}", "ttl": "60s", "query": ["page"]}


def purged(
    kit: Kit, status: int, *fields: Field, path: str = "/products/1", **request: object
) -> set[str]:
    forward = kit.miss(get(path, **{"method": "POST", **request}))  # type: ignore[arg-type]
    decided = kit.head(forward, status, *fields)
    assert isinstance(decided, Relayed)
    return set(decided.purge)


@pytest.fixture
def kit() -> Kit:
    return Kit(ROUTE, OTHER)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH", "get"])
def test_its_own_url_on_its_own_host(kit: Kit, method: str) -> None:
    assert purged(kit, 200, method=method) == {"@shop.example/products/1"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"])
def test_a_safe_request_changes_nothing(kit: Kit, method: str) -> None:
    forward = kit.miss(get("/elsewhere", method=method))
    assert forward.change is None


@pytest.mark.parametrize("status", [199, 400, 404, 500, 503])
def test_one_that_failed_changes_nothing(kit: Kit, status: int) -> None:
    assert purged(kit, status) == set()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_one_that_succeeded_does(kit: Kit, status: int) -> None:
    assert purged(kit, status)


REDIRECTS = [300, 301, 302, 303, 307, 308]


@pytest.mark.parametrize("status", REDIRECTS)
def test_one_that_redirects_changes_nothing(kit: Kit, status: int) -> None:
    """Most sites refuse a write by a redirect to their login page."""
    fields = ((b"location", b"/lists/7"), (b"cache-group-invalidation", b'"a"'))
    assert purged(kit, status, *fields) == set()
    assert purged(kit, status, *fields, path="/elsewhere") == set()


@pytest.mark.parametrize("status", REDIRECTS)
def test_one_that_redirects_does_where_its_route_says_so(status: int) -> None:
    saving = {**ROUTE, "invalidates": ["shelf:{id}"], "invalidates_on_redirect": True}
    kit = Kit(saving, {**OTHER, "invalidates": ["lists"]})
    found = purged(kit, status, (b"location", b"/lists/7"))
    assert found == {"shelf:1", "@shop.example/products/1", "@shop.example/lists/7"}
    assert purged(kit, status, path="/lists/1") == set()
    assert purged(kit, 400) == set()


def test_the_query_counts_as_written_and_as_the_route_reads_it(kit: Kit) -> None:
    tags = purged(kit, 200, path="/lists/1", query=b"page=2&utm=x")
    assert tags == {"@shop.example/lists/1?page=2&utm=x", "@shop.example/lists/1?page=2"}


@pytest.mark.parametrize(
    ("location", "tags"),
    [
        (b"/lists/7", {"@shop.example/lists/7"}),
        (b"http://shop.example/lists/7", {"@shop.example/lists/7"}),
        (b"http://other.example/lists/7", set()),
        (b"https://shop.example/lists/7", {"@shop.example/lists/7"}),
        (b"https://shop.example:8443/lists/7", set()),
        (b"//shop.example/lists/7", {"@shop.example/lists/7"}),
        (b"/nowhere/7", set()),
        (b"http://[", set()),
        (b"\xff", set()),
    ],
    ids=repr,
)
def test_what_the_answer_names_on_the_same_origin(
    kit: Kit, location: bytes, tags: set[str]
) -> None:
    own = {"@shop.example/products/1"}
    for name in (b"location", b"content-location"):
        assert purged(kit, 201, (name, location)) == own | tags


def test_a_path_without_a_route_is_none_of_ours(kit: Kit) -> None:
    """So that a write elsewhere costs no word to Redis."""
    assert purged(kit, 200, path="/elsewhere") == set()


def test_a_route_that_is_off_may_come_back(kit: Kit) -> None:
    kit.engine.routes[0].share = OFF
    assert purged(kit, 200) == {"@shop.example/products/1"}


def test_without_a_host_that_is_one_nothing_can_be_named(kit: Kit) -> None:
    assert purged(kit, 200, host=b"a b") == set()


def test_groups_are_of_their_host_alone(kit: Kit) -> None:
    """RFC 9875 2.1."""
    entry = kit.fill(get(), b"x", (b"cache-groups", b'"shelf", "b c"'))
    for host, valid in ((b"other.example", True), (b"shop.example", False)):
        tags = purged(
            kit, 200, (b"cache-group-invalidation", b'"b c"'), path="/elsewhere", host=host
        )
        assert len(tags) == 1
        assert (tags <= set(entry.tags)) is not valid


def test_the_tags_are_those_that_entries_carry(kit: Kit) -> None:
    """The guard against a purge that names what no entry has."""
    entry = kit.fill(get("/lists/1", query=b"page=2"))
    assert purged(kit, 200, path="/lists/1", query=b"page=2") <= set(entry.tags)


# Values of the request in `invalidates` -------------------------------------------------------------

VALUED = {
    "name": "new",
    "path": "/new/{id}",
    "methods": [],
    "vary": ["X-Shelf"],
    "invalidates": ["c:{id}:{query.uri}", "s:{header.x-shelf?}", "f:{query.uri}:*"],
}


def declared(query: bytes, *fields: Field) -> set[str]:
    kit = Kit(VALUED)
    forward = kit.miss(get("/new/1", *fields, method="POST", query=query))
    decided = kit.head(forward, 200)
    assert isinstance(decided, Relayed)
    return {tag for tag in decided.purge if not tag.startswith("@")}


def test_values_of_the_query_and_of_headers_are_in_what_it_invalidates() -> None:
    assert declared(b"uri=a%20b", (b"x-shelf", b"9")) == {"c:1:a%20b", "s:9", "f:a%20b:*"}
    assert declared(b"uri=1&uri=2") == {"c:1:1", "c:1:2", "s:", "f:1:*", "f:2:*"}
    assert declared(b"") == {"s:"}


def test_a_value_names_no_family_and_none_that_nothing_carries() -> None:
    """Guard: `family_of`. Families end at the third colon, and a URL has some."""
    assert declared(b"uri=x:*") == {"c:1:x:%2A", "s:", "f:x:%2A:*"}
    assert declared(b"uri=https://a:80/b") == {"c:1:https://a:80/b", "s:", "f:https://a:*"}


def test_a_value_that_begins_with_a_colon_is_in_a_family_too() -> None:
    """Guard: the start of the search in `with_families`."""
    kit = Kit(
        {"name": "p", "path": "/p", "ttl": "60s", "tags": ["{query.uri}:x"]},
        {"name": "new", "path": "/new", "methods": [], "invalidates": ["{query.uri}:*"]},
    )
    entry = kit.fill(get("/p", query=b"uri=:a"))
    decided = kit.head(kit.miss(get("/new", method="POST", query=b"uri=:a")), 200)
    assert isinstance(decided, Relayed)
    assert not set(decided.purge).isdisjoint(entry.tags)


def test_with_too_many_values_it_invalidates_the_families_that_hold_them() -> None:
    """I5: rather too much than too little."""
    query = b"&".join(b"uri=%d" % number for number in range(1001))
    assert declared(query) == {"c:*", "s:", "f:*"}
