"""What a GraphQL request would do, and what an answer says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.routes import Operation
from cachemw.http.fields import Fields
from cachemw.http.messages import Content, Head, Request

pytest.importorskip("graphql")

from cachemw.extensions import graphql
from cachemw.extensions.graphql import GraphQL

READER = GraphQL()


def request(body: bytes | None, *fields: tuple[bytes, bytes]) -> Request:
    content = None if body is None else Content(body)
    return Request(
        method="GET" if body is None else "POST",
        scheme="http",
        mount="",
        path="/g",
        raw_path=b"/g",
        query=b"",
        headers=Fields(list(fields)),
        content=content,
    )


def posted(
    body: bytes,
    kind: bytes = b"application/json",
    query: bytes = b"",
    persisted: Operation = "mutation",
) -> str:
    return READER.operation(request(body, (b"content-type", kind)), query, persisted=persisted)


def asked(document: str, **members: Any) -> str:
    return posted(json.dumps({"query": document, **members}).encode())


QUERIES = [
    "{a}",
    "query { a }",
    "query Q($v: [Int!]! = [1]) @d { a(x: $v) ...F } fragment F on T { b }",
    "# mutation\n{ a }",
    '{ a(x: "mutation { b }") }',
    "{ mutation }",
]


@pytest.mark.parametrize("document", QUERIES)
def test_a_query_is_one(document: str) -> None:
    assert asked(document) == "query"


TWO = "query A { a } mutation B { b } subscription C { c }"


@pytest.mark.parametrize(
    ("document", "name", "verdict"),
    [
        ("mutation { a }", None, "mutation"),
        ("subscription { a }", None, "other"),
        (TWO, "A", "query"),
        (TWO, "B", "mutation"),
        (TWO, "C", "other"),
        (TWO, "D", "mutation"),  # which a lenient server may take for any of them
        (TWO, None, "mutation"),
        ("{a} {b}", None, "other"),
        ("query A {a} query A {b}", "A", "other"),
        ("fragment F on T { a }", None, "other"),
        ("type T { a: Int } { a }", None, "other"),
        ("{", None, "mutation"),  # a lenient parser may find more in it
        ("mutation { a(x: $!) }", None, "mutation"),
        ("", None, "mutation"),
        ("{a}", "", "other"),
        ("{a} type T { a: Int } mutation { a }", None, "mutation"),
        ("\ufeff{a}", None, "query"),
        ('{a(x: "\\u{110000}")}', None, "mutation"),
        ("{" + "a " * 10_000 + "}", None, "mutation"),
        ("{" + "a{" * 2000 + "b" + "}" * 2000 + "}", None, "mutation"),
        ("{a} #" + "x" * 131_072, None, "mutation"),
    ],
)
def test_what_would_run_decides(document: str, name: str | None, verdict: str) -> None:
    for _ in range(2):  # worked out, and remembered
        assert asked(document, operationName=name) == verdict


UNREADABLE = [
    b"",
    b"{}",
    b'"{a}"',
    b"null",
    b'{"query": null}',
    b'{"query": 1}',
    b'{"query": "{a}", "query": "{b}"}',
    b'{"query": "{a}", "qu\\u0065ry": "{b}"}',
    b'{"query": "{a}", "Query": "mut\\u0061tion {b}"}',
    b'{"query": "{a}", "variables": {"a": 1, "a": 2}}',
    b'{"query": "{a}", "operationName": 1}',
    b'{"query": "{a}", "id": "x"}',
    b'{"query": "{a}", "doc": "{b}"}',
    b'{"\\u0071uery": "\\u006dutation{a}", "id": 1}',
    b'{"query": "\xff"}',
    b'\xef\xbb\xbf{"query": "{a}"}',
    '{"query": "{a}"}'.encode("utf-16"),
    '{"query": "{a}"}'.encode("utf-16-be"),
    '{"query": "{a}"}'.encode("utf-32"),
    b'{"query": "{a}"',
    b'{"query": "{a}"}{"query": "{b}"}',
    b"query=%7Ba%7D",
    b"[" * 60_000,
    b'{"query": "{a}", "variables": ' + b"[" * 30_000,
    b'{"query": "{a}", "variables": ' + b"1" * 60_000 + b"}",
    b'[{"query": "{a}"}, 1]',
    b'[{"query": "{a}"}, {"query": "{"}]',
    b'[{"query": "{a}"}, {"query": "mutation {a}"}]',
    b'[[{"query": "{a}"}]]',
    b"[" + b", ".join([b'{"query": "{a}"}'] * 21) + b"]",
]


@pytest.mark.parametrize("body", UNREADABLE, ids=lambda body: body[:60].decode("latin-1"))
def test_what_cannot_be_read_for_certain_counts_as_a_mutation(body: bytes) -> None:
    for persisted in ("mutation", "query"):
        assert posted(body, persisted=persisted) == "mutation"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b'{"query": "{a}"} ', "query"),
        (b'{"\\u0071uery": "\\u007ba}"}', "query"),
        (b'{"query": "\\u006dutation {a}"}', "mutation"),
        (b"[]", "other"),
        (b'[{"query": "{a}"}]', "other"),
        (b'[{"query": "{a}"}, {"query": "query {b}"}]', "other"),
    ],
)
def test_what_is_certain_counts_as_what_it_is(body: bytes, verdict: str) -> None:
    assert posted(body) == verdict


PERSISTED = [
    {"id": "1"},
    {"id": 7, "variables": {"a": 1}},
    {"documentId": "sha256:00", "operationName": "A"},
    {"queryId": "1"},
    {"doc_id": "1"},
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}},
]


@pytest.mark.parametrize("members", PERSISTED, ids=str)
@pytest.mark.parametrize("persisted", ["mutation", "query"])
def test_a_persisted_query_counts_as_its_route_says(
    members: dict[str, Any], persisted: Operation
) -> None:
    assert posted(json.dumps(members).encode(), persisted=persisted) == persisted
    url = urlencode(
        {
            name: each if isinstance(each, str) else json.dumps(each)
            for name, each in members.items()
        }
    )
    assert READER.operation(request(None), url.encode(), persisted=persisted) == persisted


@pytest.mark.parametrize(
    "members",
    [
        {"id": "1", "documentId": "2"},
        {"id": "1", "query": None},
        {"id": None},
        {"id": "1", "hash": "2"},
        {"id": "1", "operationName": 1},
        {"id": "1", "extensions": {"persistedQuery": {}}},
        {"extensions": {}},
        {"extensions": []},
        {"hash": "1"},
    ],
    ids=str,
)
def test_only_one_identifier_alone_names_a_persisted_query(members: dict[str, Any]) -> None:
    assert posted(json.dumps(members).encode(), persisted="query") == "mutation"


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (b"application/json", "query"),
        (b"Application/JSON; charset=UTF-8", "query"),
        (b'application/json;charset="utf-8"', "query"),
        (b"application/json; charset=utf-16", "mutation"),
        (b"application/json, text/plain", "mutation"),
        (b"text/plain", "mutation"),
        (b"multipart/form-data; boundary=x", "mutation"),
        (b"application/x-www-form-urlencoded", "mutation"),
        (b"", "mutation"),
    ],
)
def test_the_media_type_says_how_it_is_read(kind: bytes, verdict: str) -> None:
    assert posted(b'{"query": "{a}"}', kind) == verdict


@pytest.mark.parametrize("kinds", [[], [b"application/json"] * 2], ids=["none", "two"])
def test_there_is_one_media_type_or_none_is_certain(kinds: list[bytes]) -> None:
    sent = request(b'{"query": "{a}"}', *((b"content-type", kind) for kind in kinds))
    assert READER.operation(sent, b"") == "mutation"


def test_what_is_coded_cannot_be_read() -> None:
    fields = (b"content-type", b"application/json"), (b"content-encoding", b"gzip")
    assert READER.operation(request(b'{"query": "{a}"}', *fields), b"") == "mutation"


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        (b"query=%7Ba%7D", "query"),
        (b"query={a}&operationName=A", "other"),
        (b"query=query+A{a}&operationName=A&variables={}", "query"),
        (b"query=mutation{a}", "mutation"),
        (b"query={a}&id=1", "mutation"),
        (b"query={a}&query={a}", "mutation"),
        (b"query={a};query=mutation{b}", "mutation"),
        (b"query=%ff", "mutation"),
        (b"query={\xff}", "mutation"),
        (b"query=%256dutation{a}", "mutation"),
        (b"extensions={}", "mutation"),
        (b"query={a}&extensions=[", "mutation"),
        (b"query={a}&extensions={}", "query"),
        (b"utm_source=x", "mutation"),
        (b"", "other"),
    ],
)
def test_a_get_says_it_in_its_url(query: bytes, verdict: str) -> None:
    assert READER.operation(request(None), query) == verdict


@pytest.mark.parametrize("name", ["query", "operationName", "variables", "extensions", "id"])
def test_a_post_says_it_in_its_body_alone(name: str) -> None:
    assert posted(b'{"query": "{a}"}', query=b"op=A") == "query"
    assert posted(b'{"query": "{a}"}', query=f"{name}=x".encode()) == "mutation"


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b'{"data": 1}', True),
        (b'{"data": {"errors": 1}}', True),
        (b'{"data": 1, "errors": null}', True),
        (b'{"data": 1, "errors": [ ]}', True),
        (b'{"data": 1, "errors": [1]}', False),
        (b'{"data": 1, "errors": "no"}', False),
        (b'{"data": 1}, {"errors": 1}', False),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", False),
        (b"[]", False),
        (b"", False),
        (b"\xff", False),
    ],
    ids=lambda value: str(value[:40]) if isinstance(value, bytes) else "",
)
def test_an_answer_is_whole_without_errors(body: bytes, whole: bool) -> None:
    head = Head(status=200, headers=Fields([(b"content-type", b"application/json")]))
    assert READER.is_whole(head, body) is whole


def test_verdicts_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """I4."""
    monkeypatch.setattr(graphql, "_MEMO_SIZE", 8)
    reader = GraphQL()
    for number in range(100):
        body = json.dumps({"query": f"{{ a{number} }}"}).encode()
        fields = (b"content-type", b"application/json")
        assert reader.operation(request(body, fields), b"") == "query"
        assert len(reader._young) + len(reader._old) <= 16


@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]":,query mutation', max_size=60).map(str.encode)
)
def test_whatever_comes_gets_a_verdict(body: bytes) -> None:
    """I3."""
    for kind in (b"application/json", b"application/graphql"):
        verdict = posted(body, kind)
        assert verdict in ("query", "mutation", "other")
    assert READER.operation(request(None), body) in ("query", "mutation", "other")
