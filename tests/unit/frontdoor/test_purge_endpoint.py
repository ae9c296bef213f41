"""Orders by HTTP, decided without I/O: who may give them, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from cachemw.config import EndpointSettings
from cachemw.frontdoor.purge_endpoint import (
    MAX_BODY,
    Order,
    PurgeEndpoint,
    Refusal,
    answer_json,
    endpoint_of,
)
from cachemw.frontdoor.request_body import TOO_LARGE, UNREADABLE
from cachemw.http.fields import Fields
from cachemw.http.messages import Content, Request

OLD, NEW = "the-older-of-both", "the.newer~of+both/=="
PATH = "/.cachemw/purge"
ENDPOINT = PurgeEndpoint((OLD, NEW), PATH)
BEARER = (b"authorization", f"Bearer {NEW}".encode())
JSON = (b"content-type", b"application/json")
HOST = (b"host", b"shop.example")


def asked(
    method: str,
    path: str = PATH,
    *fields: tuple[bytes, bytes],
    query: bytes = b"",
    mount: str = "",
    raw: bytes | None = None,
    body: bytes | Content | None = None,
) -> Request:
    return Request(
        method=method,
        scheme="http",
        mount=mount,
        path=path,
        raw_path=path.encode("latin-1") if raw is None else raw,
        query=query,
        headers=Fields(list(fields)),
        content=Content(body) if isinstance(body, bytes) else body,
    )


def refused(request: Request) -> tuple[int, str]:
    """Give how an order was refused: the status, and the sentence."""
    refusal = ENDPOINT.order(request)
    assert isinstance(refusal, Refusal)
    headers = dict(refusal.answer.headers)
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"content-type"] == b"application/json"
    assert refusal.answer.body is not None
    assert headers[b"content-length"] == b"%d" % len(refusal.answer.body)
    document = json.loads(refusal.answer.body)
    assert list(document) == ["error"]
    return refusal.answer.status, document["error"]


def ordered(request: Request) -> Order:
    order = ENDPOINT.order(request)
    assert isinstance(order, Order)
    return order


def posted(document: Any) -> Request:
    return asked("POST", PATH, BEARER, JSON, body=json.dumps(document).encode())


# -- whose request it is ---------------------------------------------------------------------------


def test_without_a_token_there_is_no_endpoint() -> None:
    assert endpoint_of(EndpointSettings()) is None
    assert endpoint_of(EndpointSettings(token=NEW)) is not None


@pytest.mark.parametrize(
    ("method", "path", "ours"),
    [
        ("PURGE", "/anything", True),
        ("PURGE", PATH, True),
        ("POST", PATH, True),
        ("GET", PATH, True),
        ("purge", "/anything", False),
        ("POST", "/anything", False),
        ("POST", f"{PATH}/", False),
        ("BAN", "/anything", False),
    ],
)
def test_what_is_for_the_endpoint_and_what_for_the_application(
    method: str, path: str, ours: bool
) -> None:
    assert ENDPOINT.matches(asked(method, path)) is ours


# -- who may ---------------------------------------------------------------------------------------

WRONG = {
    "none": [],
    "empty": [(b"authorization", b"")],
    "another": [(b"authorization", b"Bearer of-another-place")],
    "a part": [(b"authorization", f"Bearer {OLD[:-1]}".encode())],
    "more": [(b"authorization", f"Bearer {OLD}x".encode())],
    "another scheme": [(b"authorization", f"Basic {OLD}".encode())],
    "no scheme": [(b"authorization", OLD.encode())],
    "both": [(b"authorization", f"Bearer {OLD},{NEW}".encode())],
    "two fields": [BEARER, BEARER],
    "in another case": [(b"authorization", f"Bearer {OLD.upper()}".encode())],
    "no text": [(b"authorization", b"Bearer \xff\xfe")],
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PURGE", "/products/1", None),
        ("POST", PATH, b'{"everything": true}'),
        ("POST", PATH, b"junk"),
        ("GET", PATH, None),
    ],
)
def test_without_the_token_the_answer_is_always_the_same(
    fields: list[tuple[bytes, bytes]], method: str, path: str, body: bytes | None
) -> None:
    # Guard: `_refused` asks for the token before anything else.
    request = asked(method, path, HOST, *fields, body=body)
    refusal = ENDPOINT.order(request)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refused(request)) == ("token", (401, "a bearer token is required"))
    assert (b"www-authenticate", b"Bearer") in refusal.answer.headers
    assert not ENDPOINT.reads_body(request)


@pytest.mark.parametrize("value", [f"Bearer {OLD}", f"bearer {NEW}", f"BEARER   {OLD} "])
def test_any_of_the_tokens_will_do(value: str) -> None:
    order = ordered(asked("PURGE", "/p", HOST, (b"authorization", value.encode())))
    assert order.urls == ("//shop.example/p",)


# -- PURGE -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "further", "urls"),
    [
        ("/products/1", {}, ["/products/1"]),
        ("/products/1", {"query": b"page=%32"}, ["/products/1?page=%32"]),
        ("/a", {"mount": "/shop", "raw": b"/%73hop/a"}, ["/shop/a"]),
        ("/a", {"mount": "/shop", "raw": b"/a"}, ["/shop/a", "/a"]),
        ("/", {"mount": "/shop", "raw": b"/shop/"}, ["/shop/", "/shop"]),
        ("/%41", {"mount": "/%42", "raw": b"/%2542/%2541"}, ["/%2542/%2541"]),
        ("/a", {"raw": b"http://other.example/a"}, ["/a"]),
        ("//x", {}, ["//x"]),
        ("/a?b#c", {}, ["/a%3Fb%23c"]),
        ("/\udce4", {"query": b"\xe4", "raw": b"/\xe4"}, ["/%E4?\udce4"]),
    ],
)
def test_a_purge_names_its_own_url(path: str, further: dict[str, Any], urls: list[str]) -> None:
    order = ordered(asked("PURGE", path, (b"host", b"Shop.Example:80"), BEARER, **further))
    assert order == Order(urls=tuple(f"//shop.example{url}" for url in urls))


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ([(b"cache-tag", b"a, b,c")], ("a", "b", "c")),
        ([(b"surrogate-key", b"a b  c")], ("a", "b", "c")),
        ([(b"cache-tag", b"a"), (b"cache-tag", b"b"), (b"surrogate-key", b"c")], ("a", "b", "c")),
        ([(b"cache-tag", "größe:*".encode())], ("größe:*",)),
    ],
)
def test_a_purge_may_name_tags_instead(
    fields: list[tuple[bytes, bytes]], tags: tuple[str, ...]
) -> None:
    assert ordered(asked("PURGE", "/", BEARER, *fields)) == Order(tags=tags)


@pytest.mark.parametrize("name", [b"cachemw-soft-purge", b"fastly-soft-purge"])
def test_a_purge_may_be_soft(name: bytes) -> None:
    assert ordered(asked("PURGE", "/p", HOST, BEARER, (name, b"1"))).soft
    assert not ordered(asked("PURGE", "/p", HOST, BEARER, (name, b"0"))).soft
    assert ordered(asked("PURGE", "/p", BEARER, (name, b"1"), (b"cache-tag", b"a"))).soft


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (asked("PURGE", "/p", BEARER), "Host"),
        (asked("PURGE", "/p", BEARER, HOST, HOST), "Host"),
        (asked("PURGE", "/p", BEARER, (b"host", b"a/b")), "Host"),
        (asked("PURGE", "*", BEARER, HOST), "only a path"),
        (asked("PURGE", "http://other.example/p", BEARER, HOST), "only a path"),
        (asked("PURGE", "/p", BEARER, HOST, (b"cache-tag", b" , ")), "names no tag"),
    ],
)
def test_a_purge_of_nothing_clear_is_refused(request_: Request, said: str) -> None:
    status, sentence = refused(request_)
    assert status == 400
    assert said in sentence


# -- POST ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        {"tags": ["a", "b:*"]},
        {"urls": ["/p"], "routes": ["products"], "soft": True},
        {"everything": True, "dry_run": True},
    ],
)
def test_an_order_says_what_a_purge_takes(document: dict[str, Any]) -> None:
    order = ordered(posted(document))
    given = {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
    }
    assert order == Order(**given)


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (asked("GET", PATH, BEARER), 405, "only POST"),
        (asked("DELETE", PATH, BEARER, JSON, body=b"{}"), 405, "only POST"),
        (asked("POST", PATH, BEARER, body=b"{}"), 415, "application/json"),
        (asked("POST", PATH, BEARER, (b"content-type", b"text/plain"), body=b"{}"), 415, "json"),
        (asked("POST", PATH, BEARER, JSON, (b"content-length", b"65537")), 413, "65536"),
        (
            asked("POST", PATH, BEARER, JSON, (b"content-length", b"9" * 5000)),
            400,
            "expected one Content-Length",
        ),
        (
            asked("POST", PATH, BEARER, JSON, (b"content-length", b"-1")),
            400,
            "expected one Content-Length",
        ),
        (
            asked("POST", PATH, BEARER, JSON, *[(b"content-length", b"2")] * 2),
            400,
            "expected one Content-Length",
        ),
        (asked("POST", PATH, BEARER, JSON, body=TOO_LARGE), 413, "65536"),
        (asked("POST", PATH, BEARER, JSON, body=UNREADABLE), 400, "the body is incomplete"),
        (asked("POST", PATH, BEARER, JSON), 400, "the body is incomplete"),
        (asked("POST", PATH, BEARER, JSON, body=b""), 400, "not a valid order in JSON"),
        (asked("POST", PATH, BEARER, JSON, body=b"{"), 400, "not a valid order in JSON"),
        (asked("POST", PATH, BEARER, JSON, body=b"[" * 60_000), 400, "not a valid order in JSON"),
        (
            asked("POST", PATH, BEARER, JSON, body=b'{"tags": ["\xff"]}'),
            400,
            "not a valid order in JSON",
        ),
        (posted(["a"]), 400, "object"),
        (posted({"tag": ["a"]}), 400, "unknown field `tag`"),
        (posted({"tags": "a"}), 400, "$.tags"),
        (posted({"tags": [1]}), 400, "$.tags"),
        (posted({"everything": 1}), 400, "$.everything"),
        (posted({"everything": "true"}), 400, "$.everything"),
        (posted({}), 400, "name at least one"),
        (posted({"everything": False, "soft": True}), 400, "name at least one"),
        (posted({"everything": True, "tags": ["a"]}), 400, "cannot be combined"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_order_is_refused_with_one_sentence(
    request_: Request, status: int, said: str
) -> None:
    found, sentence = refused(request_)
    assert found == status
    assert said in sentence


def test_a_refused_method_is_told_the_right_one() -> None:
    refusal = ENDPOINT.order(asked("PUT", PATH, BEARER))
    assert isinstance(refusal, Refusal)
    assert (b"allow", b"POST") in refusal.answer.headers


def test_a_head_gets_no_body() -> None:
    for fields in ([], [BEARER]):
        refusal = ENDPOINT.order(asked("HEAD", PATH, *fields))
        assert isinstance(refusal, Refusal)
        assert refusal.answer.body == b""


@pytest.mark.parametrize("parameter", ["", "; charset=utf-8", " ;x"])
def test_the_type_of_json_may_have_parameters(parameter: str) -> None:
    field = (b"content-type", f"Application/JSON{parameter}".encode())
    assert ordered(asked("POST", PATH, BEARER, field, body=b'{"tags": ["a"]}')).tags == ("a",)


def test_a_body_is_read_only_where_an_order_may_be_in_it() -> None:
    """Fails when whoever has no token can make a process read."""
    good = asked("POST", PATH, BEARER, JSON, (b"content-length", b"%d" % MAX_BODY))
    assert ENDPOINT.reads_body(good)
    for other in (
        asked("POST", PATH, JSON),
        asked("POST", PATH, BEARER),
        asked("PUT", PATH, BEARER, JSON),
        asked("PURGE", PATH, BEARER, JSON),
        replace(good, headers=good.headers.plus((b"content-length", b"1"))),
    ):
        assert not ENDPOINT.reads_body(other)


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [("confirmed", 200), ("appended", 200), ("queued", 202)]
)
def test_what_is_queued_is_not_said_to_be_done(status: str, code: int) -> None:
    answer = answer_json({"status": status, "reached": 1})
    assert answer.status == code
    assert json.loads(answer.body or b"") == {"status": status, "reached": 1}
    assert (b"cache-control", b"no-store") in answer.headers
