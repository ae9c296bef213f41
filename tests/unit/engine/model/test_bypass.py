"""What a request may carry: bypassed, keyed or removed, in every spelling that reaches applications."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachemw.engine.model.bypass import CONDITIONAL, KEYED, PARTIAL, REMOVED, bypass_reason, watched
from cachemw.http.fields import Fields
from cachemw.http.messages import Request
from tests.support.engine import get

DECLARED = frozenset({b"x-declared-by-a-route"})
WATCHED = watched(DECLARED)

BYPASSED = {
    b"transfer-encoding": "body",
    b"x-http-method-override": "method-override",
    b"x-http-method": "method-override",
    b"x-method-override": "method-override",
    b"if-match": "precondition",
    b"if-unmodified-since": "precondition",
}
KNOWN_TO_BE_KEYED = {
    b"cf-visitor",
    b"cloudfront-forwarded-proto",
    b"front-end-https",
    b"origin",
    b"wl-proxy-ssl",
    b"x-appengine-https",
    b"x-arr-ssl",
    b"x-forwarded-host",
    b"x-forwarded-path",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
    b"x-forwarded-protocol",
    b"x-forwarded-scheme",
    b"x-forwarded-server",
    b"x-forwarded-ssl",
    b"x-forwarded-uri",
    b"x-host",
    b"x-original-host",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-script-name",
    b"x-url-scheme",
}
KNOWN_TO_BE_REMOVED = {
    b"cf-connecting-ip",
    b"client-ip",
    b"fastly-client-ip",
    b"forwarded",
    b"hx-current-url",
    b"true-client-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-forwarded",
    b"x-forwarded-for",
    b"x-real-ip",
    b"x-turbo-request-id",
}
KNOWN_TO_ASK_FOR_PARTS = {
    b"hx-boosted",
    b"hx-history-restore-request",
    b"hx-request",
    b"hx-target",
    b"hx-trigger",
    b"hx-trigger-name",
    b"turbo-frame",
    b"x-inertia",
    b"x-inertia-partial-component",
    b"x-inertia-partial-data",
    b"x-inertia-version",
    b"x-pjax",
    b"x-pjax-container",
    b"x-requested-with",
    b"x-up-target",
    b"x-up-version",
}
OWN = {b"cookie", b"authorization", b"content-length", b"host"}


def test_the_tables_are_these_and_no_field_is_in_two() -> None:
    """Spelled out again: a field that is lost from a table steers answers that others are given."""
    assert KEYED - PARTIAL == KNOWN_TO_BE_KEYED
    assert KNOWN_TO_ASK_FOR_PARTS <= PARTIAL <= KEYED
    assert REMOVED == KNOWN_TO_BE_REMOVED
    tables = [set(KEYED), set(REMOVED), set(BYPASSED), set(CONDITIONAL), OWN]
    assert len(set().union(*tables)) == sum(map(len, tables))


@pytest.mark.parametrize(("name", "reason"), list(BYPASSED.items()), ids=str)
def test_it_is_bypassed(name: bytes, reason: str) -> None:
    assert bypass_reason(get("/x", (name, b"")), WATCHED.suspicious) == reason
    assert name in WATCHED.names, "the fast path must notice it"


@pytest.mark.parametrize("name", sorted(KEYED | REMOVED | CONDITIONAL | DECLARED), ids=str)
def test_it_is_not_bypassed(name: bytes) -> None:
    assert bypass_reason(get("/x", (name, b"x")), WATCHED.suspicious) is None


@pytest.mark.parametrize("name", sorted(KEYED | CONDITIONAL | DECLARED | OWN - {b"host"}), ids=str)
def test_the_fast_path_notices_it(name: bytes) -> None:
    assert name in WATCHED.names


def spelled(name: bytes) -> list[bytes]:
    pieces = name.split(b"-")
    joints = itertools.product(b"-_", repeat=len(pieces) - 1)
    spellings = (
        b"".join(x for p in zip(pieces, [*map(chr_, js), b""], strict=True) for x in p)
        for js in joints
    )
    return [spelling for spelling in spellings if b"_" in spelling]


def chr_(code: int) -> bytes:
    return bytes([code])


EVERY_SPELLING = sorted(
    spelling
    for name in {*KEYED, *REMOVED, *BYPASSED, *CONDITIONAL, *DECLARED, *OWN}
    for spelling in spelled(name)
)


def test_every_spelling_with_an_underscore_goes_past_the_cache() -> None:
    """CGI-style servers fold `_` and `-`, so the application may take one for the other."""
    assert len(EVERY_SPELLING) > 100
    for spelling in EVERY_SPELLING:
        request = get("/x", (spelling, b"x"))
        assert bypass_reason(request, WATCHED.suspicious) == "spelling", spelling
        assert spelling in WATCHED.names, spelling


def test_other_underscores_are_nobodys_business() -> None:
    assert bypass_reason(get("/x", (b"x_request_id", b"1")), WATCHED.suspicious) is None


HOSTS = [
    pytest.param([b"shop.example"], True, id="9110 7.2 a name"),
    pytest.param([b"SHOP.example"], True, id="9110 4.2.3 capitals"),
    pytest.param([b"shop.example:8080"], True, id="9110 7.2 a port"),
    pytest.param([b"127.0.0.1"], True, id="9110 7.2 an address"),
    pytest.param([b"[::1]:8000"], True, id="3986 3.2.2 an IPv6 address"),
    pytest.param([b"my_host"], True, id="an underscore, as containers have"),
    pytest.param([], False, id="9112 3.2 none"),
    pytest.param([b"a", b"a"], False, id="9112 3.2 two"),
    pytest.param([b""], False, id="empty"),
    pytest.param([b"a b"], False, id="a space"),
    pytest.param([b"h/x?"], False, id="a path, which moved Starlette's URL"),
    pytest.param([b"user@host"], False, id="user information"),
    pytest.param([b"a:b"], False, id="a port that is no number"),
    pytest.param([b"a:123456"], False, id="a port of six digits"),
    pytest.param([b"a:"], False, id="a colon and no port"),
    pytest.param([b"::1"], False, id="IPv6 without brackets"),
    pytest.param([b"a\n"], False, id="a newline at the end"),
    pytest.param([b"a\x00"], False, id="a NUL"),
    pytest.param([b"a,b"], False, id="a list"),
    pytest.param(["é".encode()], False, id="no ASCII"),
]


@pytest.mark.parametrize(("hosts", "good"), HOSTS)
def test_hosts(hosts: list[bytes], good: bool) -> None:
    request = get("/x")
    fields = [(b"host", host) for host in hosts]
    request = Request(
        method="GET",
        scheme="http",
        mount="",
        path=request.path,
        raw_path=request.raw_path,
        query=b"",
        headers=Fields(fields),
    )
    assert (bypass_reason(request, WATCHED.suspicious) is None) is good


TARGETS = [
    pytest.param("/a/b", True, id="9112 3.2.1 origin form"),
    pytest.param("/", True, id="9112 3.2.1 the root"),
    pytest.param("/%41%20%C3%A9", True, id="3986 2.1 encoded characters"),
    pytest.param("//a/../b;x=1", True, id="left as the framework takes it"),
    pytest.param("http://a/b", False, id="9112 3.2.2 absolute form"),
    pytest.param("*", False, id="9112 3.2.4 asterisk form"),
    pytest.param("a", False, id="no slash"),
    pytest.param("", False, id="nothing"),
    pytest.param("/a%2Fb", False, id="an encoded slash"),
    pytest.param("/a%2fb", False, id="an encoded slash in lower case"),
    pytest.param("/a%5cb", False, id="an encoded backslash"),
    pytest.param("/a\\b", False, id="a backslash"),
    pytest.param("/a%00", False, id="an encoded NUL"),
    pytest.param("/a\x00", False, id="a NUL"),
]


@pytest.mark.parametrize(("path", "good"), TARGETS)
def test_targets(path: str, good: bool) -> None:
    reason = bypass_reason(get(path), WATCHED.suspicious)
    assert reason == (None if good else "target")


@pytest.mark.parametrize(
    ("length", "good"), [(b"0", True), (b" 0 ", True), (b"1", False), (b"", False)]
)
def test_a_body_goes_past_the_cache(length: bytes, good: bool) -> None:
    reason = bypass_reason(get("/x", (b"content-length", length)), WATCHED.suspicious)
    assert reason == (None if good else "body")


@given(st.binary(max_size=20), st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8))))
def test_no_request_raises(host: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    bypass_reason(get("/x", *fields, host=host), WATCHED.suspicious)
