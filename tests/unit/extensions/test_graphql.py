"""What a GraphQL request would do, and what an answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def posted(body: bytes, kind: bytes = b"application/json", query: bytes = b"") -> str:
    return READER.operation(request(body, (b"content-type", kind)), query)


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
        ("{", None, "other"),
        ("mutation { a(x: $!) }", None, "mutation"),
        ("", None, "other"),
        ("{a}", "", "other"),
        ("{" + "a " * 10_000 + "}", None, "other"),
        ("{" + "a{" * 2000 + "b" + "}" * 2000 + "}", None, "other"),
    ],
)
def test_what_would_run_decides(document: str, name: str | None, verdict: str) -> None:
    for _ in range(2):  # worked out, and remembered
        assert asked(document, operationName=name) == verdict


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'"{a}"',
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": "{a}", "query": "{b}"}',
        b'{"query": "{a}", "variables": {"a": 1, "a": 2}}',
        b'{"query": "{a}", "operationName": 1}',
        b'{"query": "{a}", "id": "x"}',
        b'[{"query": "{a}"}]',
        b'{"query": "{a}"} ',
        b'{"query": "\xff"}',
        '{"query": "{a}"}'.encode("utf-16"),
        b"[" * 60_000,
        b'{"query": "{a}", "variables": ' + b"[" * 30_000,
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_only_what_is_certain_is_a_query(body: bytes) -> None:
    assert posted(body) == ("query" if body.endswith(b"} ") else "other")


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (b"application/json", "query"),
        (b"Application/JSON; charset=UTF-8", "query"),
        (b'application/json;charset="utf-8"', "query"),
        (b"application/json; charset=utf-16", "other"),
        (b"text/plain", "other"),
        (b"multipart/form-data; boundary=x", "other"),
        (b"application/x-www-form-urlencoded", "other"),
        (b"", "other"),
    ],
)
def test_the_media_type_says_how_it_is_read(kind: bytes, verdict: str) -> None:
    assert posted(b'{"query": "{a}"}', kind) == verdict
    told = "mutation" if verdict == "other" else verdict
    assert posted(b'{"query": "{mutation}"}', kind) == told


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
        (b"query={a}&id=1", "other"),
        (b"query={a}&query={a}", "other"),
        (b"query=%ff", "other"),
        (b"query={\xff}", "other"),
        (b"extensions={}", "other"),
        (b"", "other"),
    ],
)
def test_a_get_says_it_in_its_url(query: bytes, verdict: str) -> None:
    assert READER.operation(request(None), query) == verdict


@pytest.mark.parametrize("name", ["query", "operationName", "variables", "extensions"])
def test_a_post_says_it_in_its_body_alone(name: str) -> None:
    assert posted(b'{"query": "{a}"}', query=b"op=A") == "query"
    assert posted(b'{"query": "{a}"}', query=f"{name}=x".encode()) == "other"


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
