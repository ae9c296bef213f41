"""GraphQL: queries are cached by their body, and nothing else is."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest

from .conftest import OpenDoor
from .doors import Door
from .language import Asked, Call, Fields, Reply, Said

pytest.importorskip("graphql")

GRAPHQL: dict[str, Any] = {"methods": ["GET", "POST"], "body": "graphql"}
JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
QUERY = {"query": "query Q($n: Int) { a(n: $n) }", "variables": {"n": 1}}
MUTATION = {"query": "mutation M { a }"}


def server(**said: Any) -> Any:
    """Make a handler whose every answer differs from the one before, as JSON."""
    count = itertools.count(1)

    def handler(asked: Asked) -> Said:
        body = json.dumps({"data": next(count)}).encode()
        return Said(**{"body": body, "headers": [JSON], **said})

    return handler


def post(door: Door, asked: Any, headers: Fields = (JSON,), target: str = "/g") -> Reply:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    return door.ask(Call(target=target, method="POST", body=body, headers=list(headers)))


def get(door: Door, query: str) -> Reply:
    return door.get(f"/g?query={query}")


def test_a_query_is_cached_by_document_variables_and_name(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    asked = [QUERY, {**QUERY, "variables": {"n": 2}}, {**QUERY, "operationName": "Q"}]
    for _ in range(2):
        assert [post(door, each).body for each in asked] == [
            b'{"data": 1}',
            b'{"data": 2}',
            b'{"data": 3}',
        ]
    assert post(door, QUERY).hit


def test_a_query_may_come_in_a_get(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    assert [get(door, "{a}").hit for _ in range(2)] == [False, True]
    assert door.get("/g?query=%7Ba%7D", method="HEAD").status == 200
    for target in ("/g", "/g?query=mutation{a}", "/g?id=1", "/g?query={a}&query={b}"):
        replies = [door.get(target) for _ in range(2)]
        assert [reply.detail for reply in replies] == ["operation"] * 2


def test_a_document_may_be_the_body(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    kind = [("Content-Type", "application/graphql")]
    assert [post(door, b"{ a }", kind).hit for _ in range(2)] == [False, True]
    assert [post(door, b"mutation { a }", kind).hit for _ in range(2)] == [False, False]


@pytest.mark.parametrize(
    "asked",
    [
        MUTATION,
        {"query": "subscription { a }"},
        [QUERY],
        {"query": "{ a"},
        {"query": "query A { a } query B { b }"},
        {"query": "query A { a }", "operationName": "B"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}},
        {**QUERY, "documentId": "1"},
        b"{}",
        b"",
    ],
    ids=str,
)
def test_what_is_no_query_for_sure_goes_past_the_cache(open_door: OpenDoor, asked: Any) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    replies = [post(door, asked) for _ in range(2)]
    assert [reply.detail for reply in replies] == ["operation"] * 2
    assert [reply.body for reply in replies] == [b'{"data": 1}', b'{"data": 2}']
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    assert door.seen.body == body


def test_a_query_beside_another_in_the_url_goes_past_the_cache(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    assert post(door, QUERY, target="/g?query=mutation{a}").detail == "operation"
    assert post(door, QUERY, target="/g?op=Q").detail == ""


@pytest.mark.parametrize(
    "said",
    [
        {"body": b'{"data": null, "errors": [{"message": "no"}]}'},
        {"body": b'{"data": 1'},
        {"body": b"hello"},
        {"body": b'{"data": 1}', "headers": [("Content-Type", "text/html")]},
        {"body": b'{"data": 1}', "headers": [JSON, ("Content-Encoding", "br")]},
    ],
    ids=["errors", "cut", "text", "html", "coded"],
)
@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_with_errors_is_not_kept(
    open_door: OpenDoor, said: dict[str, Any], streams: bool
) -> None:
    body = said["body"]

    def handler(asked: Asked) -> Said:
        whole = iter([body[:5], body[5:]]) if streams else body
        return Said(**{"headers": [JSON], **said, "body": whole})

    door = open_door({"/g": handler}, **GRAPHQL)
    for _ in range(2):
        reply = post(door, QUERY)
        assert (reply.body, reply.hit) == (body, False)
        assert "stored" not in (reply.field("cache-status") or "")
    assert door.cache.stats().events["not_stored"] == {"graphql-errors": 2}


def test_an_answer_without_errors_is_kept(open_door: OpenDoor) -> None:
    body = b'{"data": {"errors": [1]}, "errors": []}'
    kind = ("Content-Type", "application/graphql-response+json; charset=utf-8")
    door = open_door({"/g": lambda _: Said(body=body, headers=[kind])}, **GRAPHQL)
    assert [post(door, QUERY).hit for _ in range(2)] == [False, True]


def kept(door: Door) -> list[bool]:
    """Say which of a POST, one with a query in its URL, and a GET are answered from the cache."""
    replies = [post(door, QUERY), post(door, QUERY, target="/g?op=Q"), get(door, "{a}")]
    return [reply.hit for reply in replies]


@pytest.mark.parametrize("target", ["/g", "/g?op=M"])
@pytest.mark.parametrize(
    "asked",
    [MUTATION, [MUTATION], {"query": "mutation {"}, {**MUTATION, "variables": {"x": "x" * 99}}],
    ids=["mutation", "batch", "unreadable", "too large"],
)
def test_a_mutation_changes_what_its_url_answers(
    open_door: OpenDoor, target: str, asked: Any
) -> None:
    """RFC 9111 4.4."""
    door = open_door({"/g": server()}, **GRAPHQL, body_limit=96)
    kept(door)
    assert kept(door) == [True] * 3
    post(door, asked, target=target)
    assert kept(door) == [False] * 3


UNREADABLE = [
    pytest.param(b'{"query": "\\u006dutation { a }", "id": 1}', JSON, id="escapes"),
    pytest.param(b'{"query": "{a}", "query": "\\u006dutation { a }"}', JSON, id="twice"),
    pytest.param('{"query": "mutation{a}"}'.encode("utf-16"), JSON, id="utf-16"),
    pytest.param(b'\xef\xbb\xbf{"query": "mutation{a}"}', JSON, id="byte order mark"),
    pytest.param(gzip.compress(b'{"query": "mutation{a}"}'), JSON, id="gzip"),
    pytest.param(b"query=%6dutation%7Ba%7D", FORM, id="form"),
    pytest.param(b'{"id": "1"}', JSON, id="persisted"),
]


@pytest.mark.parametrize(("asked", "media_type"), UNREADABLE)
def test_what_cannot_be_read_counts_as_a_mutation(
    open_door: OpenDoor, asked: bytes, media_type: tuple[str, str]
) -> None:
    """I5: the server may read what the cache cannot."""
    door = open_door({"/g": server()}, **GRAPHQL)
    kept(door)
    assert kept(door) == [True] * 3
    coding = [("Content-Encoding", "gzip")] if asked.startswith(b"\x1f\x8b") else []
    assert post(door, asked, [media_type, *coding]).detail == "operation"
    assert kept(door) == [False] * 3


def test_a_mutation_in_a_get_counts_too(open_door: OpenDoor) -> None:
    """GraphQL over HTTP forbids it, and some servers run it."""
    door = open_door({"/g": server()}, **GRAPHQL)
    for target in ("/g?query=mutation{a}", "/g?query={a}&query=mutation{a}", "/g?id=1"):
        kept(door)
        assert kept(door) == [True] * 3
        assert door.get(target).detail == "operation"
        assert kept(door) == [False] * 3
    for target in ("/g", "/g?query=subscription{a}"):
        door.get(target)
        assert kept(door) == [True] * 3


def test_a_route_may_say_that_persisted_queries_are_queries(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL, persisted_queries="query")
    kept(door)
    for asked in ({"id": "1"}, {"extensions": {"persistedQuery": {"sha256Hash": "00"}}}):
        assert [post(door, asked).hit for _ in range(2)] == [False, True]
    assert [door.get("/g?id=1").hit for _ in range(2)] == [False, True]
    assert kept(door) == [True] * 3
    post(door, {"id": "1", "query": "mutation { a }"})
    assert kept(door) == [False] * 3


@pytest.mark.parametrize("asked", [{"query": "subscription { a }"}, [QUERY]], ids=str)
def test_nothing_else_does(open_door: OpenDoor, asked: Any) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    kept(door)
    post(door, asked)
    assert kept(door) == [True] * 3


def test_a_mutation_that_failed_does_not_either(open_door: OpenDoor) -> None:
    def handler(asked: Asked) -> Said:
        status = 500 if b"mutation" in asked.body else 200
        return Said(status=status, body=b"{}", headers=[JSON])

    door = open_door({"/g": handler}, **GRAPHQL)
    kept(door)
    post(door, MUTATION)
    assert kept(door) == [True] * 3


def test_any_other_method_changes_all_of_its_path(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL)
    kept(door)
    door.ask(Call(target="/g?a=1", method="PUT"))
    assert kept(door) == [False] * 3


def test_a_mutation_invalidates_by_the_values_of_its_query(open_door: OpenDoor) -> None:
    """Guard: `on_request._change` keeps the query."""
    config = {
        "routes": [
            {"name": "g", "path": "/g", "ttl": "60s", **GRAPHQL, "invalidates": ["s:{query.shop}"]},
            {"name": "p", "path": "/p", "ttl": "60s", "tags": ["s:{query.shop}"]},
        ]
    }
    door = open_door({"/g": server(), "/p": server()}, config=config)
    for shop in ("1", "2"):
        door.get(f"/p?shop={shop}")
    post(door, MUTATION, target="/g?shop=1")
    assert [door.get(f"/p?shop={shop}").hit for shop in ("1", "2")] == [False, True]


def test_a_mutation_while_the_route_is_off_counts(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL, name="g")
    kept(door)
    door.cache.flags.set({"route:g": "off"})
    post(door, MUTATION)
    door.cache.flags.set({"route:g": "on"})
    assert kept(door) == [False] * 3


def test_a_mutation_in_a_get_counts_while_the_route_is_off(open_door: OpenDoor) -> None:
    door = open_door({"/g": server()}, **GRAPHQL, name="g")
    for target, kept_on in (("/g?query={a}", True), ("/g?query=mutation{a}", False)):
        kept(door)
        door.cache.flags.set({"route:g": "off"})
        assert door.get(target).detail == "off"
        door.cache.flags.set({"route:g": "on"})
        assert kept(door) == [kept_on] * 3


def test_a_parameter_that_the_route_does_not_read_may_be_a_mutation(open_door: OpenDoor) -> None:
    """A request that bypasses reaches the application as it came."""
    door = open_door({"/g": server()}, **GRAPHQL, ignore_query=["q*"])
    post(door, QUERY)
    door.get("/g?query=mutation{a}")
    assert not post(door, QUERY).hit
